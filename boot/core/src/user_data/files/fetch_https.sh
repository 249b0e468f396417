# get URL FILE: what stands there, from a web server.
get() {
  curl -q --proto '=http,https' --fail --silent --show-error --connect-timeout 10 --max-time "$FETCH_S" \
    --retry 4 --retry-connrefused --retry-delay 1 --output "$2" "$1"
}
# prepare: nothing is to be known before.
prepare() {
  hint=''
}
