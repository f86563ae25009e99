"""TFLite files into canonical networks: each operator as those of ONNX that compute the same, and these as every ONNX graph."""
