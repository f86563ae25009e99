"""Which sequences run in the next iteration of a lane, how far, and for how long."""
