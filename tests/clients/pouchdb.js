// PouchDB: replication both ways, live, with conflicts, attachments and deletions; and as a plain client.

import PouchDB from "pouchdb-core";
import memory from "pouchdb-adapter-memory";
import http from "pouchdb-adapter-http";
import replication from "pouchdb-replication";
import { end, fresh, holds, part, raw, refused, same, server, until } from "./checks.js";

PouchDB.plugin(memory).plugin(http).plugin(replication);

const remote = (name = fresh("pouch")) => new PouchDB(`${server}/${name}`);
const local = () => new PouchDB(fresh("local"), { adapter: "memory" });
const leaves = async (db, id) => {
  const doc = await db.get(id, { conflicts: true });
  return [doc._rev, ...(doc._conflicts ?? [])];
};

await part("documents", async () => {
  const db = remote();
  same("a new database is empty", (await db.info()).doc_count, 0);
  const first = await db.put({ _id: "a", n: 1, text: "é日本😀" });
  same("it is stored", (await db.get("a")).text, "é日本😀");
  await refused("a second put without revision", db.put({ _id: "a" }), 409);
  const second = await db.put({ _id: "a", _rev: first.rev, n: 2 });
  same("the generation grows", second.rev.split("-")[0], "2");
  same("the old one can be read", (await db.get("a", { rev: first.rev })).n, 1);
  await db.remove("a", second.rev);
  await refused("what is deleted", db.get("a"), 404);
  const ids = ["x/y", "x y", "x+y", "100%", "_design/d", "é"];
  const rows = await db.bulkDocs(ids.map((_id) => ({ _id, at: _id })));
  same("all are stored", rows.map((row) => row.ok), ids.map(() => true));
  for (const id of ids) {
    same(`${id} is read by its name`, (await db.get(id)).at, id);
  }
  const page = await db.allDocs({ include_docs: true, startkey: "x", endkey: "y" });
  same("a range", page.rows.map((row) => row.doc.at), ["x y", "x+y", "x/y"]);
  const keys = await db.allDocs({ keys: ["é", "never", "a"] });
  same("keys", keys.rows.map((row) => row.error ?? row.value.deleted ?? row.id), ["é", "not_found", true]);
  const got = await db.bulkGet({ docs: [{ id: "é" }, { id: "never" }] });
  same("bulkGet", got.results.map((row) => row.docs[0].ok?.at ?? row.docs[0].error.error), ["é", "not_found"]);
});

await part("a feed", async () => {
  const db = remote();
  const told = [];
  const feed = db.changes({ live: true, since: "now", include_docs: true, heartbeat: 500 });
  feed.on("change", (change) => told.push([change.id, change.doc.n]));
  // The feed is known to be open once it told of something.
  let probe = 0;
  await until("the feed opens", async () => {
    await db.put({ _id: `probe-${(probe += 1)}` });
    return told.length > 0;
  });
  for (let n = 0; n < 20; n += 1) {
    await db.put({ _id: `d${n}`, n });
  }
  await until("all changes are told", () => told.filter(([id]) => id.startsWith("d")).length === 20);
  same("in their order", told.filter(([id]) => id.startsWith("d")).map(([, n]) => n), [...Array(20).keys()]);
  feed.cancel();
  const page = await db.changes({ doc_ids: ["d3", "d4"], since: 0 });
  same("of some ids", page.results.map((row) => row.id).sort(), ["d3", "d4"]);
  const chosen = await db.changes({ selector: { n: { $gte: 18 } }, since: 0 });
  same("of a selector", chosen.results.map((row) => row.id).sort(), ["d18", "d19"]);
});

await part("replication both ways", async () => {
  const [here, there] = [local(), remote()];
  const docs = [...Array(250).keys()].map((n) => ({ _id: `h${n}`, n, text: "x".repeat(n) }));
  await here.bulkDocs(docs);
  await there.bulkDocs(docs.map((doc) => ({ ...doc, _id: `t${doc.n}` })));
  const push = await here.replicate.to(there, { batch_size: 60 });
  same("all are pushed", [push.ok, push.docs_written, push.doc_write_failures], [true, 250, 0]);
  const pull = await here.replicate.from(there, { batch_size: 60 });
  same("all are pulled", [pull.ok, pull.docs_written], [true, 250]);
  const revisions = async (db) => {
    const rows = (await db.allDocs()).rows;
    return Object.fromEntries(rows.map((row) => [row.id, row.value.rev]));
  };
  same("the same revisions on both sides", await revisions(here), await revisions(there));
  const again = await here.replicate.to(there);
  same("from the checkpoint nothing is to do", [again.docs_read, again.docs_written], [0, 0]);
  const gone = await here.get("t7");
  await here.remove(gone);
  await here.replicate.to(there);
  await refused("a deletion is pushed", there.get("t7"), 404);
  const some = local();
  const filtered = await some.replicate.from(there, { selector: { n: { $lt: 5 } } });
  same("by a selector", filtered.docs_written, 10);
  const named = await local().replicate.from(there, { doc_ids: ["h1", "t2"] });
  same("by ids", named.docs_written, 2);
});

