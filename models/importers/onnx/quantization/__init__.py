"""Quantised ONNX graphs as the same ones in float32: what their numbers mean, and each operator by what it means"""
