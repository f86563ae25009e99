#!/bin/sh
# Whether the store serves its user: it has read what it kept, and knows the password.
set -eu
export REDISCLI_AUTH=$(cat "${STORE_PASSWORD_FILE:-/run/secrets/store_password}")
test "$(valkey-cli --user cellserve ping)" = PONG
