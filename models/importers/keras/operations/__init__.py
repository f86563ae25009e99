"""Bare operations among a functional model's layers, slices and those of `keras.ops` and TensorFlow, as layers."""
