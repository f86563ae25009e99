"""What a server's counters say of it between two looks at them, for its status page and for `cellserve top`."""
