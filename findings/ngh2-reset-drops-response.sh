#!/usr/bin/env bash
# ngh2 0.3.0: reset_stream takes back a response that was queued before it, without an error and without an event.
#
# A server that has answered early tells its client to stop sending by RST_STREAM with NO_ERROR (RFC 9113, 8.1): the response first, then
# the reset. send_response, send_data with end_stream and reset_stream in this order, with no data_to_send between them, put only the reset
# on the wire: the client sees a stream that was reset and no response, and the server sees nothing at all. With a flush between
# them both arrive. gRPC's clients then report an INTERNAL error for a call that was answered.
# Seen: ngh2 0.3.0, "reset" where "response, data, reset" were asked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import ngh2

WORDS = {"ResponseReceived": "response", "DataReceived": "data", "StreamReset": "reset"}


def moved(sender, receiver):
    while data := sender.data_to_send():
        receiver.receive_data(data)
    return [WORDS[type(event).__name__] for event in receiver.events() if type(event).__name__ in WORDS]


for flush in (False, True):
    server, client = ngh2.Connection(ngh2.Role.SERVER), ngh2.Connection(ngh2.Role.CLIENT)
    server.initiate_connection()
    client.initiate_connection()
    stream = client.send_request([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")])
    moved(client, server)
    seen = moved(server, client)
    server.send_response(stream, [(b":status", b"200")])
    server.send_data(stream, b"answer", end_stream=True)
    if flush:
        seen += moved(server, client)
    server.reset_stream(stream, ngh2.ErrorCode.NO_ERROR)
    seen += moved(server, client)
    print("flushed before the reset:" if flush else "not flushed:", ", ".join(seen))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ngh2==0.3.0"
"$folder/venv/bin/python" "$folder/ask.py" > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
not flushed: reset
flushed before the reset: response, data, reset
SAID
