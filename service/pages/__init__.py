"""What the pages that people look at have in common: one file, without scripts or anything from elsewhere, light and dark."""
