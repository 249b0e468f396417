// nano, the client of the CouchDB project for Node: databases, documents, views, queries, users, feeds.

import Nano from "nano";
import { end, fresh, holds, part, refused, same, server, until } from "./checks.js";

const nano = Nano(server);
const name = fresh("nano");
const db = nano.use(name);

await part("the server", async () => {
  same("it says what it is", (await nano.info()).couchdb, "Welcome");
  same("uuids", (await nano.uuids(3)).uuids.length, 3);
  const session = await nano.session();
  holds("the session has a user", session.userCtx.name !== undefined, session);
});

await part("databases", async () => {
  same("create", (await nano.db.create(name)).ok, true);
  await refused("create again", nano.db.create(name), 412);
  holds("listed", (await nano.db.list()).includes(name));
  same("described", (await nano.db.get(name)).db_name, name);
  same("compacted", (await nano.db.compact(name)).ok, true);
  await refused("an illegal name", nano.db.create("No/Good"), 400);
  const info = await nano.request({ path: "_dbs_info", method: "POST", body: { keys: [name] } });
  same("_dbs_info", info[0].info.db_name, name);
});

await part("documents", async () => {
  const first = await db.insert({ n: 1 }, "rabbit");
  await refused("a conflict", db.insert({ n: 2 }, "rabbit"), 409);
  const second = await db.insert({ n: 2, _rev: first.rev }, "rabbit");
  same("read", (await db.get("rabbit", { revs_info: true }))._revs_info.map((row) => row.rev), [second.rev, first.rev]);
  same("head", (await db.head("rabbit")).etag, `"${second.rev}"`);
  const made = await db.insert({ made: true });
  same("an id is made", made.id.length, 32);
  const copied = await db.get("rabbit");
  same("and read", copied.n, 2);
  const rows = await db.bulk({ docs: [{ _id: "x1", n: 1 }, { _id: "x2", n: 2 }, { _id: "rabbit" }] });
  same("bulk", rows.map((row) => row.error ?? row.ok), [true, true, "conflict"]);
  const fetched = await db.fetch({ keys: ["x2", "never", "x1"] });
  same("fetch", fetched.rows.map((row) => row.doc?.n ?? row.error), [2, "not_found", 1]);
  const revs = await db.fetchRevs({ keys: ["x1"] });
  holds("fetchRevs", /^1-/.test(revs.rows[0].value.rev), revs);
  const list = await db.list({ startkey: "x", endkey: "y", include_docs: true });
  same("list", list.rows.map((row) => row.doc.n), [1, 2]);
  same("destroyed", (await db.destroy("x2", list.rows[1].value.rev)).ok, true);
});

await part("attachments", async () => {
  const put = await db.attachment.insert("file", "a.txt", "hello", "text/plain");
  same("read", (await db.attachment.get("file", "a.txt")).toString(), "hello");
  const many = [
    { name: "one.txt", data: Buffer.from("one"), content_type: "text/plain" },
    { name: "two.bin", data: Buffer.from([0, 255, 10]), content_type: "application/octet-stream" },
  ];
  const multi = await db.multipart.insert({ n: 1 }, many, "parts");
  same("multipart", multi.ok, true);
  same("its part", [...(await db.attachment.get("parts", "two.bin"))], [0, 255, 10]);
  const whole = await db.multipart.get("parts");
  holds("multipart is read", whole.toString().includes("one"));
  same("removed", (await db.attachment.destroy("file", "a.txt", { rev: put.rev })).ok, true);
});

await part("views", async () => {
  await db.bulk({ docs: [...Array(20).keys()].map((n) => ({ _id: `v${n}`, kind: n % 3, size: n })) });
  await db.insert(
    {
      views: {
        kinds: { map: "function (doc) { if (doc.kind !== undefined) emit(doc.kind, doc.size); }", reduce: "_sum" },
        plain: { map: "function (doc) { if (doc.kind === 1) emit([doc.kind, doc._id], null); }" },
      },
      filters: { odd: "function (doc, req) { return doc.size % 2 === 1; }" },
    },
    "_design/d",
  );
  const grouped = await db.view("d", "kinds", { group: true });
  same("grouped", grouped.rows.map((row) => [row.key, row.value]), [[0, 63], [1, 70], [2, 57]]);
  same("reduced", (await db.view("d", "kinds")).rows[0].value, 190);
  const keys = await db.view("d", "kinds", { keys: [2], reduce: false, include_docs: true });
  same("keys", keys.rows.map((row) => row.doc.size), [11, 14, 17, 2, 5, 8]);
  const plain = await db.view("d", "plain", { startkey: [1, "v2"], endkey: [1, {}], limit: 2, descending: false });
  same("a range", plain.rows.map((row) => row.id), ["v4", "v7"]);
  holds("info", (await nano.request({ db: name, path: "_design/d/_info" })).view_index !== undefined);
  const changes = await db.changes({ filter: "d/odd" });
  same("a filter", changes.results.length, 10);
});

