#!/usr/bin/env bash
# grpc.aio of grpcio 1.78: dict(call.trailing_metadata()) raises KeyError, though the metadata is iterated as pairs of key and value.
#
# grpc.aio.Metadata has keys() and __getitem__, so dict() takes it for a mapping; but there keys() yields pairs, which dict() then
# looks up as keys. The synchronous API returns a tuple of pairs, for which dict() works: code that is moved from one to the other
# breaks in its error handling, where it is seldom run. In 1.81 dict() works.
# Seen: grpcio 1.78.2 KeyError with the first pair, 1.81.1 a dictionary.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 1.78.2 1.81.1; do
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "grpcio==$version"
  "$folder/venv/bin/python" - <<'PY'
import grpc.aio

metadata = grpc.aio.Metadata(("key", "value"))
print(grpc.__version__, [pair for pair in metadata], end=" ")
try:
    print(dict(metadata))
except KeyError as error:
    print("KeyError", error)
PY
done > "$folder/said"
cat "$folder/said"
diff "$folder/said" - <<'SAID'
1.78.2 [('key', 'value')] KeyError ('key', 'value')
1.81.1 [('key', 'value')] {'key': 'value'}
SAID
