"""python -m tests.bench [--speeds] [NAME …]: every benchmark, or the named ones. Each prints ratios measured in this one run.

With --speeds each is run three times in a process of its own: at full speed, at half by a quota, on one core.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.bench import (
    arrangements,
    choice,
    cluster,
    door,
    engine,
    event_loop,
    fronts,
    head_of_line,
    kernels,
    long_sequences,
    onnx,
    overload,
    sessions,
    short,
    speed,
    streams,
    tracing,
    waiting,
    workers,
)

BENCHMARKS = {
    "short": short.run,
    "kernels": kernels.run,
    "choice": choice.run,
    "engine": engine.run,
    "head_of_line": head_of_line.run,
    "long_sequences": long_sequences.run,
    "waiting": waiting.run,
    "onnx": onnx.run,
    "workers": workers.run,
    "arrangements": arrangements.run,
    "event_loop": event_loop.run,
    "door": door.run,
    "fronts": fronts.run,
    "streams": streams.run,
    "sessions": sessions.run,
    "overload": overload.run,
    "cluster": cluster.run,
    "tracing": tracing.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none is given")
    parser.add_argument("--speeds", action="store_true", help=f"each at {', at '.join(speed.ALL)}")
    given = parser.parse_args()
    names = given.names or [name for name in BENCHMARKS if name != "short"]  # which others contain
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        if given.speeds:
            _at_each_speed(name)
        else:
            BENCHMARKS[name]()


def _at_each_speed(name: str) -> None:
    for each in speed.ALL:
        print(f"\n=== {name}, {each} ===", flush=True)
        try:
            with speed.confined(each) as confine:
                subprocess.run([sys.executable, "-m", "tests.bench", name], check=True, preexec_fn=confine)
        except OSError as error:
            print(f"not measured: {error}", flush=True)


if __name__ == "__main__":
    main()
