"""Step models: graphs that give their states back, called by ONNX Runtime once for each feed or frame."""
