"""ibmcloudant, the maintained client of IBM for Python: documents, bulk, queries, views, feeds, replication.

usage: cloudant.py http://NAME:PASSWORD@HOST:PORT
"""

import base64
import json
import os
import sys
import time
import urllib.parse

from ibm_cloud_sdk_core import ApiException
from ibm_cloud_sdk_core.authenticators import BasicAuthenticator
from ibmcloudant import CouchDbSessionAuthenticator
from ibmcloudant.cloudant_v1 import CloudantV1
from ibmcloudant.features.changes_follower import ChangesFollower
from ibmcloudant.features.pagination import PagerType, Pagination

PATIENCE_S = 60
passed = failed = 0


def brief(value):
    """A value as text of one line."""
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."


def same(what, got, wanted):
    """Checks that two values are equal."""
    global passed, failed
    if got == wanted:
        passed += 1
    else:
        failed += 1
        print(f"FAIL {what}: wanted {brief(wanted)}, got {brief(got)}")


def refused(what, call, status):
    """Checks that a call fails with this status."""
    try:
        same(what, call(), f"a refusal with {status}")
    except ApiException as error:
        same(what, error.status_code, status)


def part(run):
    """Runs one part; what it throws is a failure, and the others still run."""
    global failed
    try:
        run()
    except Exception as error:  # pylint: disable=broad-except
        failed += 1
        print(f"FAIL {run.__name__}: threw {type(error).__name__}: {brief(str(error))}")


if len(sys.argv) != 2:
    sys.exit(__doc__)
address = urllib.parse.urlsplit(sys.argv[1])
base = f"http://{address.hostname}:{address.port}"
user, password = urllib.parse.unquote(address.username), urllib.parse.unquote(address.password)


def client(authenticator):
    service = CloudantV1(authenticator=authenticator)
    service.set_service_url(base)
    return service


service = client(BasicAuthenticator(user, password))
db = f"client-cloudant-{os.getpid()}-{int(time.time() * 1000):x}"
copy = db + "-copy"


def databases():
    same("a welcome", service.get_server_information().get_result()["couchdb"], "Welcome")
    same("it is up", service.get_up_information().get_result()["status"], "ok")
    same("created", service.put_database(db).get_status_code(), 201)
    refused("created again", lambda: service.put_database(db).get_status_code(), 412)
    same("listed", db in service.get_all_dbs(start_key=json.dumps(db), limit=5).get_result(), True)
    same("described", service.get_database_information(db).get_result()["doc_count"], 0)
    same("seen", service.head_database(db).get_status_code(), 200)
    infos = service.post_dbs_info([db, "never"]).get_result()
    same("several", [info.get("error") for info in infos], [None, "not_found"])
    same("uuids", len(service.get_uuids(count=2).get_result()["uuids"]), 2)


def documents():
    first = service.put_document(db, "a", {"n": 1, "text": "é日本😀"}).get_result()
    refused("a conflict", lambda: service.put_document(db, "a", {"n": 2}).get_result(), 409)
    second = service.put_document(db, "a", {"n": 2}, rev=first["rev"]).get_result()
    same("read", service.get_document(db, "a").get_result(), {"_id": "a", "_rev": second["rev"], "n": 2})
    etag = service.head_document(db, "a").get_headers()["ETag"]
    same("its tag", etag, f'"{second["rev"]}"')
    same("an old one", service.get_document(db, "a", rev=first["rev"]).get_result()["text"], "é日本😀")
    refused("gone", lambda: service.get_document(db, "never").get_result(), 404)
    for name in ["x/y", "x y", "x+y", "100%", "é"]:
        service.put_document(db, name, {"at": name})
        same(name, service.get_document(db, name).get_result()["at"], name)
    made = service.post_document(db, {"made": True}).get_result()
    same("deleted", service.delete_document(db, made["id"], rev=made["rev"]).get_status_code(), 200)
    local = service.put_local_document(db, "here", {"n": 1}).get_result()
    same("a local one", (local["id"], service.get_local_document(db, "here").get_result()["n"]), ("_local/here", 1))


