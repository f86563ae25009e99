"""Files of PyTorch, state dicts and TorchScript programs, into canonical networks. Nothing in them is run."""
