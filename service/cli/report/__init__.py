"""The page that tells of a load test: plots and tables of one record, or of two side by side."""
