#!/bin/sh
# Becomes the store of a cluster: it serves one user alone, `cellserve`, who may do what servers do with their own keys and nothing else.
# STORE_PASSWORD_FILE names the file of the password, which stands on no command line. VALKEY_SERVER is another program than `valkey-server`.
set -eu
password=$(cat "${STORE_PASSWORD_FILE:-/run/secrets/store_password}")
exec "${VALKEY_SERVER:-valkey-server}" - <<END
include ${0%/*}/valkey.conf
user default off
user cellserve on >$password ~{cellserve}:* -@all +@connection +evalsha +script|load +info +time +get +set +getrange +setrange +exists +pttl +pexpire +zadd +zrem +zcard +zscore +zrange +zpopmin +zremrangebyscore
END
