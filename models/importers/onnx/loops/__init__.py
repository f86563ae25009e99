"""Loops of ONNX as recurrent layers: the graph that runs once a step is computed with on paper until it is a cell's equations"""
