"""`python -m tests.load [SCENARIO…]`: starts a server of its own on free ports, sends the load, prints what came, stops it.

Exit code 1 when a scenario saw a wrong answer or an error.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from cellserve.service.registry.repository.repository import Repository
from deploy.demo.server import COMMAND, Server
from tests.load import models
from tests.load.scenarios import ALL, Scenario


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="cellserve-load-") as folder:
        repository = Path(folder) / "repository"
        print("publishing the models", flush=True)
        models.publish(Repository(repository))
        with Server(repository, Path(folder) / "server.log") as address:
            failed = [name for name in options.scenarios if not _run(ALL[name], address.url, options.duration_seconds)]
    print(f"failed: {', '.join(failed)}" if failed else f"all {len(options.scenarios)} scenarios clean")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(ALL)}; default: all")
    parser.add_argument("--duration-seconds", type=float, default=5.0, help="of each scenario (default 5)")
    options = parser.parse_args()
    unknown = sorted(set(options.scenarios) - set(ALL))
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are {', '.join(ALL)}")
    options.scenarios = options.scenarios or list(ALL)
    return options


def _run(scenario: Scenario, url: str, duration_seconds: float) -> bool:
    print(f"\n== {scenario.name}: {scenario.why}\n$ cellserve load {' '.join(scenario.arguments)}", flush=True)
    ends = ("--url", url, "--duration-seconds", str(duration_seconds))
    return subprocess.run((*COMMAND, "load", *scenario.arguments, *ends), check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
