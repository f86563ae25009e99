#!/usr/bin/env bash
# ngh2 0.3.0: send_response and send_trailers take header values that HTTP/2 forbids; only the client finds out, as a protocol error.
#
# A value with a line break (an exception's text in a trailer, say) is packed and sent;
# the receiving side resets the stream with PROTOCOL_ERROR (RFC 9113, 8.2.1), so that a call that was answered fails at the client, with
# nothing in the server's hands but a reset. Whoever writes a server on it must check values before.
# Seen: ngh2 0.3.0, send_response accepts "a\nb", the client answers StreamReset with error 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import ngh2


def moved(sender, receiver):
    while data := sender.data_to_send():
        receiver.receive_data(data)
    return receiver.events()


server, client = ngh2.Connection(ngh2.Role.SERVER), ngh2.Connection(ngh2.Role.CLIENT)
server.initiate_connection()
client.initiate_connection()
stream = client.send_request([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")])
moved(client, server)
moved(server, client)
try:
    server.send_response(stream, [(b":status", b"200"), (b"key", b"a\nb")])
    print("accepted")
except ngh2.NGH2Error as error:
    print("refused:", error)
moved(server, client)
print("the server is told:", [("StreamReset", each.error_code) for each in moved(client, server) if isinstance(each, ngh2.StreamReset)])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ngh2==0.3.0"
"$folder/venv/bin/python" "$folder/ask.py" > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
accepted
the server is told: [('StreamReset', 1)]
SAID
