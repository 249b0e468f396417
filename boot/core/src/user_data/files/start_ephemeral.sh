# A machine without state of its own ends with its engine: one that drained and left, or that does not start again and again. The
# timer is the last net, where nobody else is left to end it.
start() {
  mkdir -p "$root/etc/systemd/system/blitz-engine.service.d"
  cat >"$root/etc/systemd/system/blitz-engine.service.d/machine.conf" <<'UNIT'
[Unit]
# Not FailureAction=, which would end the machine at the first failure, before Restart= has its turn.
SuccessAction=poweroff
OnFailure=blitz-end.service
UNIT
  cat >"$root/etc/systemd/system/blitz-end.service" <<'UNIT'
[Unit]
Description=The end of this machine

[Service]
Type=oneshot
ExecStart=systemctl poweroff
UNIT
  cat >"$root/etc/systemd/system/blitz-end.timer" <<UNIT
[Unit]
Description=The longest life of this machine

[Timer]
OnBootSec=${LIFE_S}s
RandomizedDelaySec=${LIFE_SPREAD_S}s

[Install]
WantedBy=timers.target
UNIT
  systemctl daemon-reload
  systemctl enable --now blitz-end.timer
  systemctl enable --now blitz-engine.service
  mkdir -p "$root/run/blitz-boot"
  : >"$root/run/blitz-boot/ok"
}
