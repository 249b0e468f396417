//! The client against a scripted server over TCP: what goes over the wire, what comes of each answer,
//! and what happens when a connection breaks.

use crate::script::{Wire, soon};
use blitz_couchdb::{
    AllDocs, BulkOutcome, ChangesQuery, Client, Creation, Database, Error, Put, PutOptions,
    Removal, Revision, Sequence,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

const NO_DATABASE: &str = r#"{"error":"not_found","reason":"Database does not exist."}"#;
const MISSING: &str = r#"{"error":"not_found","reason":"missing"}"#;
const DELETED: &str = r#"{"error":"not_found","reason":"deleted"}"#;
const CONFLICT: &str = r#"{"error":"conflict","reason":"Document update conflict."}"#;
const STORED: &str = r#"{"ok":true,"id":"a","rev":"2-b"}"#;

/// The listening side.
struct Server(TcpListener);

impl Server {
    async fn start() -> (Database, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://admin:s3cret@{}", listener.local_addr().unwrap());
        (Client::new(url).unwrap().database("db"), Self(listener))
    }

    async fn accept(&self) -> Wire<TcpStream> {
        Wire::new(soon(self.0.accept()).await.unwrap().0)
    }
}

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

/// Puts a document and gives this answer to it.
async fn put_answered(status: u16, body: &str) -> Result<Put, Error> {
    let (database, server) = Server::start().await;
    let document = json!({});
    let put = database.put("a", None, &document, PutOptions::default());
    let (result, _wire) = tokio::join!(put, async {
        let mut wire = server.accept().await;
        wire.expect("PUT /db/a").await;
        wire.answer(status, body).await;
        wire
    });
    result
}

#[tokio::test]
async fn a_write_ends_as_created_accepted_or_conflict() {
    for (status, body, outcome) in [
        (201, STORED, Put::Created(revision("2-b"))),
        (200, STORED, Put::Created(revision("2-b"))),
        (202, STORED, Put::Accepted(revision("2-b"))),
        (409, CONFLICT, Put::Conflict),
    ] {
        assert_eq!(put_answered(status, body).await.unwrap(), outcome, "for {status}");
    }
}

#[tokio::test]
async fn a_refused_write_is_an_error_that_says_what_to_do() {
    for (status, body, is_unknown, text) in [
        (404, NO_DATABASE, false, "find database \"db\""),
        (401, r#"{"error":"unauthorized","reason":"who?"}"#, false, "who? (give the name and"),
        (
            403,
            r#"{"error":"forbidden","reason":"odd"}"#,
            false,
            "odd (see the database's _security",
        ),
        (413, r#"{"error":"document_too_large","reason":""}"#, false, "413, document_too_large"),
        (500, r#"{"error":"timeout","reason":"slow"}"#, true, "status 500, timeout: slow"),
        (502, "<html>Bad Gateway</html>", true, "<html>Bad Gateway"),
        (404, "<html>no such page</html>", false, "status 404, : <html>no such page"),
        (201, "{\"ok\":true}", true, "missing field `rev`"),
    ] {
        let error = put_answered(status, body).await.unwrap_err();
        assert_eq!(error.is_outcome_unknown(), is_unknown, "{status} {body} gave {error:?}");
        let shown = error.to_string();
        assert!(shown.contains(text), "{status} {body} gave: {shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn a_write_carries_name_revision_quorum_and_password() {
    let (database, server) = Server::start().await;
    let (body, over) = (json!({"n": 1}), revision("1-a"));
    let options = PutOptions { quorum: Some(3), timeout: None };
    let put = database.put("j:é/1", Some(&over), &body, options);
    let (result, _wire) = tokio::join!(put, async {
        let mut wire = server.accept().await;
        let asked = wire.expect("PUT /db/j%3A%C3%A9%2F1?w=3").await;
        assert_eq!(asked.body, r#"{"_rev":"1-a","n":1}"#);
        assert!(asked.head.contains("authorization: basic ywrtaw46cznjcmv0"), "{}", asked.head);
        assert!(asked.head.contains("host: 127.0.0.1:"), "{}", asked.head);
        assert!(asked.head.contains("content-type: application/json"), "{}", asked.head);
        wire.answer(201, STORED).await;
        wire
    });
    assert_eq!(result.unwrap(), Put::Created(revision("2-b")));
}

/// What a strict reader of a document accepts.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    n: u64,
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let (database, server) = Server::start().await;
    let asking = async {
        let found = database.get::<Strict>("a").await.unwrap().unwrap();
        assert_eq!((found.id.as_str(), found.revision, found.body.n), ("a", revision("1-a"), 1));
        assert!(database.get::<Strict>("b").await.unwrap().is_none());
        assert!(database.get::<Strict>("c").await.unwrap().is_none());
        let odd = database.get::<Strict>("d").await.unwrap_err();
        assert!(matches!(odd, Error::Decode { .. }), "{odd}");
        let absent = database.get::<Strict>("e").await.unwrap_err();
        assert!(
            matches!(&absent, Error::NotFound { database, .. } if database == "db"),
            "{absent}"
        );

        assert_eq!(database.create().await.unwrap(), Creation::Created);
        assert_eq!(database.create().await.unwrap(), Creation::Existed);
        assert_eq!(database.drop().await.unwrap(), Removal::Dropped);
        assert_eq!(database.drop().await.unwrap(), Removal::Missing);
        assert_eq!(database.client().databases().await.unwrap(), ["db", "other"]);
        assert_eq!(database.client().server().await.unwrap().version, "3.5.0");

        assert_eq!(
            database.delete("a", &revision("1-a")).await.unwrap(),
            Put::Created(revision("2-b"))
        );
        assert_eq!(database.delete("a", &revision("1-a")).await.unwrap(), Put::Conflict);
        assert_eq!(database.delete("a", &revision("1-a")).await.unwrap(), Put::Conflict);

        database.put_local("feed/1", &json!({"seq": 5})).await.unwrap();
        assert_eq!(database.get_local::<Value>("feed/1").await.unwrap(), Some(json!({"seq": 5})));
        assert_eq!(database.get_local::<Value>("feed/1").await.unwrap(), None);
    };
    let ((), _wire) = tokio::join!(asking, async {
        let mut wire = server.accept().await;
        for (line, status, body) in [
            ("GET /db/a", 200, r#"{"_id":"a","_rev":"1-a","n":1,"_attachments":{}}"#),
            ("GET /db/b", 404, MISSING),
            ("GET /db/c", 404, DELETED),
            ("GET /db/d", 200, r#"{"_id":"d","_rev":"1-a","n":1,"m":2}"#),
            ("GET /db/e", 404, NO_DATABASE),
            ("PUT /db", 201, "{\"ok\":true}"),
            ("PUT /db", 412, r#"{"error":"file_exists","reason":"The database ..."}"#),
            ("DELETE /db", 200, "{\"ok\":true}"),
            ("DELETE /db", 404, NO_DATABASE),
            ("GET /_all_dbs", 200, r#"["db","other"]"#),
            ("GET /", 200, r#"{"couchdb":"Welcome","version":"3.5.0","features":[]}"#),
            ("DELETE /db/a?rev=1-a", 200, STORED),
            ("DELETE /db/a?rev=1-a", 409, CONFLICT),
            ("DELETE /db/a?rev=1-a", 404, DELETED),
            ("PUT /db/_local/feed%2F1", 201, r#"{"ok":true,"id":"_local/feed/1","rev":"0-1"}"#),
            ("GET /db/_local/feed%2F1", 200, r#"{"_id":"_local/feed/1","_rev":"0-1","seq":5}"#),
            ("GET /db/_local/feed%2F1", 404, MISSING),
        ] {
            wire.expect(line).await;
            wire.answer(status, body).await;
        }
        wire
    });
}

#[tokio::test]
async fn listings_come_row_by_row() {
    let (database, server) = Server::start().await;
    let asking = async {
        let keys = ["a", "b", "c"].map(str::to_owned).to_vec();
        let query = AllDocs { keys: Some(keys), include_docs: true, ..AllDocs::default() };
        let page = database.all_docs::<Strict>(&query).await.unwrap();
        assert_eq!(page.missing, ["b"]);
        assert_eq!(page.rows.len(), 2);
        assert_eq!((&*page.rows[0].id, &page.rows[0].doc), ("a", &Some(Strict { n: 1 })));
        assert_eq!(
            (&*page.rows[1].id, page.rows[1].deleted, &page.rows[1].doc),
            ("c", true, &None)
        );

        let error = database.all_docs::<Strict>(&AllDocs::default()).await.unwrap_err();
        assert!(matches!(error, Error::Status { code: 200, .. }), "{error}");

        let leaves = database.leaves::<Strict>("a", Some(2)).await.unwrap();
        assert_eq!(leaves.len(), 1);
        assert_eq!((&leaves[0].revision, &leaves[0].body), (&revision("2-b"), &Strict { n: 2 }));
        assert!(database.leaves::<Strict>("a", None).await.unwrap().is_empty());

        let documents = [json!({"_id": "a"}), json!({"_id": "b"})];
        let rows = database.bulk(&documents).await.unwrap();
        assert_eq!(rows[0].outcome, BulkOutcome::Stored(revision("1-a")));
        assert_eq!((&*rows[1].id, &rows[1].outcome), ("b", &BulkOutcome::Conflict));
        let error = database.bulk(&documents).await.unwrap_err();
        assert!(error.to_string().contains("1 rows for 2 documents"), "{error}");

        let query = ChangesQuery { limit: Some(1), ..ChangesQuery::default() };
        let page = database.changes(&query).await.unwrap();
        assert_eq!((page.changes.len(), page.pending), (1, Some(3)));
        let seven: Sequence = serde_json::from_value(json!(7)).unwrap();
        assert_eq!(page.last_seq, seven);
    };
    let ((), _wire) = tokio::join!(asking, async {
        let mut wire = server.accept().await;
        let asked = wire.expect("POST /db/_all_docs?include_docs=true").await;
        assert_eq!(asked.body, r#"{"keys":["a","b","c"]}"#);
        wire.answer(
            200,
            r#"{"total_rows":9,"offset":null,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-a"},"doc":{"_id":"a","_rev":"1-a","n":1}},
            {"key":"b","error":"not_found"},
            {"id":"c","key":"c","value":{"rev":"2-c","deleted":true},"doc":null}]}"#,
        )
        .await;
        wire.expect("GET /db/_all_docs").await;
        wire.answer(200, r#"{"rows":[{"key":"a","error":"nodes_down","reason":"x"}]}"#).await;
        wire.expect("GET /db/a?open_revs=all&r=2").await;
        wire.answer(
            200,
            r#"[{"ok":{"_id":"a","_rev":"2-b","n":2}},{"missing":"1-x"},
            {"ok":{"_id":"a","_rev":"3-c","_deleted":true}}]"#,
        )
        .await;
        wire.expect("GET /db/a?open_revs=all").await;
        wire.answer(404, MISSING).await;
        let asked = wire.expect("POST /db/_bulk_docs").await;
        assert_eq!(asked.body, r#"{"docs":[{"_id":"a"},{"_id":"b"}]}"#);
        wire.answer(
            201,
            r#"[{"ok":true,"id":"a","rev":"1-a"},{"id":"b","error":"conflict","reason":"x"}]"#,
        )
        .await;
        wire.expect("POST /db/_bulk_docs").await;
        wire.answer(201, r#"[{"ok":true,"id":"a","rev":"1-a"}]"#).await;
        wire.expect("GET /db/_changes?since=0&limit=1").await;
        let change = r#"{"seq":7,"id":"a","changes":[{"rev":"1-a"}]}"#;
        wire.answer(200, &format!("{{\"results\":[{change}],\"last_seq\":7,\"pending\":3}}")).await;
        wire
    });
}

#[tokio::test]
async fn attachments_are_bytes_with_a_type() {
    let (database, server) = Server::start().await;
    let asking = async {
        let bytes = Bytes::from("\0asm");
        let over = revision("1-a");
        let put = database.put_attachment("a", "x/y.wasm", Some(&over), "application/wasm", bytes);
        assert_eq!(put.await.unwrap(), Put::Created(revision("2-b")));
        assert_eq!(database.attachment("a", "x").await.unwrap().unwrap(), "\0asm");
        assert_eq!(database.attachment("a", "y").await.unwrap(), None);
        let large = database.attachment("a", "z").await.unwrap_err();
        assert!(matches!(large, Error::TooLarge { limit_bytes: 67_108_864, .. }), "{large}");
    };
    let ((), _wire) = tokio::join!(asking, async {
        let mut wire = server.accept().await;
        let asked = wire.expect("PUT /db/a/x%2Fy.wasm?rev=1-a").await;
        assert_eq!(asked.body, "\0asm");
        assert!(asked.head.contains("content-type: application/wasm"), "{}", asked.head);
        wire.answer(201, STORED).await;
        wire.expect("GET /db/a/x").await;
        wire.answer(200, "\0asm").await;
        wire.expect("GET /db/a/y").await;
        let body = r#"{"error":"not_found","reason":"Document is missing attachment"}"#;
        wire.answer(404, body).await;
        wire.expect("GET /db/a/z").await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\nx").await;
        wire
    });
}

#[tokio::test]
async fn nobody_listening_means_that_nothing_was_sent() {
    let (database, server) = Server::start().await;
    drop(server);
    let document = json!({});
    let error = database.put("a", None, &document, PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { sent: false, .. }), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("connection refused"), "{error}");
}

#[tokio::test]
async fn a_read_survives_a_pooled_connection_that_the_server_cut() {
    let (database, server) = Server::start().await;
    let (found, _wire) = tokio::join!(
        async {
            database.create().await.unwrap();
            database.get::<Value>("a").await
        },
        async {
            let mut first = server.accept().await;
            first.expect("PUT /db").await;
            first.answer(201, "{}").await;
            // The request arrives and the connection ends without an answer.
            first.expect("GET /db/a").await;
            drop(first);
            let mut second = server.accept().await;
            second.expect("GET /db/a").await;
            second.answer(200, r#"{"_id":"a","_rev":"1-a"}"#).await;
            second
        }
    );
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn a_read_that_is_cut_twice_is_an_error() {
    let (database, server) = Server::start().await;
    let (error, ()) = tokio::join!(
        async {
            database.create().await.unwrap();
            database.get::<Value>("a").await.unwrap_err()
        },
        async {
            let mut first = server.accept().await;
            first.expect("PUT /db").await;
            first.answer(201, "{}").await;
            first.expect("GET /db/a").await;
            drop(first);
            let mut second = server.accept().await;
            second.expect("GET /db/a").await;
            second.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").await;
        }
    );
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(!error.is_outcome_unknown());
}

#[tokio::test]
async fn a_write_without_an_answer_is_never_repeated() {
    let (database, server) = Server::start().await;
    let document = json!({});
    let (error, wire) = tokio::join!(
        async {
            database.create().await.unwrap();
            let error =
                database.put("a", None, &document, PutOptions::default()).await.unwrap_err();
            database.info().await.unwrap_err();
            error
        },
        async {
            let mut first = server.accept().await;
            first.expect("PUT /db").await;
            first.answer(201, "{}").await;
            first.expect("PUT /db/a").await;
            drop(first);
            // What comes next is the caller's own next request.
            let mut second = server.accept().await;
            second.expect("GET /db").await;
            second.answer(404, NO_DATABASE).await;
            second
        }
    );
    assert!(matches!(error, Error::Unreachable { sent: true, .. }), "{error:?}");
    assert!(error.is_outcome_unknown());
    assert!(error.to_string().contains("read before you write again"), "{error}");
    drop(wire);
}

#[tokio::test]
async fn a_write_does_not_use_a_connection_that_the_server_is_done_with() {
    let (database, server) = Server::start().await;
    let document = json!({});
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    let (result, _wire) = tokio::join!(
        async {
            database.create().await.unwrap();
            is_closed.await.unwrap();
            database.put("a", None, &document, PutOptions::default()).await
        },
        async {
            let mut first = server.accept().await;
            first.expect("PUT /db").await;
            first.send("HTTP/1.1 201 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}").await;
            drop(first);
            closed.send(()).unwrap();
            let mut second = server.accept().await;
            second.expect("PUT /db/a").await;
            second.answer(201, STORED).await;
            second
        }
    );
    assert_eq!(result.unwrap(), Put::Created(revision("2-b")));
}

#[tokio::test]
async fn requests_at_once_have_connections_of_their_own() {
    let (database, server) = Server::start().await;
    let (first, second, _wires) =
        tokio::join!(database.get::<Value>("a"), database.get::<Value>("a"), async {
            let (mut one, mut two) = (server.accept().await, server.accept().await);
            one.expect("GET /db/a").await;
            two.expect("GET /db/a").await;
            two.answer(404, MISSING).await;
            one.answer(404, MISSING).await;
            (one, two)
        });
    assert!(first.unwrap().is_none() && second.unwrap().is_none());
}

#[tokio::test]
async fn what_would_address_something_else_is_not_sent() {
    let (database, _server) = Server::start().await;
    let revision = revision("1-a");
    for id in ["", "_all_docs", "_local/"] {
        let error = database.delete(id, &revision).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{id:?} gave {error:?}");
    }
    let nameless = database.client().database("").drop().await.unwrap_err();
    assert!(matches!(nameless, Error::Invalid { .. }), "{nameless:?}");
    let list = database.put("a", None, &json!([]), PutOptions::default()).await.unwrap_err();
    assert!(matches!(list, Error::Encode { .. }), "{list:?}");
}