await part("conflicts", async () => {
  const [one, two, there] = [local(), local(), remote()];
  await one.put({ _id: "c", by: "one" });
  await one.replicate.to(there);
  await two.replicate.from(there);
  const base = (await one.get("c"))._rev;
  await one.put({ _id: "c", _rev: base, by: "one again" });
  await two.put({ _id: "c", _rev: base, by: "two again" });
  for (const db of [one, two, one]) {
    await db.sync(there);
  }
  const seen = await leaves(there, "c");
  same("two leaves", seen.length, 2);
  same("here as there", await leaves(one, "c"), seen);
  same("on the other, too", await leaves(two, "c"), seen);
  const open = await there.get("c", { open_revs: "all" });
  same("both can be read", open.map((row) => row.ok.by).sort(), ["one again", "two again"]);
  await one.remove("c", seen[1]);
  await one.sync(there);
  same("the conflict is settled", await leaves(there, "c"), [seen[0]]);
  const history = await there.get("c", { revs: true });
  same("with its history", history._revisions.ids.length, 2);
  const missing = await there.revsDiff({ c: [seen[0], "9-abc"] });
  same("revsDiff", missing.c.missing, ["9-abc"]);
});

await part("attachments", async () => {
  const [here, there] = [local(), remote()];
  const bytes = Buffer.from([...Array(70_001).keys()].map((n) => (n * 7) % 251));
  const first = await here.putAttachment("a", "x/y.bin", bytes, "application/octet-stream");
  await here.put({
    _id: "b",
    _attachments: { "t.txt": { content_type: "text/plain", data: Buffer.from("text").toString("base64") } },
  });
  await here.replicate.to(there);
  holds("bytes are pushed", bytes.equals(await there.getAttachment("a", "x/y.bin")));
  same("their type", (await there.get("b"))._attachments["t.txt"].content_type, "text/plain");
  const inline = await there.get("b", { attachments: true });
  same("inline", Buffer.from(inline._attachments["t.txt"].data, "base64").toString(), "text");
  const second = await there.putAttachment("a", "z", first.rev, Buffer.from("zz"), "text/plain");
  await here.replicate.from(there);
  // Not of a text: a server may keep that compressed, and digests are of what is kept.
  const digest = async (db) => (await db.get("a"))._attachments["x/y.bin"].digest;
  same("the same digest", await digest(there), await digest(here));
  same("pulled", (await here.getAttachment("a", "z")).toString(), "zz");
  await there.removeAttachment("a", "x/y.bin", second.rev);
  same("one is left", Object.keys((await there.get("a"))._attachments), ["z"]);
});

await part("live replication", async () => {
  const [here, there] = [local(), remote()];
  const sync = here.sync(there, { live: true, retry: true, heartbeat: 500 });
  await here.put({ _id: "from-here", n: 0 });
  await there.put({ _id: "from-there", n: 0 });
  const has = (db, id) => db.get(id).then(() => true, () => false);
  await until("what is written here comes there", () => has(there, "from-here"));
  await until("what is written there comes here", () => has(here, "from-there"));
  for (let n = 1; n <= 10; n += 1) {
    await here.put({ ...(await here.get("from-here")), n });
  }
  await until("the last revision comes", async () => (await there.get("from-here")).n === 10);
  sync.cancel();
});

await part("replication by the server", async () => {
  const [source, target] = [fresh("source"), fresh("target")];
  const [from, to] = [remote(source), remote(target)];
  await from.bulkDocs([...Array(30).keys()].map((n) => ({ _id: `d${n}`, n })));
  await to.info();
  const done = await raw("POST", "/_replicate", { source: `${server}/${source}`, target: `${server}/${target}` });
  same("_replicate", [done.status, done.body?.ok], [200, true]);
  const rows = (await to.allDocs()).rows;
  same("all came", rows.length, 30);
  const here = local();
  await here.replicate.from(to);
  same("and go on to PouchDB", (await here.info()).doc_count, 30);
});

await end();
