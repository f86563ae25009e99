"""TorchScript programs, whose code is followed through the layers that it calls, and never run."""
