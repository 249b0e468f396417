# Which engine this is, and the token by which it joins: never in this text, as whoever can read user data could join too.
identify() {
  id=${BLITZ_ID:-$ENGINE_ID}
  seen=$root/var/lib/cloud/data/instance-id
  if [ -z "$id" ] && [ -f "$seen" ]; then
    id=$(sed -n 1p "$seen")
  fi
  if [ -z "$id" ]; then
    id=$(uname -n)
  fi
  case $id in
    -* | *[!A-Za-z0-9._-]*) fail "the engine's name cannot be '$id': set BLITZ_ID to letters, digits and . _ -" ;;
  esac
  [ "${#id}" -le 64 ] || fail "the engine's name '$id' has more than 64 characters: set BLITZ_ID"
  token=$root/etc/blitz/join-token
  if [ -n "${BLITZ_JOIN_TOKEN:-}" ]; then
    (umask 077 && printf '%s\n' "$BLITZ_JOIN_TOKEN" >"$token")
  fi
  [ -s "$token" ] ||
    fail "there is no join token: put what 'blitz region token $REGION' prints into $token (mode 0600), or into BLITZ_JOIN_TOKEN of this script"
  # What systemd lends to this unit, as the user of the engine cannot read the file.
  lent=/run/credentials/blitz-engine.service/join-token
  id_flags="--id $id --join-token-file $lent --keep-token /var/lib/blitz-engine/token"
  credential="LoadCredential=join-token:/etc/blitz/join-token"
}
