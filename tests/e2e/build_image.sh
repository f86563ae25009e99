#!/usr/bin/env bash
# `podman build` for machines inside a container or behind a package index of their own. Takes podman build's arguments:
#
#   tests/e2e/build_image.sh -t localhost/cellserve:latest -f deploy/Dockerfile .
#
# Builds without a container runtime (chroot isolation) on the host's network. If the host's pip has settings of its own
# (an index, local folders of wheels), the build gets them too, and torch then comes from there.
set -euo pipefail
arguments=(--isolation=chroot --network=host --format=docker)
settings=$(python3 -m pip config list 2>/dev/null; env | grep '^PIP_' || true)
if [[ -n $settings ]]; then
  arguments+=(--build-arg TORCH_INDEX_URL=)
  while IFS='=' read -r name value; do arguments+=(--env "$name=$value"); done < <(env | grep '^PIP_' || true)
  paths=$(
    grep -oE "(file://)?/[^ ']+" <<<"$settings" | sed -e 's#^file://##' -e 's#/simple$##'  # an index keeps its files beside its pages
    python3 -m pip config debug 2>/dev/null | awk -F, '/exists: True/ {gsub(/ /, "", $1); print $1}'
  )
  while read -r path; do [[ ! -e $path ]] || arguments+=(-v "$path:$path:ro"); done < <(sort -u <<<"$paths")
fi
exec podman build "${arguments[@]}" "$@"
