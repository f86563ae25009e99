"""Where the states of live sequences are between feeds: rows in memory, rows in a file, bytes that another server takes up."""
