//! `validate_doc_update` and what a design document must be.

use crate::client::{Connection, Server};
use serde_json::{Value, json};

async fn design(server: &Server, name: &str, function: &str) {
    let body = json!({"validate_doc_update": function}).to_string();
    let answer = server.ask(&format!("PUT /db/_design/{name}"), &body).await;
    assert_eq!(answer.status, 201, "{:?}", answer.json());
}

/// What a function that shows its arguments was shown.
async fn shown(server: &Server, line: &str, body: &str) -> Value {
    let answer = server.ask(line, body).await;
    assert_eq!(answer.status, 403, "{line}");
    serde_json::from_str(answer.json()["reason"].as_str().unwrap()).unwrap()
}

const SHOW: &str = "function (n, o, u, s) {
    if (n.show || n._deleted || n._attachments) throw {forbidden: JSON.stringify([n, o, u, s])}
}";

#[tokio::test]
async fn a_function_sees_what_couchdb_shows_it() {
    let server = Server::with_database().await;
    design(&server, "v", SHOW).await;
    let [new, old, user, security] = shown(&server, "PUT /db/a", r#"{"show":1}"#).await.list();
    assert_eq!((new, old), (json!({"_id": "a", "show": 1}), Value::Null));
    assert_eq!(user, json!({"db": "db", "name": null, "roles": ["_admin"]}));
    assert_eq!(security["admins"], json!({"roles": ["_admin"]}));

    let revision = server.ask("PUT /db/a", r#"{"n":1}"#).await.revision();
    let hash = revision.strip_prefix("1-").unwrap();
    let path = json!({"start": 1, "ids": [hash]});
    let before = json!({"_id": "a", "_rev": revision, "_revisions": path, "n": 1});

    let body = json!({"_rev": revision, "show": 1}).to_string();
    let [new, old, ..] = shown(&server, "PUT /db/a", &body).await.list();
    assert_eq!(new, json!({"_id": "a", "_rev": revision, "_revisions": path, "show": 1}));
    assert_eq!(old, before);

    let [new, old, ..] = shown(&server, &format!("DELETE /db/a?rev={revision}"), "").await.list();
    assert_eq!(new, json!({"_id": "a", "_rev": revision, "_revisions": path, "_deleted": true}));
    assert_eq!(old, before);

    let mut connection = Connection::open(server.address).await;
    let line = format!("PUT /db/a/f.bin?rev={revision}");
    let answer = connection.put_octets(&line, b"xyz").await;
    assert_eq!(answer.status, 403);
    let told: Value = serde_json::from_str(answer.json()["reason"].as_str().unwrap()).unwrap();
    assert_eq!(told[0]["_attachments"]["f.bin"]["length"], 3);
    assert_eq!((&told[0]["n"], &told[1]), (&json!(1), &before));
    server.stop().await;
}

/// The four arguments.
trait List {
    fn list(self) -> [Value; 4];
}

impl List for Value {
    fn list(self) -> [Value; 4] {
        serde_json::from_value::<Vec<Value>>(self).unwrap().try_into().unwrap()
    }
}

#[tokio::test]
async fn a_conflict_comes_before_validation() {
    let server = Server::with_database().await;
    let revision = server.ask("PUT /db/a", "{}").await.revision();
    design(&server, "v", "function (n) { throw {forbidden: 'never'} }").await;
    for (line, body, status) in [
        ("PUT /db/a", json!({}), 409),
        ("PUT /db/a", json!({"_rev": "1-00000000000000000000000000000000"}), 409),
        ("DELETE /db/b?rev=1-00000000000000000000000000000000", json!({}), 404),
        ("PUT /db/a", json!({"_rev": revision}), 403),
        ("PUT /db/new", json!({}), 403),
        ("PUT /db/_local/a", json!({}), 201),
        ("PUT /db/_design/other", json!({}), 201),
    ] {
        assert_eq!(server.ask(line, &body.to_string()).await.status, status, "{line} {body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn failures_of_several_documents_are_rows() {
    let server = Server::with_database().await;
    design(&server, "v", "function (n) { if (n.bad) throw {forbidden: n.bad} }").await;
    let docs = json!({"docs": [{"_id": "a", "bad": "x"}, {"_id": "b"}]}).to_string();
    let rows = server.ask("POST /db/_bulk_docs", &docs).await.json();
    assert_eq!(rows[0], json!({"id": "a", "error": "forbidden", "reason": "x"}));
    assert_eq!(rows[1]["ok"], true);
    let docs = json!({"new_edits": false, "docs": [
        {"_id": "c", "_rev": "1-aaa", "bad": "y"}, {"_id": "d", "_rev": "1-aaa"}]});
    let rows = server.ask("POST /db/_bulk_docs", &docs.to_string()).await.json();
    let refused = json!({"id": "c", "rev": "1-aaa", "error": "forbidden", "reason": "y"});
    assert_eq!(rows, json!([refused]));
    assert_eq!(server.ask("GET /db/c", "").await.status, 404);
    assert_eq!(server.ask("GET /db/d", "").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_changed_function_is_the_next_ones_judge() {
    let server = Server::with_database().await;
    assert_eq!(server.ask("PUT /db/a", "{}").await.status, 201);
    design(&server, "v", "function () { throw {unauthorized: 'one'} }").await;
    let told = server.ask("PUT /db/b", "{}").await;
    assert_eq!((told.status, told.json()["reason"].as_str()), (401, Some("one")));
    let revision = server.ask("GET /db/_design/v", "").await.json()["_rev"].clone();
    let revision = revision.as_str().unwrap();
    let body = json!({"_rev": revision, "validate_doc_update": "function () { throw 'two' }"});
    let revision = server.ask("PUT /db/_design/v", &body.to_string()).await.revision();
    let told = server.ask("PUT /db/b", "{}").await;
    assert_eq!((told.status, told.json()["reason"].as_str()), (500, Some("two")));
    assert_eq!(server.ask(&format!("DELETE /db/_design/v?rev={revision}"), "").await.status, 200);
    assert_eq!(server.ask("PUT /db/b", "{}").await.status, 201);
    // Another database of the name has no functions of the one before.
    design(&server, "v", "function () { throw {forbidden: 'three'} }").await;
    assert_eq!(server.ask("PUT /db/c", "{}").await.status, 403);
    assert_eq!(server.ask("DELETE /db", "").await.status, 200);
    assert_eq!(server.ask("PUT /db", "").await.status, 201);
    assert_eq!(server.ask("PUT /db/c", "{}").await.status, 201);
    server.stop().await;
}

#[tokio::test]
async fn an_endless_function_costs_its_own_write_only() {
    let server = Server::with_database().await;
    design(&server, "v", "function (n) { if (n.loop) for (;;); }").await;
    let endless = server.ask("PUT /db/a", r#"{"loop":true}"#);
    let other = server.ask("PUT /db/b", "{}");
    let (endless, other) = tokio::join!(endless, other);
    assert_eq!((endless.status, other.status), (500, 201));
    assert_eq!(endless.json()["error"], "os_process_error");
    assert_eq!(server.ask("PUT /db/c", "{}").await.status, 201);
    server.stop().await;
}

#[tokio::test]
async fn a_design_document_has_a_shape() {
    let server = Server::with_database().await;
    for (body, reason) in [
        (json!({"views": 5}), "`views` field must have object type"),
        (json!({"views": {"a": 5}}), "`views.a` field must have object type"),
        (json!({"views": {"lib": "x"}}), "`views.lib` field must have object type"),
        (json!({"views": {"a": {}}}), "View `a` must contain map function"),
        (json!({"views": {"a": {"map": {}}}}), "`views.a.map` field must have string type"),
        (json!({"filters": "x"}), "`filters` field must have object type"),
        (json!({"filters": {"a": 1}}), "`filters.a` field must have string or object type"),
        (json!({"rewrites": 5}), "`rewrites` field must have array or string type"),
        (json!({"options": {"local_seq": 1}}), "`options.local_seq` field must have boolean type"),
        (json!({"views": {"a": {"map": "d => 1", "reduce": "_top_x"}}}), "invalid rank reducer"),
        (
            json!({"views": {"a": {"map": "d => 1", "reduce": "_top_0"}}}),
            "rank value must be between 1 and 100",
        ),
        (
            json!({"views": {"a": {"map": "d => 1", "reduce": "_no"}}}),
            "`_no` is not a supported reduce function.",
        ),
        (
            json!({"views": {"a": {"map": "5"}}}),
            "Compilation of the map function in the 'a' view failed: Expression does not eval to a function. (5)",
        ),
    ] {
        let answer = server.ask("PUT /db/_design/d", &body.to_string()).await;
        assert_eq!(answer.json()["reason"], reason, "{body}");
        assert_eq!(answer.status, 400, "{body}");
    }
    for body in [
        json!({"language": "erlang", "views": {"a": {"map": "fun"}}}),
        json!({"language": "query", "views": {"a": {"map": {}}}}),
        json!({"views": {"lib": {"a": "exports.a = 1"}, "a": {"map": "d => 1", "reduce": "_sum"}}}),
        json!({"validate_doc_update": "function ("}),
    ] {
        let id = body.to_string().len();
        let answer = server.ask(&format!("PUT /db/_design/{id}"), &body.to_string()).await;
        assert_eq!(answer.status, 201, "{body}");
    }
    server.stop().await;
}

/// What cannot be judged yet must not be stored later: the edits of one request are looked at before any
/// of them is made.
#[tokio::test]
async fn no_edit_hides_behind_another_of_its_request() {
    let server = Server::with_database().await;
    let attached = json!({"f": {"data": "eA==", "content_type": "text/plain"}});
    let stub = json!({"f": {"stub": true}});
    // The revision of an update is no secret: it is a hash of what the client sends.
    let first = server.ask("PUT /db/twin", r#"{"n":1}"#).await.revision();
    let body = json!({"_rev": first, "n": 2}).to_string();
    let second = server.ask("PUT /db/twin", &body).await.revision();
    assert_eq!(server.ask("PUT /db/a", r#"{"n":1}"#).await.revision(), first);
    let function =
        "function (n, o) { if (n.bad || o === null && n.late) throw {forbidden: 'bad'} }";
    design(&server, "v", function).await;
    for (new_edits, id, docs) in [
        (
            true,
            "a",
            json!([{"_id": "a", "_rev": first, "n": 2},
                           {"_id": "a", "_rev": second, "bad": 1}]),
        ),
        (true, "b", json!([{"_id": "b", "n": 1}, {"_id": "b", "_rev": first, "n": 3}])),
        (
            false,
            "c",
            json!([{"_id": "c", "_rev": "1-a", "_attachments": attached},
            {"_id": "c", "_revisions": {"start": 2, "ids": ["b", "a"]}, "bad": 1,
             "_attachments": stub}]),
        ),
        (
            true,
            "twin",
            json!([{"_id": "twin", "_rev": second, "_attachments": attached},
            {"_id": "twin", "_rev": second, "_attachments": stub, "bad": 1}]),
        ),
    ] {
        let body = json!({"new_edits": new_edits, "docs": docs}).to_string();
        let rows = server.ask("POST /db/_bulk_docs", &body).await.json();
        let refused = rows.as_array().unwrap().last().map(|row| row["error"].clone());
        let word = if new_edits { "conflict" } else { "missing_stub" };
        // A stub that leads nowhere and a revision that is none yet are refused for what they are.
        let words = [json!(word), json!("missing_stub")];
        assert!(refused.as_ref().is_some_and(|word| words.contains(word)), "{id}: {rows}");
        let stored = server.ask(&format!("GET /db/{id}"), "").await.json();
        assert!(stored.get("bad").is_none() && stored["n"] != 3, "{id}: {stored}");
    }
    server.stop().await;
}

/// The same between two requests: who foresees the revision that another is just making cannot follow it
/// with an edit that was judged as the first of the document.
#[tokio::test]
async fn the_first_of_a_document_follows_nobody() {
    const RACES: usize = 40;
    let server = Server::with_database().await;
    let revision = server.ask("PUT /db/twin", r#"{"owner":"bob"}"#).await.revision();
    let function = "function (n, o) { if (o && o.owner !== n.owner) throw {forbidden: 'owner'} }";
    design(&server, "v", function).await;
    for race in 0..RACES {
        let id = format!("race{race}");
        let docs = json!({"docs": [{"_id": id, "_rev": revision, "owner": "eve"}]}).to_string();
        let line = format!("PUT /db/{id}");
        let (created, followed) = tokio::join!(
            server.ask(&line, r#"{"owner":"bob"}"#),
            server.ask("POST /db/_bulk_docs", &docs),
        );
        let followed = followed.json()[0]["ok"] == true;
        assert!(!(created.status == 201 && followed), "{id} is of bob and of eve");
    }
    server.stop().await;
}

/// Revisions can be worked out, so that an edit may name the one that another of its request makes.
#[tokio::test]
async fn no_edit_of_a_request_hides_behind_another() {
    let server = Server::with_database().await;
    let rule = "function (n, o) {
        if (n.bad) throw {forbidden: 'bad'};
        if (o && n.n < o.n) throw {forbidden: 'less'};
    }";
    let first = server.ask("PUT /db/a", r#"{"n":1}"#).await.revision();
    let body = json!({"_rev": first, "n": 2}).to_string();
    let second = server.ask("PUT /db/a", &body).await.revision();
    assert_eq!(server.ask("PUT /db/b", r#"{"n":1}"#).await.revision(), first);
    design(&server, "v", rule).await;
    for (id, one, other) in [
        ("b", json!({"_rev": first, "n": 2}), json!({"_rev": second, "bad": true})),
        ("c", json!({"n": 1}), json!({"_rev": first, "n": 0})),
    ] {
        let mut docs = [one.clone(), other];
        docs.iter_mut().for_each(|doc| doc["_id"] = json!(id));
        let answer = server.ask("POST /db/_bulk_docs", &json!({"docs": docs}).to_string()).await;
        let told = answer.json();
        assert_eq!(
            (&told[0]["ok"], &told[1]["error"]),
            (&json!(true), &json!("conflict")),
            "{told}"
        );
        let stored = server.ask(&format!("GET /db/{id}"), "").await.json();
        assert_eq!(stored["n"], one["n"]);
    }
    server.stop().await;
}
