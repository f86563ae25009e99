#!/usr/bin/env bash
# obstore 0.12: with client_options given, AWS_ALLOW_HTTP in the environment no longer counts, whatever the options say of it.
#
# AWS_ENDPOINT_URL and the credentials still do. So from_url("s3://…", client_options={"timeout": …}) fails on an endpoint without TLS
# that the same URL without options reaches: "HTTP error: builder error", before anything is sent. The option is {"allow_http": True}.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1
"$folder/venv/bin/python" - <<'PY' > "$folder/said"
import http.server, os, threading

import obstore
from obstore.store import from_url


class Empty(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments):
        """Nothing."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
}
for name, options in (
    ("none", {}),
    ("timeout", {"client_options": {"timeout": "5s"}}),
    ("timeout and allow_http", {"client_options": {"timeout": "5s", "allow_http": True}}),
):
    try:
        said = bytes(obstore.get(from_url("s3://bucket/x", **options), "a").bytes()).decode()
    except obstore.exceptions.BaseError as error:
        said = "builder error" if "builder error" in str(error) else str(error)
    print(f"{name}: {said}")
PY
cat "$folder/said"
diff "$folder/said" - <<'EXPECTED'
none: ok
timeout: builder error
timeout and allow_http: ok
EXPECTED