def bulk():
    docs = [{"_id": f"b{n:02}", "n": n, "kind": ["even", "odd"][n % 2]} for n in range(50)]
    rows = service.post_bulk_docs(db, {"docs": docs + [{"_id": "a"}]}).get_result()
    same("all but one", [row.get("error") for row in rows], [None] * 50 + ["conflict"])
    listed = service.post_all_docs(db, keys=["b01", "never"], include_docs=True).get_result()["rows"]
    same("by keys", [row.get("error") or row["doc"]["n"] for row in listed], [1, "not_found"])
    got = service.post_bulk_get(db, [{"id": "b02"}, {"id": "never"}]).get_result()["results"]
    same("bulk get", ["ok" in row["docs"][0] for row in got], [True, False])
    queries = [{"keys": ["b03"]}, {"start_key": "b04", "limit": 2}]
    results = service.post_all_docs_queries(db, queries).get_result()["results"]
    same("queries", [[row["id"] for row in result["rows"]] for result in results], [["b03"], ["b04", "b05"]])
    diff = service.post_revs_diff(db, {"b03": ["9-abc"]}).get_result()
    same("revs diff", diff["b03"]["missing"], ["9-abc"])
    rev = service.get_document(db, "b49").get_result()["_rev"]
    branch = {"_id": "b49", "n": 490, "_revisions": {"start": 2, "ids": ["f" * 32, rev[2:]]}}
    other = {"_id": "b49", "n": 491, "_revisions": {"start": 2, "ids": ["e" * 32, rev[2:]]}}
    same("merged", service.post_bulk_docs(db, {"docs": [branch, other], "new_edits": False}).get_result(), [])
    winner = service.get_document(db, "b49", conflicts=True).get_result()
    same("the winner", (winner["n"], winner["_conflicts"]), (490, ["2-" + "e" * 32]))


def attachments():
    data = bytes(range(256)) * 300
    put = service.put_attachment(db, "file", "x/y.bin", data, "application/octet-stream").get_result()
    same("read", service.get_attachment(db, "file", "x/y.bin").get_result().content, data)
    inline = service.get_document(db, "file", attachments=True).get_result()["_attachments"]["x/y.bin"]
    same("inline", base64.b64decode(inline["data"]), data)
    # The client packs what it sends, and the server keeps it so.
    same("its length", (inline["revpos"], inline["content_type"]), (1, "application/octet-stream"))
    head = service.head_attachment(db, "file", "x/y.bin")
    same("its head", (head.get_status_code(), head.get_headers().get("Content-Encoding")), (200, "gzip"))
    service.set_enable_gzip_compression(False)
    service.put_attachment(db, "plain", "y.bin", data, "application/octet-stream")
    service.set_enable_gzip_compression(True)
    part_of = service.get_attachment(db, "plain", "y.bin", range="bytes=10-19")
    same("a range", (part_of.get_status_code(), part_of.get_result().content), (206, data[10:20]))
    same("deleted", service.delete_attachment(db, "file", "x/y.bin", rev=put["rev"]).get_status_code(), 200)


def views():
    design = {
        "views": {"kinds": {"map": "function (doc) { if (doc.kind) emit([doc.kind, doc.n], doc.n); }", "reduce": "_stats"}}
    }
    same("stored", service.put_design_document(db, "d", design).get_status_code(), 201)
    rows = service.post_view(db, "d", "kinds", group_level=1).get_result()["rows"]
    same("counted", [(row["key"], row["value"]["count"]) for row in rows], [(["even"], 25), (["odd"], 24)])
    view = {"db": db, "ddoc": "d", "view": "kinds", "reduce": False, "limit": 10}
    pages = list(Pagination.new_pagination(service, PagerType.POST_VIEW, **view).pages())
    same("in pages", [len(page) for page in pages], [10, 10, 10, 10, 9])
    info = service.get_design_document_information(db, "d").get_result()
    same("its index", info["name"], "d")
    designs = service.post_design_docs(db).get_result()["rows"]
    same("listed", [row["id"] for row in designs], ["_design/d"])


def queries():
    made = service.post_index(db, index={"fields": [{"n": "asc"}]}, name="by-n", type="json").get_result()
    same("an index", made["result"], "created")
    names = [index["name"] for index in service.get_indexes_information(db).get_result()["indexes"]]
    same("listed", names, ["_all_docs", "by-n"])
    selector = {"n": {"$gte": 40, "$lt": 49}}
    found = service.post_find(db, selector, fields=["n"], sort=[{"n": "desc"}], limit=4).get_result()
    same("found", [doc["n"] for doc in found["docs"]], [48, 47, 46, 45])
    find = {"db": db, "selector": selector, "limit": 4}
    rows = list(Pagination.new_pagination(service, PagerType.POST_FIND, **find).rows())
    same("in pages", sorted(doc.to_dict()["n"] for doc in rows), list(range(40, 49)))
    explained = service.post_explain(db, selector).get_result()
    same("explained", explained["index"]["name"], "by-n")
    refused("no selector", lambda: service.post_find(db, {"$nope": 1}).get_result(), 400)
    same("deleted", service.delete_index(db, made["id"].split("/")[1], "json", "by-n").get_status_code(), 200)


