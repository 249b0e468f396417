function (doc) {
  // What became of the requests of load tests, by job and second:
  //   [job, second] -> [hits, errors, timeouts, sent_bytes, received_bytes]
  // Hits are answers, whatever their status. Errors are what went wrong, time-outs left out; an answer with another
  // status than the expected one is a hit and an error. The warm-up does not count.
  if (doc.kind !== 'out' || !Array.isArray(doc.frames)) return;

  function number(value) {
    return typeof value === 'number' && isFinite(value) && value > 0 ? value : 0;
  }
  function list(value) {
    return Array.isArray(value) ? value : [];
  }

  doc.frames.forEach(function (frame) {
    if (!frame || frame.stream !== 'event:load-tick') return;
    var tick;
    try {
      tick = JSON.parse(frame.text);
    } catch (error) {
      return;
    }
    if (!tick || typeof tick !== 'object' || tick.is_warm_up) return;
    var sums = [0, 0, 0, 0, 0];
    list(tick.steps).forEach(function (step) {
      if (!step) return;
      list(step.classes).forEach(function (answers) {
        var statuses = (answers && answers.statuses) || {};
        for (var status in statuses) sums[0] += number(statuses[status]);
      });
      var errors = step.errors || {};
      for (var kind in errors) sums[kind === 'timeout' ? 2 : 1] += number(errors[kind]);
      sums[3] += number(step.sent_bytes);
      sums[4] += number(step.received_bytes);
    });
    emit([doc._id.split(':')[0], number(tick.second)], sums);
  });
}
