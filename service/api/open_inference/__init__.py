"""The Open Inference Protocol: inference.GRPCInferenceService and its extensions."""
