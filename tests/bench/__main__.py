"""python -m tests.bench [NAME …]: every benchmark, or the named ones. Each prints ratios measured in this one run."""

from __future__ import annotations

import argparse

from tests.bench import (
    arrangements,
    choice,
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
    streams,
    tracing,
    waiting,
    workers,
)

BENCHMARKS = {
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
    "tracing": tracing.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none is given")
    names = parser.parse_args().names or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
