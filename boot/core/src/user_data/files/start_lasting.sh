# A machine that stays: its engine is started again when it is updated, and after each end but one that was asked for.
start() {
  systemctl daemon-reload
  systemctl enable blitz-engine.service
  systemctl restart blitz-engine.service
}
