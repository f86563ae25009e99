#!/usr/bin/env bash
# ngh2 0.3.0: nothing tells a sender that what it queued on a stream has left: it must ask queued_body_size of each stream after each flush.
#
# send_data queues without bound when the peer's window is used up. A server of streams that wants to make its next message only when
# there is room needs to know when the queue falls. A WINDOW_UPDATE is an event (WindowUpdated), but says nothing of what was then
# sent, and one of the connection (stream 0) or a changed INITIAL_WINDOW_SIZE lets any stream go on. So the only way is to ask
# every waiting stream after every data_to_send: linear in them, and easily forgotten, with memory that grows as the peer likes.
# Seen: ngh2 0.3.0, 200,000 bytes leave by an update of the connection's window; the events name stream 0 and no other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import ngh2

server = ngh2.Connection(ngh2.Role.SERVER)
client = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration(auto_window_update=False))
server.initiate_connection()
client.initiate_connection({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 20})


def move():
    seen = []
    while True:
        asked, answered = client.data_to_send(), server.data_to_send()
        if not asked and not answered:
            return seen
        server.receive_data(asked)
        seen += server.events()
        client.receive_data(answered)
        client.events()


stream = client.send_request([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")])
move()
server.send_response(stream, [(b":status", b"200")])
server.send_data(stream, bytes(200_000))
move()
print("queued at first:", server.queued_body_size(stream))
client.set_local_window_size(1 << 20)
events = move()
print("queued then:", server.queued_body_size(stream), "events:", [(type(each).__name__, each.stream_id) for each in events])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ngh2==0.3.0"
"$folder/venv/bin/python" "$folder/ask.py" > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
queued at first: 134465
queued then: 0 events: [('WindowUpdated', 0)]
SAID
