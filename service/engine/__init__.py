"""The computation as a service: threads, lanes, sequences, batches. Arrays and facts in and out; no gRPC, no metrics library."""
