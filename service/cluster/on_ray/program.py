"""Keeps servers running by Ray Serve until SIGTERM: told on standard input what is wanted, tells on standard output who serves.

Run as `python -m cellserve.service.cluster.on_ray.program` by a Python that has Ray; of cellserve it needs this room and what
Keeper needs, none of which needs a package. One line of JSON is a list of all servers, each time that something changed. Ray
Serve starts replicas, spreads them over machines, replaces those that died, and scales; it has no proxy, so that no request can
go through it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any, Final, TextIO

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from cellserve.service.cluster import bound, child, errors, folder, keeper, restarts, serving
from cellserve.service.cluster.on_ray import directory, health, scaling, server, wanted
from cellserve.service.cluster.on_ray.directory import Directory
from cellserve.service.cluster.on_ray.scaling import ByWaitingSteps
from cellserve.service.cluster.on_ray.server import Server
from cellserve.service.cluster.on_ray.wanted import Wanted

_MODULES: Final = (bound, child, errors, folder, keeper, restarts, serving, directory, health, scaling, server, wanted)
_LOCAL: Final = "127.0.0.1"
_LOOPBACK: Final = "127.0.0.0/8"
_STORE_BYTES: Final = 80_000_000  # the least that Ray takes; nothing is kept in it
_ACTOR: Final = {"num_cpus": 0}
_HEALTH_SECONDS: Final = 1.0
_METRICS_SECONDS: Final = 2.0
_MORE_AFTER_SECONDS: Final = 4.0
_FIRST_TRIES: Final = 3
_OF_RAY: Final = "RAY_"
_NAMESPACE: Final = "serve"


class _Replica:
    """As Ray Serve wants it."""

    def __init__(self, given: Wanted, names: Any, believed: str) -> None:
        here = not given.address
        environment = given.environment if here else _of_this_machine() | given.environment
        host = _LOCAL if here else ray.util.get_node_ip_address()
        who = ray.get_runtime_context().get_actor_name()
        self._server = Server(who, host, believed, environment, given, names)

    async def reconfigure(self, _: object) -> None:
        """Once, before it counts as running."""
        await self._server.begin()

    async def check_health(self) -> None:
        self._server.require_kept()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        return await self._server.stats()

    async def __del__(self) -> None:
        await self._server.end()


def main() -> None:
    """Until SIGTERM. Raises whatever Ray does where it cannot serve."""
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Ray talks
    given = Wanted.parse(sys.stdin.read())
    for module in _MODULES:
        ray.cloudpickle.register_pickle_by_value(module)
    if given.address:
        ray.init(address=given.address, log_to_driver=False)
    else:
        ray.init(
            address="local",  # or it would join whichever there is on this machine
            num_cpus=given.most_replicas,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=_STORE_BYTES,
            _temp_dir=given.temporary,
        )
    try:
        asyncio.run(_serve(given, said))
    finally:
        ray.shutdown()


async def _serve(given: Wanted, said: TextIO) -> None:
    loop, asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    serve.start(proxy_location="Disabled")
    names = ray.remote(Directory).options(**_ACTOR).remote(_lives)
    work = (asked_to_stop.wait(), _tell(names, said), _watch(names), _deploy(given, names))
    tasks = [asyncio.create_task(each) for each in work]
    try:
        pending = set(tasks)
        while not asked_to_stop.is_set():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.to_thread(serve.delete, given.name)
        if not given.address:
            await asyncio.to_thread(serve.shutdown)


async def _deploy(given: Wanted, names: Any) -> None:
    """Returns when all that are wanted at first serve."""
    believed = f"{ray.util.get_node_ip_address()}/32" if given.address else _LOOPBACK
    deployment = serve.deployment(_Replica).options(
        name="servers",
        user_config={},
        ray_actor_options={"num_cpus": 1},
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_wait_loop_s=0.01,
        graceful_shutdown_timeout_s=given.drain_seconds + 10.0,
        max_constructor_retry_count=_FIRST_TRIES,
        **_number(given),
    )
    application = deployment.bind(given, names, believed)
    await asyncio.to_thread(lambda: serve.run(application, name=given.name, route_prefix=None))


def _number(given: Wanted) -> dict[str, Any]:
    if given.most_replicas == given.replicas:
        return {"num_replicas": given.replicas}
    policy = AutoscalingPolicy(policy_function=ByWaitingSteps, policy_kwargs={"target": given.waiting_timesteps})
    scaling_config = AutoscalingConfig(
        min_replicas=given.replicas,
        initial_replicas=given.replicas,
        max_replicas=given.most_replicas,
        metrics_interval_s=_METRICS_SECONDS,
        look_back_period_s=2 * _METRICS_SECONDS,
        upscale_delay_s=_MORE_AFTER_SECONDS,
        downscale_delay_s=given.fewer_after_seconds,
        policy=policy,
    )
    return {"autoscaling_config": scaling_config}


async def _tell(names: Any, said: TextIO) -> None:
    """Never returns."""
    version = 0
    while True:
        version, facts = await names.look.remote(version)
        said.write(json.dumps(facts) + "\n")
        said.flush()


async def _watch(names: Any) -> None:
    """Never returns."""
    await names.watch.remote()


def _lives(who: str) -> bool:
    """who: an actor of Ray Serve."""
    try:
        ray.get_actor(who, namespace=_NAMESPACE)
    except ValueError:
        return False
    return True


def _of_this_machine() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_RAY)}


if __name__ == "__main__":
    main()
