"""ONNX files into canonical networks: a graph is followed on paper, and onnxruntime says whether it was understood."""
