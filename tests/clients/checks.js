// What the scripts share: the server's address, databases of their own, and counted checks.

import { deepStrictEqual } from "node:assert";

/** The server with its administrator: http://NAME:PASSWORD@HOST:PORT. */
export const server = process.argv[2]?.replace(/\/$/, "");
if (!server) {
  console.error(`usage: node ${process.argv[1]} http://NAME:PASSWORD@HOST:PORT`);
  process.exit(2);
}

/** What takes longer than this is wrong, and ends with a message instead of a hang. */
const PATIENCE_MS = 60_000;

let passed = 0;
let failed = 0;

/** Checks that two values are equal. */
export function same(what, got, wanted) {
  try {
    deepStrictEqual(got, wanted);
    passed += 1;
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${what}: ${error.message}`);
  }
}

/** Checks that a statement is true. */
export function holds(what, statement, seen) {
  if (statement) {
    passed += 1;
  } else {
    failed += 1;
    console.log(`FAIL ${what}${seen === undefined ? "" : `: ${JSON.stringify(seen)}`}`);
  }
}

/** Checks that a promise fails with this status. */
export async function refused(what, promise, status) {
  try {
    holds(`${what}: was not refused`, false, await promise);
  } catch (error) {
    same(what, error.status ?? error.statusCode, status);
  }
}

/** Asks again until the answer is true. */
export async function until(what, ask) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    if (await ask()) {
      holds(what, true);
      return;
    }
    if (Date.now() > end) {
      holds(`${what}: did not come in ${PATIENCE_MS} ms`, false);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs one part; what it throws is a failure, and the others still run. */
export async function part(name, run) {
  try {
    await run();
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: threw ${error.stack ?? error}${error.reason ? ` (${error.reason})` : ""}`);
  }
}

/** A request without any client between. */
export async function raw(method, path, body) {
  const url = new URL(server + path);
  const basic = Buffer.from(decodeURIComponent(`${url.username}:${url.password}`)).toString("base64");
  url.username = url.password = "";
  const headers = { authorization: `Basic ${basic}`, "content-type": "application/json" };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  return { status: answer.status, body: await answer.json().catch(() => null) };
}

let made = 0;
const databases = [];

/** The name of a database that is not there, and is deleted at the end. */
export function fresh(word) {
  made += 1;
  const name = `client-${word}-${process.pid}-${Date.now().toString(36)}-${made}`;
  databases.push(name);
  return name;
}

/** Deletes what was made, says how it went, and ends. */
export async function end() {
  for (const name of databases) {
    await raw("DELETE", `/${name}`);
  }
  if (failed > 0) {
    console.log(`${passed} passed, ${failed} failed`);
    process.exit(1);
  }
  console.log(`${passed} checks passed`);
  process.exit(0);
}
