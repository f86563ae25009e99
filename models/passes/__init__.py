"""Networks that are not causal, as passes over time that are each fed a chunk at a time."""
