"""What is published, and what of it is live."""
