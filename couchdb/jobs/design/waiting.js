function (doc) {
  // How many jobs wait for an engine, by region:
  //   region -> count
  // A spec is one more; a run that an engine has, or that has come to an end, is one less. An open run takes nothing away: its job
  // waits again. Where a run is replicated before its spec, a moment counts one too few.
  var step = 0;
  if (doc.kind === 'spec') step = 1;
  if (doc.kind === 'run' && (!doc.run || doc.run.state !== 'open')) step = -1;
  if (step === 0) return;
  // <region>-<number of the database>-<ulid>:<kind>, and regions have dashes, too.
  var parts = doc._id.split(':')[0].split('-');
  if (parts.length < 3) return;
  emit(parts.slice(0, -2).join('-'), step);
}
