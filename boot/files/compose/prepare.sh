#!/bin/sh
# Makes the secrets of compose.yaml, once, in ./secrets and ./state: a password of the two CouchDBs, the key that signs tokens of
# engines, and the token of the gateways' operator. What is there stays as it is. Needs openssl.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets state/gateways state/japan state/virginia

random() {
  openssl rand -hex 32
}

if [ ! -e secrets/couchdb.env ]; then
  printf 'COUCHDB_USER=admin\nCOUCHDB_PASSWORD=%s\n' "$(random)" >secrets/couchdb.env
fi
password=$(sed -n 's/^COUCHDB_PASSWORD=//p' secrets/couchdb.env)

if [ ! -e secrets/issuer.pem ]; then
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out secrets/issuer.pem 2>/dev/null
fi
if [ ! -e secrets/gateway.token ]; then
  random >secrets/gateway.token
fi

# Who may enter which cluster. The user is an administrator, as gateways open and drop databases here.
for near in tokyo virginia; do
  {
    printf 'own = "%s"\n' "$near"
    for cluster in tokyo virginia; do
      printf '[%s]\nurl = "http://couch-%s:5984"\nuser = "admin"\npassword = "%s"\noperator = true\n' \
        "$cluster" "$cluster" "$password"
    done
  } >"secrets/clusters-$near.toml"
done

# What the CouchDBs are told: they are single nodes, and they believe the gateways' tokens. Their container reads it as another
# user, and there is nothing secret in it.
public=$(openssl pkey -in secrets/issuer.pem -pubout | awk '{ printf "%s\\n", $0 }')
handlers='{chttpd_auth, jwt_authentication_handler}, {chttpd_auth, cookie_authentication_handler}, {chttpd_auth, default_authentication_handler}'
printf '[couchdb]\nsingle_node = true\n[chttpd]\nauthentication_handlers = %s\n[jwt_auth]\nrequired_claims = exp\n[jwt_keys]\nec:issuer = %s\n' \
  "$handlers" "$public" >secrets/couchdb.ini
chmod 0644 secrets/couchdb.ini
chmod 0711 secrets

# Containers run as you, so that they can read what only you can.
printf 'BLITZ_UID=%s\nBLITZ_GID=%s\n' "$(id -u)" "$(id -g)" >.env
printf '%s\n' 'ready: docker compose up --build, and then' \
  "  export BLITZ_HOST=http://127.0.0.1:8042 BLITZ_TOKEN=\$(cat $PWD/secrets/gateway.token)" \
  '  blitz curl -r japan https://example.com'
