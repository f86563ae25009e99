"""The load generator behind `cellserve load`."""