await part("queries", async () => {
  const made = await db.createIndex({ index: { fields: ["size"] }, name: "by-size", type: "json" });
  same("an index", made.result, "created");
  const query = { selector: { size: { $gt: 15 } }, fields: ["_id", "size"], sort: [{ size: "desc" }], limit: 3 };
  const found = await db.find(query);
  same("found", found.docs, [{ _id: "v19", size: 19 }, { _id: "v18", size: 18 }, { _id: "v17", size: 17 }]);
  const next = await db.find({ ...query, bookmark: found.bookmark });
  same("the next page", next.docs.map((doc) => doc.size), [16]);
  const explained = await nano.request({ db: name, method: "POST", path: "_explain", body: query });
  same("explained", explained.index.name, "by-size");
});

await part("a feed", async () => {
  const told = [];
  const reader = db.changesReader.start({ since: "now", timeout: 2000, wait: false, batchSize: 10 });
  reader.on("change", (change) => told.push(change.id));
  // stop() aborts the request that waits, and nano tells of it as an error.
  reader.on("error", (error) => same("the reader ends", /abort/.test(String(error)), true));
  let probe = 0;
  await until("the reader opens", async () => {
    await db.insert({}, `probe-${(probe += 1)}`);
    return told.length > 0;
  });
  await db.bulk({ docs: [{ _id: "t1" }, { _id: "t2" }] });
  await until("all is told", () => told.includes("t1") && told.includes("t2"));
  db.changesReader.stop();
  const all = [];
  await new Promise((resolve, reject) => {
    const reader = nano.use(name).changesReader.get({ since: 0, batchSize: 7, timeout: 1000 });
    reader.on("change", (change) => all.push(change.id)).on("end", resolve).on("error", reject);
  });
  same("the whole feed in pages, once each", all.length, new Set(all).size);
  holds("the whole feed", all.includes("v19") && all.includes("t2"), all.length);
});

await part("rights and users", async () => {
  const user = `reader-${process.pid}-${Date.now()}`;
  const users = nano.use("_users");
  const id = `org.couchdb.user:${user}`;
  const made = await users.insert({ name: user, password: "secret", roles: ["readers"], type: "user" }, id);
  try {
    await nano.request({
      db: name,
      method: "PUT",
      path: "_security",
      body: { admins: { names: [], roles: [] }, members: { names: [], roles: ["readers"] } },
    });
    const base = new URL(server);
    base.username = base.password = "";
    await refused("nobody may not read", Nano(base.href).use(name).get("rabbit"), 401);
    base.username = user;
    base.password = "secret";
    const reader = Nano(base.href);
    same("a reader may", (await reader.use(name).get("rabbit")).n, 2);
    same("and is known", (await reader.session()).userCtx.roles, ["readers"]);
    await refused("but not make databases", reader.db.create(`${name}-no`), 401);
    base.username = base.password = "";
    const cookie = Nano(base.href);
    same("a cookie", (await cookie.auth(user, "secret")).ok, true);
    same("is taken", (await cookie.session()).userCtx.name, user);
    await refused("a wrong password", cookie.auth(user, "wrong"), 401);
  } finally {
    const user = await users.get(id);
    await users.destroy(id, user._rev ?? made.rev);
  }
});

await part("replication", async () => {
  const target = fresh("nano-target");
  const done = await nano.db.replicate(`${server}/${name}`, `${server}/${target}`, { create_target: true });
  same("it is done", [done.ok, done.history[0].doc_write_failures], [true, 0]);
  same("a document came", (await nano.use(target).get("rabbit")).n, 2);
});

await part("the end", async () => {
  same("destroyed", (await nano.db.destroy(name)).ok, true);
  await refused("gone", nano.db.get(name), 404);
});

await end();
