root=${DESTDIR:-}

fail() {
  printf 'blitz-boot: %s\n' "$1" >&2
  exit 1
}

# need COMMAND PACKAGE: images without it get it from their own distribution.
need() {
  command -v "$1" >/dev/null 2>&1 && return
  if command -v dnf >/dev/null 2>&1; then
    dnf -y -q install "$2" >&2 || :
  elif command -v apt-get >/dev/null 2>&1; then
    apt-get update -q >&2 || :
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$2" >&2 || :
  fi
  command -v "$1" >/dev/null 2>&1 || fail "there is no '$1' on this machine: install the package $2"
}

# fetch KEY FILE BYTES: an object, which may have so many bytes. One without an end is cut off at some blocks more.
fetch() {
  status=0
  (
    ulimit -f "$(($3 / 512 + 64))"
    get "$BASE/$1" "$2"
  ) || status=$?
  if [ "$status" -ne 0 ] || [ ! -f "$2" ]; then
    fail "failed to fetch $1 from $BASE: curl ended with $status$hint"
  fi
  bytes=$(wc -c <"$2")
  [ "$bytes" -le "$3" ] || fail "$1 has $bytes bytes, $3 are allowed: look who writes to $BASE"
}

# verify FILE SIGNATURE WHAT
verify() {
  openssl pkeyutl -verify -rawin -pubin -inkey "$work/key.pem" -in "$1" -sigfile "$2" >/dev/null 2>&1 ||
    fail "the signature of $3 is not by the key that this machine trusts, or $(openssl version) is older than 3.0: look who writes to $BASE"
}

# fact NAME FILE: one of a line of its own, from a text whose signature is good.
fact() {
  sed -n "s/^\"$1\":\"\\{0,1\\}\\([A-Za-z0-9._+-]*\\)\"\\{0,1\\}[,}]\\{0,1\\}\$/\\1/p" "$2"
}

# version FILE FIRST WHAT: the form that this script reads.
version() {
  [ "$(sed -n 1p "$1")" = "$2" ] || fail "$3 has a form that this machine does not read: render its user data with the blitz-boot that published"
}

digest() {
  sha256sum <"$1" | cut -d ' ' -f 1
}

# The pointer's last line is its signature.
open_pointer() {
  fetch "channels/$CHANNEL/$target.pointer" "$work/signed" 4096
  sed '$d' "$work/signed" >"$work/pointer"
  sed -n '$p' "$work/signed" | openssl base64 -d -A >"$work/pointer.sig" 2>/dev/null || :
  verify "$work/pointer" "$work/pointer.sig" "the pointer of channel $CHANNEL"
  version "$work/pointer" '{"blitz_channel":1,' "the pointer of channel $CHANNEL"
  [ "$(fact channel "$work/pointer") $(fact target "$work/pointer")" = "$CHANNEL $target" ] ||
    fail "the pointer is not of channel $CHANNEL for $target: look who writes to $BASE"
  serial=$(fact serial "$work/pointer")
  floor=$SERIAL_MIN
  kept=$root/opt/blitz/serial.$CHANNEL
  if [ -f "$kept" ] && [ "$(cat "$kept")" -gt "$floor" ]; then
    floor=$(cat "$kept")
  fi
  [ "$serial" -ge "$floor" ] ||
    fail "the pointer of channel $CHANNEL has serial $serial, and $floor is the least that is taken: an old one is shown again, look who writes to $BASE"
  bundle=$(fact bundle "$work/pointer")
}

open_manifest() {
  fetch "bundles/$bundle/manifest.json" "$work/manifest" 65536
  fetch "bundles/$bundle/manifest.json.sig" "$work/manifest.sig" 64
  verify "$work/manifest" "$work/manifest.sig" "the manifest of bundle $bundle"
  [ "$(digest "$work/manifest")" = "$bundle" ] ||
    fail "the manifest is not that of bundle $bundle: look who writes to $BASE"
  version "$work/manifest" '{"blitz_bundle":1,' "the manifest of bundle $bundle"
  [ "$(fact target "$work/manifest")" = "$target" ] || fail "bundle $bundle is not for $target"
  needs=$(fact glibc "$work/manifest")
  has=$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)
  newest=$(printf '%s\n%s\n' "$needs" "$has" | sort -V | tail -n 1)
  [ "$newest" = "$has" ] || fail "bundle $bundle needs glibc $needs and this machine has ${has:-none}: take a newer image, or build on an older system"
}

fetch_files() {
  mkdir -p "$work/bundle/bin" "$work/bundle/plugins"
  sed -n 's/^{"name":"\([A-Za-z0-9._-]*\)","mode":"\(0[0-7]*\)","size_bytes":\([0-9]*\),"sha256":"\([0-9a-f]*\)"},\{0,1\}$/\1 \2 \3 \4/p' \
    "$work/manifest" >"$work/files"
  trust=''
  while read -r name mode size_bytes sha256; do
    case $name in
      blitz) place=$work/bundle/bin/blitz ;;
      *) place=$work/bundle/plugins/$name trust="$trust --trust $sha256" ;;
    esac
    fetch "blobs/sha256/$sha256" "$place" "$size_bytes"
    [ "$(digest "$place")" = "$sha256" ] || fail "file $name of bundle $bundle is not the one that was signed: look who writes to $BASE"
    chmod "$mode" "$place"
  done <"$work/files"
  [ -x "$work/bundle/bin/blitz" ] || fail "bundle $bundle has no program"
}

# Where the bundle of this name lies already, its place is taken by the one that was looked at now.
place_bundle() {
  chmod -R a+rX "$work/bundle"
  sync
  if [ -e "$root/opt/blitz/$bundle" ]; then
    mv "$root/opt/blitz/$bundle" "$work/before"
  fi
  mv "$work/bundle" "$root/opt/blitz/$bundle"
  ln -s "$bundle" "$work/current"
  mv -T "$work/current" "$root/opt/blitz/current"
  printf '%s\n' "$serial" >"$work/serial"
  mv "$work/serial" "$kept"
  if command -v restorecon >/dev/null 2>&1; then
    restorecon -R "$root/opt/blitz" || :
  fi
}

main() {
  need curl curl
  need openssl openssl
  machine=$(uname -m)
  case $machine in
    x86_64 | aarch64) target=$machine-unknown-linux-gnu ;;
    *) fail "there is no blitz for machines of kind $machine: take x86_64 or aarch64" ;;
  esac
  mkdir -p "$root/opt/blitz" "$root/etc/blitz" "$root/etc/systemd/system"
  work=$(mktemp -d "$root/opt/blitz/.incoming.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  printf '%s\n' "$KEY_PEM" >"$work/key.pem"
  prepare
  open_pointer
  open_manifest
  fetch_files
  identify
  place_bundle
  write_units
  start
  printf 'blitz-boot: bundle %s of channel %s (serial %s) runs for region %s\n' "$bundle" "$CHANNEL" "$serial" "$REGION"
}
