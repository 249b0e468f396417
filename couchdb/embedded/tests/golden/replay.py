#!/usr/bin/env python3
"""Replay golden CouchDB scenarios against any server that speaks the CouchDB HTTP protocol.

  replay.py BASE_URL [--admin user:pass] [--only GLOB] [--skip GLOB,GLOB] [--list] [-v]
            [--dir DIR] [--timeout S] [--jobs N] [--jwt-secret S] [--json FILE]

The scenarios are the *.json files beside this file (or those of DIR). What they want was recorded
from Apache CouchDB 3.5.0 (single node). Python 3 standard library only.

Scenario: {"name", "about", "needs"?: ["jwt"], "steps": [STEP...], "cleanup"?: [STEP...]}
STEP:
  do     {"method", "path", "headers"?, and at most one of
          "body" (JSON) | "body_text" | "body_base64" |
          "body_fill" {"prefix"?, "fill", "count", "suffix"?}}
  as     "admin" (default) | "anonymous" | "user:NAME:PASS" | "jwt:SUB:ROLE,ROLE:SECONDS[:bad]"
  want   {"status": N or [N, M], "headers"?: {name: "exact" | "~regex" | null (absent)},
          "body"? (JSON with matchers), "text"? ("exact" | "~regex"), "length"?, "sha256"?,
          "lines"? (of a feed), "heartbeats"? (at least), "ended"? (the server closed the feed),
          "statuses"? (of a race: {"201": 1, "409": 7})}
  save   {var: "/json/pointer" | "header:NAME" | "text"}
  feed   {"kind": "longpoll" | "continuous" | "eventsource", "delay_ms"?, "meanwhile"?: [STEP...],
          "stop_after"? (lines; the client then closes), "max_ms"?}
  race   N: the request is sent N times at once; want.statuses counts the answers
  retry_ms  repeat the step until it matches or that time is over (for what is only eventually true)
  sleep_ms  wait before the step
  note   for the reader
Variables: ${var} in path, headers, body and want. Given: ${db} ${db2} ${db3} (unique, deleted at the end),
  ${run} (unique), ${base}, ${host}, ${auth_base} (base with the admin's credentials in it).
Matchers: a literal, or "$any" "$rev:N" "$rev" "$seq" "$uuid" "$md5" "$int" "$num" "$str" "$len:N" "$re:REGEX",
  {"$subset": {...}} (other members are ignored; "$absent" as a value: must not be there),
  {"$unordered": [...]}, {"$contains": [...]}, "$$x" for the literal "$x".
Exit status: 0 all steps matched, 1 some failed, 2 wrong usage.
"""
import argparse, base64, fnmatch, glob, hashlib, hmac, http.client, json, os, re, socket, sys
import threading, time, urllib.parse, uuid
from concurrent.futures import ThreadPoolExecutor

NONE = object()


class Absent(Exception):
    pass


