"""Files of PyTorch, state dicts, TorchScript and torch.export programs, into canonical networks. Nothing in them is run."""
