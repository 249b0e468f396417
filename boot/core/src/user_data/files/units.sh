# The unit, its words, and what load tests want of the kernel.
write_units() {
  mkdir -p "$root/etc/sysctl.d" "$root/etc/systemd/system/blitz-engine.service.d"
  printf 'ENGINE_FLAGS=%s\nENGINE_ID_FLAGS=%s\nENGINE_TRUST=%s\n' \
    "$ENGINE_FLAGS" "$id_flags" "$trust" >"$root/etc/blitz/engine.env"
  printf '[Service]\n%s\n' "$credential" >"$root/etc/systemd/system/blitz-engine.service.d/identity.conf"
  cat >"$root/etc/sysctl.d/80-blitz.conf" <<'CONF'
@SYSCTL@
CONF
  cat >"$root/etc/systemd/system/blitz-engine.service" <<'UNIT'
@UNIT@
UNIT
  if [ -z "$root" ]; then
    sysctl -q -p /etc/sysctl.d/80-blitz.conf || printf 'blitz-boot: load tests will have fewer ports\n' >&2
  fi
}