def resolve(doc, pointer):
    for part in pointer.split("/")[1:] if pointer else []:
        part = part.replace("~1", "/").replace("~0", "~")
        try:
            doc = doc[int(part)] if isinstance(doc, list) else doc[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise Absent("nothing at " + pointer)
    return doc


VAR = re.compile(r"\$\{(\w+)\}")


def fill(x, env, quote=False):
    """Put variables into strings, at any depth. A string that is one variable keeps its type."""
    if isinstance(x, str):
        m = VAR.fullmatch(x)
        if m and not quote:
            return env.get(m[1], x)

        def sub(m):
            v = str(env.get(m[1], m[0]))
            return urllib.parse.quote(v, safe="-_.~/") if quote else v
        return VAR.sub(sub, x)
    if isinstance(x, list):
        return [fill(v, env) for v in x]
    if isinstance(x, dict):
        return {fill(k, env): fill(v, env) for k, v in x.items()}
    return x


REV = re.compile(r"(\d+)-[0-9a-fA-F]{1,64}$")


def special(want, got):
    """None when `want` is no matcher, else whether it matches."""
    if want.startswith("$$"):
        return got == want[1:]
    name, _, arg = want.partition(":")
    num = isinstance(got, (int, float)) and not isinstance(got, bool)
    if want == "$any":
        return True
    if want == "$seq":
        return num or (isinstance(got, str) and got != "")
    if want == "$uuid":
        return isinstance(got, str) and re.fullmatch(r"[0-9a-f]{32}", got) is not None
    if want == "$md5":
        return isinstance(got, str) and re.fullmatch(r"md5-[A-Za-z0-9+/]{22}==", got) is not None
    if want == "$int":
        return num and float(got).is_integer()
    if want == "$num":
        return num
    if want == "$str":
        return isinstance(got, str)
    if name == "$rev":
        m = REV.match(got) if isinstance(got, str) else None
        return bool(m) and (not arg or m[1] == arg)
    if name == "$len":
        return isinstance(got, (str, list, dict)) and len(got) == int(arg)
    if name == "$re":
        return isinstance(got, str) and re.search(arg, got) is not None
    return None


def brief(x, n=160):
    s = x if isinstance(x, str) else json.dumps(x, ensure_ascii=False)
    return s if len(s) <= n else s[: n - 3] + "..."


def match(want, got, at=""):
    """The list of differences, empty when it matches."""
    if isinstance(want, str):
        if want.startswith("$"):
            ok = special(want, got)
            if ok is not None:
                return [] if ok else ["%s: wanted %s, got %s" % (at or "/", want, brief(got))]
        return [] if isinstance(got, str) and want == got else ["%s: wanted %s, got %s" % (at or "/", brief(json.dumps(want)), brief(json.dumps(got)))]
    if isinstance(want, dict):
        if len(want) == 1:
            (k, v), = want.items()
            if k == "$subset":
                if not isinstance(got, dict):
                    return ["%s: wanted an object, got %s" % (at or "/", brief(got))]
                out = []
                for kk, vv in v.items():
                    if vv == "$absent":
                        if kk in got:
                            out.append("%s/%s: wanted absent, got %s" % (at, kk, brief(got[kk])))
                    elif kk not in got:
                        out.append("%s/%s: missing (wanted %s)" % (at, kk, brief(vv)))
                    else:
                        out += match(vv, got[kk], at + "/" + kk)
                return out
            if k in ("$unordered", "$contains"):
                if not isinstance(got, list):
                    return ["%s: wanted a list, got %s" % (at or "/", brief(got))]
                left = list(got)
                for w in v:
                    for i, g in enumerate(left):
                        if not match(w, g):
                            del left[i]
                            break
                    else:
                        return ["%s: no element like %s in %s" % (at or "/", brief(w), brief(got))]
                if left and k == "$unordered":
                    return ["%s: unwanted element %s" % (at or "/", brief(left[0]))]
                return []
        if not isinstance(got, dict):
            return ["%s: wanted %s, got %s" % (at or "/", brief(want), brief(got))]
        out = []
        for k in want:
            if k not in got:
                out.append("%s/%s: missing (wanted %s)" % (at, k, brief(want[k])))
            else:
                out += match(want[k], got[k], at + "/" + k)
        for k in got:
            if k not in want:
                out.append("%s/%s: unwanted, %s" % (at, k, brief(got[k])))
        return out
    if isinstance(want, list):
        if not isinstance(got, list):
            return ["%s: wanted a list, got %s" % (at or "/", brief(got))]
        out = []
        if len(want) != len(got):
            out.append("%s: wanted %d elements, got %d: %s" % (at or "/", len(want), len(got), brief(got)))
        for i, (w, g) in enumerate(zip(want, got)):
            out += match(w, g, "%s/%d" % (at, i))
        return out
    if isinstance(want, bool) or want is None or isinstance(got, bool):
        return [] if want is got else ["%s: wanted %s, got %s" % (at or "/", json.dumps(want), brief(json.dumps(got)))]
    ok = isinstance(got, (int, float)) and (want == got or abs(want - got) <= 1e-9 * max(abs(want), abs(got)))
    return [] if ok else ["%s: wanted %s, got %s" % (at or "/", json.dumps(want), brief(json.dumps(got)))]


class Answer:
    def __init__(self, status=0, headers=None, raw=b"", error=None):
        self.status, self.headers, self.raw, self.error = status, headers or {}, raw, error
        self.lines, self.heartbeats, self.ended = [], 0, None

    @property
    def text(self):
        return self.raw.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.raw)
        except ValueError:
            return NONE


