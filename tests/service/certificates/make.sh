#!/usr/bin/env bash
# Makes the certificates beside it, valid for a hundred years; their keys guard nothing. From the root of the repository:
#
#   bash tests/service/certificates/make.sh
#
# authority          signs the others, but for stranger; its key is thrown away
# server, renewed    of models.example and localhost: the second replaces the first
# client             of a caller, for mutual TLS
# expired            of a server, of the year 2020
# stranger           signed by itself, known to nobody
# locked-key         the key of server under a passphrase
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
century=36500

self_signed() { # name, common name, where the key goes
  openssl req -x509 "${curve[@]}" -days $century -subj "/CN=$2" -keyout "$3" -out "$1.pem" 2>/dev/null
}

signed() { # name, common name, extensions, validity …
  openssl req "${curve[@]}" -subj "/CN=$2" -keyout "$1-key.pem" -out "$work/$1.csr" 2>/dev/null
  printf '%s\n' "basicConstraints=critical,CA:FALSE" "$3" >"$work/$1.ext"
  (cd "$work" && openssl ca -batch -notext -config ca.conf -extfile "$1.ext" -in "$1.csr" -out "$1.pem" "${@:4}" 2>/dev/null)
  cp "$work/$1.pem" "$1.pem"
}

self_signed authority "test authority" "$work/authority-key.pem"
self_signed stranger stranger stranger-key.pem
cp authority.pem "$work"
touch "$work/index.txt"
cat >"$work/ca.conf" <<'END'
[ca]
default_ca = here
[here]
database = index.txt
new_certs_dir = .
certificate = authority.pem
private_key = authority-key.pem
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
END
names="subjectAltName=DNS:models.example,DNS:localhost"
signed server models.example "$names" -days $century
signed renewed models.example "$names" -days $century
signed client "a caller" "extendedKeyUsage=clientAuth" -days $century
signed expired models.example "$names" -startdate 20200101000000Z -enddate 20201231000000Z
openssl pkey -in server-key.pem -aes256 -passout pass:secret -out locked-key.pem
