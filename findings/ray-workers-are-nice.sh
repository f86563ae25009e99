#!/usr/bin/env bash
# Ray 2.60: whatever an actor starts runs at nice 15, beside anything else on the machine at 0.
#
# The raylet starts workers 15 steps below its own priority (RAY_worker_niceness), so that they leave room for Ray's own processes;
# a server that an actor starts as a child inherits it, and cannot take it back without rights. Nothing tells it: neither the log nor
# the documentation of actors. RAY_worker_niceness=0 in the environment of whoever starts Ray switches it off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
cd "$folder"
cat >asked.py <<'PY'
import os, subprocess, sys

import ray

ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)


@ray.remote
class Actor:
    def child(self):
        program = "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"
        return int(subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True).stdout)


own = os.getpriority(os.PRIO_PROCESS, 0)
print(ray.__version__, ray.get(Actor.remote().child.remote()) - own)
ray.shutdown()
PY
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef
"$folder/venv/bin/python" asked.py 2>log | tee said
RAY_worker_niceness=0 "$folder/venv/bin/python" asked.py 2>>log | tee -a said
[ "$(cat said)" = "$(printf '2.60.0 15\n2.60.0 0')" ]