class Server:
    def __init__(self, base, admin, timeout, jwt_secret):
        u = urllib.parse.urlsplit(base)
        self.host, self.port = u.hostname, u.port or 80
        self.netloc = "%s:%d" % (self.host, self.port)
        self.prefix = u.path.rstrip("/")
        self.base = "http://" + self.netloc + self.prefix
        if u.username:
            admin = "%s:%s" % (urllib.parse.unquote(u.username), urllib.parse.unquote(u.password or ""))
        self.admin, self.timeout, self.jwt_secret = admin, timeout, jwt_secret

    def credentials(self, who):
        if who == "anonymous":
            return {}
        if who.startswith("jwt:"):
            _, sub, roles, secs, *bad = who.split(":")
            enc = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=")
            claims = {"sub": sub, "exp": int(time.time()) + int(secs), "_couchdb.roles": [r for r in roles.split(",") if r]}
            m = enc(b'{"alg":"HS256","typ":"JWT"}') + b"." + enc(json.dumps(claims).encode())
            key = b"some other key" if bad else self.jwt_secret.encode()
            return {"Authorization": "Bearer " + (m + b"." + enc(hmac.new(key, m, hashlib.sha256).digest())).decode()}
        pair = self.admin if who == "admin" else who.split(":", 1)[1]
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def open(self, do, env, who):
        body, headers = None, dict(self.credentials(who))
        if "body" in do:
            body = json.dumps(fill(do["body"], env), ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json"
        elif "body_text" in do:
            body = fill(do["body_text"], env).encode()
        elif "body_base64" in do:
            body = base64.b64decode(do["body_base64"])
        elif "body_fill" in do:
            f = do["body_fill"]
            body = (f.get("prefix", "") + f["fill"] * f["count"] + f.get("suffix", "")).encode()
        headers.update({k: str(v) for k, v in fill(do.get("headers", {}), env).items()})
        conn = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        return conn, do["method"], self.prefix + fill(do["path"], env, quote=True), body, headers

    @staticmethod
    def cut(conn):
        """Unblock whoever reads from this connection."""
        sock = getattr(conn, "_kept", None) or conn.sock
        try:
            sock and sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def send(self, do, env, who, seconds=None):
        conn, method, path, body, headers = self.open(do, env, who)
        seconds = seconds or self.timeout
        late = threading.Event()

        def stop():
            late.set()
            self.cut(conn)
        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            conn.connect()
            conn._kept = conn.sock
            try:
                conn.request(method, path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server may answer (413) before it has read all of the body
            r = conn.getresponse()
            a = Answer(r.status, {k.lower(): v for k, v in r.getheaders()})
            a.raw = r.read()
            return a
        except Exception as e:
            return Answer(error="no answer in %gs" % seconds if late.is_set() else repr(e))
        finally:
            timer.cancel()
            conn.close()


def feed_reader(server, step, env, who, answer, enough):
    """Read a continuous or eventsource feed; runs in its own thread."""
    f = step["feed"]
    conn, method, path, body, headers = server.open(step["do"], env, who)
    answer.conn = conn
    try:
        conn.connect()
        conn._kept = conn.sock
        conn.request(method, path, body, headers)
        r = conn.getresponse()
        answer.status, answer.headers = r.status, {k.lower(): v for k, v in r.getheaders()}
        if f["kind"] == "longpoll" or r.status != 200:
            answer.raw = r.read()
            answer.ended = True
            return
        event = {}
        while True:
            line = r.readline()
            if not line:
                answer.ended = True
                return
            answer.raw += line
            line = line.rstrip(b"\r\n").decode("utf-8", "replace")
            if f["kind"] == "continuous":
                if not line:
                    answer.heartbeats += 1
                else:
                    try:
                        answer.lines.append(json.loads(line))
                    except ValueError:
                        answer.lines.append(line)
            else:
                if not line:
                    if event.get("event") == "heartbeat":
                        answer.heartbeats += 1
                    elif event:
                        answer.lines.append(event)
                    event = {}
                else:
                    k, _, v = line.partition(":")
                    v = v.strip()
                    if k == "data":
                        try:
                            v = json.loads(v)
                        except ValueError:
                            pass
                    event[k] = v
            n = f.get("stop_after")
            if n is not None and len(answer.lines) >= n and answer.heartbeats >= f.get("stop_heartbeats", 0):
                answer.ended = False
                return
    except Exception as e:
        if answer.ended is None and not answer.cut:
            answer.error = repr(e)
    finally:
        enough.set()
        conn.close()


class Run:
    def __init__(self, server, verbose=False):
        self.server, self.verbose = server, verbose

    def perform(self, step, env):
        """Do one step; the answer and the results of the steps made meanwhile."""
        who = fill(step.get("as", "admin"), env)
        if "race" in step:
            gate = threading.Barrier(step["race"])

            def one(i):
                e = dict(env, writer=str(i))
                gate.wait(10)
                return self.server.send(step["do"], e, who)
            with ThreadPoolExecutor(step["race"]) as pool:
                answers = list(pool.map(one, range(step["race"])))
            a = Answer(answers[0].status)
            a.statuses = {}
            for x in answers:
                k = str(x.status)
                a.statuses[k] = a.statuses.get(k, 0) + 1
            return a, []
        if "feed" not in step:
            return self.server.send(step["do"], env, who, step.get("timeout_s")), []
        f = step["feed"]
        a, enough, inner = Answer(), threading.Event(), []
        a.cut = False
        end = time.time() + f.get("max_ms", 10000) / 1000
        t = threading.Thread(target=feed_reader, args=(self.server, step, env, who, a, enough), daemon=True)
        t.start()
        if f.get("meanwhile"):
            enough.wait(f.get("delay_ms", 600) / 1000)
            for s in f["meanwhile"]:
                inner.append(self.step(s, env))
        if not enough.wait(max(0.05, end - time.time())):
            a.cut = True
            Server.cut(a.conn)
            enough.wait(2)
        if a.cut and a.status == 0:
            a.error = "no answer in %d ms" % f.get("max_ms", 10000)
        return a, inner

    def check(self, want, a, env):
        if a.error:
            return [a.error]
        out = []
        if "statuses" in want:
            return match(want["statuses"], a.statuses, "statuses")
        ok = want["status"] if isinstance(want["status"], list) else [want["status"]]
        if a.status not in ok:
            out.append("status: wanted %s, got %d %s" % ("/".join(map(str, ok)), a.status, brief(a.text.strip())))
        for k, v in fill(want.get("headers", {}), env).items():
            got = a.headers.get(k.lower())
            if v is None:
                if got is not None:
                    out.append("header %s: wanted absent, got %s" % (k, got))
            elif got is None:
                out.append("header %s: missing (wanted %s)" % (k, v))
            elif not (re.search(v[1:], got) if v.startswith("~") else not match(v, got)):
                out.append("header %s: wanted %s, got %s" % (k, v, got))
        if "body" in want:
            got = a.json()
            if got is NONE:
                out.append("body: wanted JSON, got %s" % brief(a.text))
            else:
                out += match(fill(want["body"], env), got, "body")
        if "text" in want:
            v = fill(want["text"], env)
            if not (re.search(v[1:], a.text, re.S) if v.startswith("~") else v == a.text):
                out.append("text: wanted %s, got %s" % (brief(v), brief(a.text)))
        if "length" in want and len(a.raw) != want["length"]:
            out.append("length: wanted %d, got %d" % (want["length"], len(a.raw)))
        if "sha256" in want and hashlib.sha256(a.raw).hexdigest() != want["sha256"]:
            out.append("sha256 differs (%d bytes)" % len(a.raw))
        if "lines" in want:
            out += match(fill(want["lines"], env), a.lines, "lines")
        if "heartbeats" in want and a.heartbeats < want["heartbeats"]:
            out.append("heartbeats: wanted at least %d, got %d" % (want["heartbeats"], a.heartbeats))
        if "ended" in want and bool(a.ended) != want["ended"]:
            out.append("ended: wanted %s, got %s" % (want["ended"], bool(a.ended)))
        return out

    def keep(self, step, a, env):
        out = []
        for var, src in step.get("save", {}).items():
            try:
                if src.startswith("header:"):
                    env[var] = a.headers[src[7:].lower()]
                elif src == "text":
                    env[var] = a.text
                else:
                    env[var] = resolve(a.json(), src)
            except (Absent, KeyError) as e:
                env[var] = "unset-" + var
                out.append("save %s: %s" % (var, e))
        return out

    def step(self, step, env):
        """(differences, answer) of a step and of all that it contains."""
        time.sleep(step.get("sleep_ms", 0) / 1000)
        end = time.time() + step.get("retry_ms", 0) / 1000
        while True:
            a, inner = self.perform(step, env)
            diffs = self.check(step["want"], a, env)
            if not diffs or time.time() >= end:
                break
            time.sleep(0.1)
        if not a.error:
            diffs = diffs + self.keep(step, a, env)
        else:
            for var in step.get("save", {}):
                env.setdefault(var, "unset-" + var)
        for i, (d, _) in enumerate(inner):
            diffs += ["meanwhile %d: %s" % (i + 1, x) for x in d]
        return diffs, a

    def env(self):
        u, v = uuid.uuid4().hex[:10], uuid.uuid4().hex[:10]
        s = self.server
        return {"db": "g" + v, "db2": "g%s-b" % v, "db3": "g%s-c" % v, "run": u, "base": s.base,
                "host": s.netloc, "auth_base": "http://%s@%s%s" % (s.admin, s.netloc, s.prefix)}

    def tidy(self, sc, env):
        for s in sc.get("cleanup", []):
            self.server.send(s["do"], env, fill(s.get("as", "admin"), env), 5)
        made = {s["do"]["path"].split("?")[0] for s in sc["steps"] if s["do"]["method"] == "PUT"}
        for path in sorted(p for p in made if re.match(r"/_(users|replicator)/.*\$\{run\}", p)):
            doc = self.server.send({"method": "GET", "path": path}, env, "admin", 5).json()
            if isinstance(doc, dict) and "_rev" in doc:
                self.server.send({"method": "DELETE", "path": path + "?rev=" + str(doc["_rev"])}, env, "admin", 5)
        for d in ("db", "db2", "db3"):
            if d == "db" or "${%s}" % d in json.dumps(sc):
                self.server.send({"method": "DELETE", "path": "/" + env[d]}, env, "admin", 5)

    def scenario(self, sc):
        env, log, good, bad, t = self.env(), [], 0, {}, time.time()
        gone = 0
        for i, step in enumerate(sc["steps"], 1):
            try:
                diffs, a = self.step(step, env)
            except Exception as e:  # a scenario must never end the run
                diffs, a = ["replay: %r" % e], Answer(error=repr(e))
            do = step["do"]
            head = "%s #%d %s %s" % (sc["name"], i, do["method"], fill(do["path"], env))
            if diffs:
                bad[i] = a.status
                log.append("FAIL %s: %s%s" % (head, "; ".join(diffs[:3]), " (and %d more)" % (len(diffs) - 3) if len(diffs) > 3 else ""))
            else:
                good += 1
                if self.verbose:
                    log.append("ok   %s -> %s" % (head, a.status))
            # a server that answers nothing any more is not waited for step by step
            gone = gone + 1 if a.error else 0
            if gone >= 3:
                rest = len(sc["steps"]) - i
                if rest:
                    bad.update((n, 0) for n in range(i + 1, len(sc["steps"]) + 1))
                    log.append("FAIL %s: %d further steps not tried, the server does not answer" % (sc["name"], rest))
                break
        self.tidy(sc, env)
        return sc["name"], good, bad, time.time() - t, log


def load(folder, only):
    out = []
    for p in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(p, encoding="utf-8") as f:
            sc = json.load(f)
        if not only or fnmatch.fnmatch(sc["name"], only):
            out.append(sc)
    return out


def main():
    ap = argparse.ArgumentParser(description="Replay golden CouchDB scenarios against a server.")
    ap.add_argument("base_url", nargs="?")
    ap.add_argument("--admin", default="admin:admin", metavar="USER:PASS")
    ap.add_argument("--only", metavar="GLOB")
    ap.add_argument("--skip", default="", metavar="GLOB,GLOB", help="scenarios to leave out; their names are printed")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("-v", "--verbose", action="store_true")
    ap.add_argument("--dir", default=os.path.dirname(os.path.abspath(__file__)))
    ap.add_argument("--timeout", type=float, default=20, help="seconds for one step (20)")
    ap.add_argument("--jobs", type=int, default=1, help="scenarios at once (1)")
    ap.add_argument("--jwt-secret", default="blitz-lab-secret", help="HS256 key the server knows; '' skips those scenarios")
    ap.add_argument("--json", metavar="FILE", help="write the counts there as well, and the steps that failed with the status that came (0: none)")
    args = ap.parse_args()
    scenarios = load(args.dir, args.only)
    skipped = [sc["name"] for sc in scenarios if any(fnmatch.fnmatch(sc["name"], g) for g in args.skip.split(",") if g)]
    if skipped:
        print("left out:", ", ".join(skipped))
        scenarios = [sc for sc in scenarios if sc["name"] not in skipped]
    if args.list:
        for sc in scenarios:
            print("%-28s %3d steps  %s" % (sc["name"], len(sc["steps"]), sc["about"]))
        return 0
    if not args.base_url:
        ap.error("BASE_URL is missing")
    if not scenarios:
        ap.error("no scenario matches")
    if not args.jwt_secret:
        scenarios = [s for s in scenarios if "jwt" not in s.get("needs", [])]
    run = Run(Server(args.base_url, args.admin, args.timeout, args.jwt_secret), args.verbose)
    rows, failed = [], {}
    with ThreadPoolExecutor(max(1, args.jobs)) as pool:
        for name, good, bad, secs, log in pool.map(run.scenario, scenarios):
            for line in log:
                print(line)
            sys.stdout.flush()
            rows.append((name, good, len(bad), secs))
            failed[name] = bad
    print("\n%-28s %6s %6s %7s" % ("scenario", "passed", "failed", "s"))
    for name, good, bad, secs in rows:
        print("%-28s %6d %6d %7.1f" % (name, good, bad, secs))
    good, bad = sum(r[1] for r in rows), sum(r[2] for r in rows)
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"passed": good, "failed": bad, "scenarios": {
                r[0]: {"passed": r[1], "failed": {str(n): s for n, s in failed[r[0]].items()}} for r in rows}}, f, indent=1)
    print("%d passed, %d failed" % (good, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
