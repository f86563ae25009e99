"""What operators of TFLite are in ONNX's: same numbers, other layouts of weights, axes and options."""
