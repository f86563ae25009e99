"""gRPC's own server, grpc.aio, as a front."""
