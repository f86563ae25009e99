"""Asks a server's gRPC health service whether it serves: `python -m cellserve.service.healthcheck [host:port]`.

Exit code 0 when SERVING, else 1 with the reason on standard error. Made for container health checks, where no
grpc_health_probe is at hand. Knows no models: an empty service name asks about the whole server.
"""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cellserve.service.config import Settings

TIMEOUT_SECONDS = 3.0


def problem(target: str, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
    """None when the server at `target` ("host:port") says SERVING, else a sentence why not."""
    with grpc.insecure_channel(target) as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except grpc.RpcError as error:
            return f"no health answer from {target} within {timeout_seconds:g} s: {error.code().name}"
    if reply.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"{target} answers {health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)}"


def main(arguments: list[str]) -> int:
    target = arguments[0] if arguments else f"127.0.0.1:{Settings().port}"
    sentence = problem(target)
    if sentence is not None:
        print(sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
