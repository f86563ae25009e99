"""ONNX graphs that give their states back, as step models: what is fed, what is a state, and which axis is which."""
