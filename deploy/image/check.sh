#!/bin/sh
# Has an installed cellserve do what a server does, and fails if anything is missing: check.sh /opt/cellserve MODEL-FILE
set -eu
export CELLSERVE_REPOSITORY=/tmp/checked PATH="$1/bin:$PATH"
cellserve import "$2" --alias stable
cellserve verify
python -c 'import obstore.store, valkey'
cellserve serve --port 18001 --metrics-port 18002 --host 127.0.0.1 --trace-endpoint http://127.0.0.1:18003 --trace-share 1 &
server=$!
until python -m cellserve.service.healthcheck 127.0.0.1:18001 2>/dev/null; do kill -0 $server; sleep 0.2; done
cellserve models --url 127.0.0.1:18001
python - <<'ASKED' # a traced request, whose spans nobody takes
import numpy
from cellserve.service.client import Client
with Client("127.0.0.1:18001") as client:
    client.predict("digits", numpy.zeros((8, 8), numpy.float32))
ASKED
kill -TERM $server
wait $server
rm -rf /tmp/checked
