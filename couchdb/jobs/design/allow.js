function (doc, old, user, security) {
  // Who may write what. RIGHTS is the table of roles/matrix.rs for this kind of database: of each kind of document and
  // each role three letters, for creating, changing and deleting: y yes, o its own only, - no. What is one's own is
  // said below. Administrators of the server may do everything; who enters the database at all is for _security.
  //
  // ECMAScript 5 and nothing younger: it runs on every query server of CouchDB since 3.3.
  var rights = RIGHTS;

  function has(role) {
    return user.roles.indexOf(role) !== -1;
  }
  function of(object, name) {
    return Object.prototype.hasOwnProperty.call(object, name) ? object[name] : undefined;
  }
  if (has('_admin')) return;

  var was = old && !old._deleted ? old : null;
  var operation = doc._deleted ? 2 : was ? 1 : 0;
  var job = /^([a-z][a-z0-9-]*)-[0-9]+-[0-9a-z]{26}:([a-z]+)(\.[0-9a-f.]+)?$/.exec(doc._id);
  var named = /^([a-z]+):./.exec(doc._id);
  var kind = job ? job[2] : named ? named[1] : '';
  var row = of(rights, kind);
  if (!row) throw {forbidden: 'this database has no documents with an id like ' + doc._id};
  // A selector of a replication sees the kind and not the id.
  if (doc.kind !== kind && !(operation === 2 && doc.kind === undefined)) {
    throw {forbidden: doc._id + ' must have the kind ' + kind};
  }
  if (job && (kind === 'in' || kind === 'out') !== (job[3] !== undefined)) {
    throw {forbidden: doc._id + ' is not the id of a document of the kind ' + kind};
  }

  function state(run) {
    return (run && run.state) || '';
  }
  function holder(run) {
    return (run && (run.claim || run.last)) || null;
  }
  function isMine(claim) {
    return !!claim && typeof user.name === 'string' && claim.engine === user.name;
  }
  function isOfMyRegion(region) {
    return typeof region === 'string' && has('blitz-engine-' + region);
  }
  function isMyRun() {
    var before = was && was.run, now = doc.run, held = holder(before);
    // A leaf of its own that lost. A verdict on another's claim does not say who wrote it.
    if (operation === 2) return isMine(held) || /^(open|lost|poison)$/.test(state(before));
    if (operation === 0) return state(now) === 'claimed' && isMine(now.claim);
    // An end stays, and what an engine cannot read is the keeper's.
    if (!held || !/^(claimed|open)$/.test(state(before))) return false;
    switch (state(now)) {
      case 'claimed':
      case 'done':
      case 'failed':
      case 'cancelled':
        return isMine(now.claim);
      // Given back, or a verdict on an engine that fell silent: any engine of the region may be its watcher.
      case 'open':
        return state(before) === 'claimed' && !!now.last &&
          now.last.engine === held.engine && now.last.incarnation === held.incarnation;
      case 'lost':
      case 'poison':
        return !!now.claim;
      default:
        return false;
    }
  }
  function isOwn() {
    switch (kind) {
      case 'run':
        return isOfMyRegion(job && job[1]) && isMyRun();
      case 'start':
      case 'ready':
        return isOfMyRegion(job && job[1]) && isMine(doc);
      case 'out':
        return isOfMyRegion(job && job[1]);
      case 'engine':
        // A tombstone says nothing: what is taken away must be its own.
        var said = operation === 2 ? was : doc;
        return !!said && isOfMyRegion(said.region) && isMine(said) && doc._id === 'engine:' + user.name;
      case 'beat':
        return isMine(doc) && doc._id === 'beat:' + user.name;
      case 'plugin':
        // What comes with blitz itself; what a publisher signed never changes.
        return !doc.signature && (!was || !was.signature);
      default:
        return false;
    }
  }

  var own = false;
  for (var i = 0; i < user.roles.length; i++) {
    var right = (of(row, user.roles[i]) || '---').charAt(operation);
    if (right === 'y') return;
    if (right === 'o') own = true;
  }
  if (own && isOwn()) return;
  throw {
    forbidden: (user.name || 'nobody in particular') + ' may not ' + ['create', 'change', 'delete'][operation] +
      ' ' + doc._id + (own ? ': it is not its own' : ' with its roles')
  };
}
