"""Checkpoints of TensorFlow 1, told from the names of their variables, into canonical networks."""
