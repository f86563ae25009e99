"""What operators of ONNX become: layers of a network, and arithmetic on paper."""
