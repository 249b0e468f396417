function (doc) {
  // How many jobs were asked for, by tenant and time (UTC):
  //   [tenant, day, hour] -> count
  // The time is the clock of the gateway that admitted the job. Without tenants it is "-".
  if (doc.kind !== 'spec') return;
  var at = doc.created_at_ms;
  // The last millisecond of the year 9999: later ones have longer days than others.
  if (typeof at !== 'number' || !(at >= 0 && at <= 253402300799999)) return;
  var time = new Date(at).toISOString();
  var tenant = typeof doc.tenant === 'string' && doc.tenant ? doc.tenant.slice(0, 64) : '-';
  emit([tenant, time.slice(0, 10), Number(time.slice(11, 13))], 1);
}
