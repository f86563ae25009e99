"""Versions that come over the wire: what is declared, what has come of it, and the gate in a process of its own."""
