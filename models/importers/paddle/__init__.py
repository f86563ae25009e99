"""Weights of Paddle (.pdparams), read without unpickling anything but arrays, in the terms that PyTorch has for them."""
