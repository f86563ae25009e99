"""As grpc_health_probe and Kubernetes do it: Check and Watch with gRPC's own health client. URL and names as arguments."""

import sys
import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scenarios import main


def _name(reply):
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


def check(url, *names):
    """By name the status, or the status code of the refusal."""
    stub, told = health_pb2_grpc.HealthStub(grpc.insecure_channel(url)), {}
    for name in names:
        try:
            told[name] = _name(stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30))
        except grpc.RpcError as error:
            told[name] = error.code().name
    return told


def watch(url, *names):
    """All names watched on one channel until each watch ends. A line "watching" on standard error says that all have begun."""
    channel = grpc.insecure_channel(url)
    told, begun = {name: [] for name in names}, threading.Semaphore(0)

    def follow(name):
        try:
            for reply in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name), timeout=120):
                told[name].append(_name(reply))
                begun.release()
        except grpc.RpcError as error:
            told[name].append(error.code().name)

    threads = [threading.Thread(target=follow, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    print("watching", file=sys.stderr, flush=True)
    for thread in threads:
        thread.join()
    return told


if __name__ == "__main__":
    main({"check": check, "watch": watch})
