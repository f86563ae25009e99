#!/usr/bin/env bash
# obstore 0.12: on Google Cloud Storage put(…, mode={"e_tag": …}) is refused before anything is sent; S3, Azure and memory take it.
#
# There the condition is the generation that is replaced, "version" of what get() and put() answer: "Version required for conditional
# update" without it. The other stores ignore a version or have none, and None for one is no str: the key must be left out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1
"$folder/venv/bin/python" - <<'PY' > "$folder/said"
import http.server, json, threading

import obstore
from obstore.store import GCSStore, MemoryStore


class Google(http.server.BaseHTTPRequestHandler):
    generation = 0

    def do_PUT(self):
        self.rfile.read(int(self.headers["content-length"]))
        condition = self.headers.get("x-goog-if-generation-match")
        fits = condition is None or int(condition) == Google.generation
        Google.generation += fits
        self.send_response(200 if fits else 412)
        self.send_header("etag", f'"{Google.generation}"')
        self.send_header("x-goog-generation", str(Google.generation))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        """Nothing."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Google)
threading.Thread(target=server.serve_forever, daemon=True).start()
key = {"gcs_base_url": f"http://127.0.0.1:{server.server_port}", "disable_oauth": True}
account = json.dumps(key | {"client_email": "", "private_key": "", "private_key_id": ""})
google = GCSStore("bucket", service_account_key=account, client_options={"allow_http": True})
for name, store in (("memory", MemoryStore()), ("google", google)):
    made = obstore.put(store, "a", b"1", mode="create")
    for mode in ({"e_tag": made["e_tag"]}, {"e_tag": made["e_tag"], "version": made["version"]}):
        try:
            obstore.put(store, "a", b"2", mode=mode)
            said = "written"
        except TypeError as error:
            said = str(error)
        except obstore.exceptions.BaseError as error:
            said = str(error).partition("\n")[0]
        print(f"{name}, {' and '.join(mode)}: {said}")
PY
cat "$folder/said"
diff "$folder/said" - <<'EXPECTED'
memory, e_tag: written
memory, e_tag and version: 'None' is not an instance of 'str'
google, e_tag: Generic GCS error: Version required for conditional update
google, e_tag and version: written
EXPECTED
