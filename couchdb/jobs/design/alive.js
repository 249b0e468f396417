function (doc) {
  // What engines last said of themselves:
  //   engine -> [counter, slots, build, gone]
  // The counter rises while an engine lives: who asks twice, a minute or more apart, sees which have fallen silent. One that is
  // `gone` has said good-bye.
  if (doc.kind !== 'engine' || typeof doc.engine !== 'string') return;
  function number(value) {
    return typeof value === 'number' && isFinite(value) ? value : 0;
  }
  var build = typeof doc.blitz === 'string' ? doc.blitz.slice(0, 64) : '';
  emit(doc.engine.slice(0, 256), [number(doc.counter), number(doc.slots), build, doc.gone === true]);
}
