"""Which implementation was measured to be fastest: measured when a version becomes READY, kept on disk for this machine."""
