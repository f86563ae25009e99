#!/bin/sh
# The server's container as compose.yaml starts it: publishes the demo's model where there is none yet, then becomes `cellserve ARGUMENTS`.
# CELLSERVE_DEMO=no leaves an empty repository empty. A model that cannot be published keeps nobody from serving.
set -u
if [ "${CELLSERVE_DEMO:-yes}" != no ]; then
  case $(cellserve models --json) in
    "[]") cellserve import "${0%/*}/digits.keras" --alias stable || echo "the demo's model is not published; the server starts all the same" >&2 ;;
  esac
fi
exec cellserve "$@"
