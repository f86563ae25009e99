"""Parts of ONNX graphs that no layer does, cut out to be run as they are: which nodes, and what was seen of them"""
