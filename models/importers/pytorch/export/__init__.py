"""Programs of torch.export (.pt2), whose graph is followed on paper; only torch's own operations on numbers are ever run."""
