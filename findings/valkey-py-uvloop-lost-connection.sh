#!/usr/bin/env bash
# valkey-py 6.2 over uvloop 0.23: a command that is sent on a connection lost this very moment raises RuntimeError, which no handler of
# ValkeyError or OSError sees. Over asyncio's own loop the same is told as valkey.exceptions.ConnectionError.
#
# uvloop refuses to write to a transport that is closed, where asyncio drops what is written; the client's own translation looks at
# OSError alone. Between a server's death and the client's next look at the connection such a moment comes. Whoever runs valkey-py
# under uvloop must take RuntimeError for a lost connection too. Here the peer answers everything with +OK, and the connection is
# ended from this side.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check valkey==6.2.0 uvloop==0.23.0
"$folder/venv/bin/python" - <<'PY' > "$folder/said"
import asyncio

import uvloop
from valkey.asyncio import Connection
from valkey.exceptions import ValkeyError


async def answer(reader, writer):
    while await reader.read(65536):
        writer.write(b"+OK\r\n" * 2)


async def main(loop):
    peer = await asyncio.start_server(answer, "127.0.0.1", 0)
    connection = Connection(port=peer.sockets[0].getsockname()[1], lib_name=None, lib_version=None)
    await connection.connect()
    connection._writer.transport.abort()
    await asyncio.sleep(0.05)
    try:
        await connection.send_command("PING")
        await connection.read_response()
    except Exception as error:
        print(f"{loop}: {type(error).__name__}, {'a' if isinstance(error, (ValkeyError, OSError)) else 'no'} ValkeyError or OSError")
    await connection.disconnect(nowait=True)
    peer.close()


asyncio.run(main("asyncio"))
uvloop.run(main("uvloop"))
PY
cat "$folder/said"
diff "$folder/said" - <<'SAID'
asyncio: ConnectionError, a ValkeyError or OSError
uvloop: RuntimeError, no ValkeyError or OSError
SAID
