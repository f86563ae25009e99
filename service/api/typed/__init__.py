"""The protocol cellserve.v1: Sequences and Registry."""
