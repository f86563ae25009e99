"""The ways in which calls reach the door: gRPC's own server, and one on HTTP/2 frames."""
