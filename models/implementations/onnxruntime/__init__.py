"""Implementation "onnxruntime": layers, and whole chunks of a network, in runs of ONNX Runtime."""