def feeds():
    page = service.post_changes(db, limit=5, include_docs=True).get_result()
    same("a page", len(page["results"]), 5)
    rest = service.post_changes(db, since=page["last_seq"]).get_result()
    ids = [row["id"] for row in page["results"] + rest["results"]]
    same("once each", len(ids), len(set(ids)))
    chosen = service.post_changes(db, filter="_selector", selector={"kind": "odd"}).get_result()
    same("by a selector", len(chosen["results"]), 24)
    follower = ChangesFollower(service=service, db=db, limit=200)
    told = [change.id for change in follower.start_one_off()]
    same("the follower tells all", sorted(told), sorted(ids))
    live = ChangesFollower(service=service, db=db, since=rest["last_seq"])
    changes = live.start()
    service.put_document(db, "late", {"n": 1})
    same("and goes on", next(iter(changes)).id, "late")
    live.stop()
    stream = service.post_changes_as_stream(db, feed="continuous", timeout=300).get_result()
    lines = [json.loads(line) for line in stream.iter_lines() if line.strip()]
    same("a stream ends with its sequence", "last_seq" in lines[-1], True)


def rights():
    security = service.get_security(db).get_result()
    same("administrators at first", security["members"]["roles"], ["_admin"])
    set_to = {"names": [], "roles": ["readers"]}
    same("set", service.put_security(db, admins={"names": ["boss"]}, members=set_to).get_result(), {"ok": True})
    same("read", service.get_security(db).get_result()["members"], set_to)
    session = client(CouchDbSessionAuthenticator(user, password))
    same("by cookie", session.get_session_information().get_result()["userCtx"]["name"], user)
    same("it may read", session.get_document(db, "a").get_result()["n"], 2)
    wrong = client(CouchDbSessionAuthenticator(user, "wrong"))
    refused("a wrong password", lambda: wrong.get_document(db, "a").get_result(), 401)


def purges():
    rev = service.put_document(db, "purged", {}).get_result()["rev"]
    # The client has no method for it.
    request = service.prepare_request("POST", f"/{db}/_purge", headers={"Content-Type": "application/json"},
                                      data=json.dumps({"purged": [rev]}))
    same("purged", service.send(request).get_result()["purged"], {"purged": [rev]})
    refused("as if it never was", lambda: service.get_document(db, "purged").get_result(), 404)


def replication():
    own = {"auth": {"basic": {"username": user, "password": password}}}
    ends = {"source": {"url": f"{base}/{db}", **own}, "target": {"url": f"{base}/{copy}", **own}}
    document = f"cloudant-{db}"
    job = service.put_replication_document(document, {**ends, "create_target": True}).get_result()
    try:
        end = time.monotonic() + PATIENCE_S
        state = None
        while state != "completed" and time.monotonic() < end:
            time.sleep(0.2)
            try:
                state = service.get_scheduler_document(document).get_result()["state"]
            except ApiException as error:
                state = error.status_code
        same("the job is done", state, "completed")
        both = [service.get_database_information(name).get_result() for name in (db, copy)]
        same("all came", both[1]["doc_count"], both[0]["doc_count"])
        conflict = service.get_document(copy, "b49", conflicts=True).get_result()
        same("with its conflict", conflict["_conflicts"], ["2-" + "e" * 32])
    finally:
        rev = service.get_replication_document(document).get_result()["_rev"]
        same("ended", service.delete_replication_document(document, rev=rev or job["rev"]).get_status_code(), 200)


for run in (databases, documents, bulk, attachments, views, queries, feeds, rights, purges, replication):
    part(run)
for name in (db, copy):
    try:
        service.delete_database(name)
    except ApiException:
        pass
if failed:
    print(f"{passed} passed, {failed} failed")
    sys.exit(1)
print(f"{passed} checks passed")
