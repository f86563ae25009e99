"""`cellserve bench`: measured here without a server, shown in the terminal or as a page."""
