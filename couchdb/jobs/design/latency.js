function (doc) {
  // How long the answers of load tests took, by job, second and bucket:
  //   [job, second, bucket_us] -> count
  // From when a request was due to the last byte of its answer; in a closed model that is from when it was sent. A bucket
  // is named by its least value in microseconds: 0 to 8 by one, and from there four in each octave (8, 10, 12, 14,
  // 16, 20, 24, 28, 32, 40, ...), so that it is at most a quarter of its value wide. Those of a tick are parts of them, and
  // nothing is counted in a wrong one. The warm-up does not count.
  if (doc.kind !== 'out' || !Array.isArray(doc.frames)) return;

  function number(value) {
    return typeof value === 'number' && isFinite(value) && value > 0 ? value : 0;
  }
  function list(value) {
    return Array.isArray(value) ? value : [];
  }
  function bucket(value) {
    var width = 1;
    while (value >= 8 * width) width *= 2;
    return Math.floor(value / width) * width;
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
    var counts = {};
    list(tick.steps).forEach(function (step) {
      list(step && step.classes).forEach(function (answers) {
        var response = list(answers && answers.response_us);
        var times = response.length > 0 ? response : list(answers && answers.service_us);
        times.forEach(function (pair) {
          var least = bucket(number(pair && pair[0]));
          counts[least] = (counts[least] || 0) + number(pair && pair[1]);
        });
      });
    });
    for (var least in counts) {
      if (counts[least] > 0) emit([doc._id.split(':')[0], number(tick.second), Number(least)], counts[least]);
    }
  });
}
