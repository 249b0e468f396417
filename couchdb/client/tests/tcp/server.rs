//! What operators ask of a server, in the answers of Apache CouchDB 3.5 and of servers that keep things to themselves.

use std::time::{Duration, UNIX_EPOCH};

use blitz_couchdb::{Client, Credentials, Error, Put};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::script::{Wire, soon};

/// Asks a server that waits for this request, and answers so.
async fn asked<T>(
    line: &str,
    status: u16,
    body: &str,
    ask: impl AsyncFnOnce(Client) -> T,
) -> (T, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://admin:s3cret@{}", listener.local_addr().unwrap());
    let client = Client::new(url).unwrap();
    let (result, (head, _wire)) = tokio::join!(ask(client), async {
        let mut wire: Wire<TcpStream> = Wire::new(soon(listener.accept()).await.unwrap().0);
        let asked = wire.expect(line).await;
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
        let length = body.len();
        wire.send(format!(
            "HTTP/1.1 {status} X\r\n{date}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        (format!("{}\n{}", asked.head, asked.body), wire)
    });
    (result, head)
}

#[tokio::test]
async fn a_server_says_who_it_is_and_what_time_it_has() {
    let body = r#"{"couchdb":"Welcome","version":"3.5.0","uuid":"abc","vendor":{"name":"x"}}"#;
    let (greeting, _) = asked("GET /", 200, body, async |c| c.greeting().await).await;
    let greeting = greeting.unwrap();
    assert_eq!((&*greeting.info.version, greeting.info.uuid.as_deref()), ("3.5.0", Some("abc")));
    assert_eq!(greeting.clock, Some(UNIX_EPOCH + Duration::from_secs(784_111_777)));
}

#[tokio::test]
async fn another_user_of_the_same_server_is_asked_for() {
    let body = r#"{"ok":true,"userCtx":{"name":"r","roles":["x"]},"info":{}}"#;
    let who = || Credentials { name: "r".to_owned(), password: "p".to_owned() };
    let as_r = async |c: Client| c.as_user(who()).unwrap().session().await;
    let (session, head) = asked("GET /_session", 200, body, as_r).await;
    let session = session.unwrap();
    assert_eq!((session.name.as_deref(), &*session.roles), (Some("r"), &["x".to_owned()][..]));
    // `r:p` and not `admin:s3cret`.
    assert!(head.contains("authorization: basic cjpw"), "{head}");
    let refused = r#"{"error":"unauthorized","reason":"Name or password is incorrect."}"#;
    let (session, _) = asked("GET /_session", 401, refused, as_r).await;
    assert!(matches!(session, Err(Error::Unauthorized { .. })), "{session:?}");
}

#[tokio::test]
async fn a_value_of_the_configuration_is_told_or_kept() {
    let line = "GET /_node/_local/_config/replicator/max_jobs";
    let error = r#"{"error":"x","reason":"y"}"#;
    for (status, body, wanted) in [
        (200, "\"500\"\n", Some("500")),
        (404, r#"{"error":"not_found","reason":"unknown_config_value"}"#, None),
        (403, error, None),
        (501, error, None),
    ] {
        let (value, _) =
            asked(line, status, body, async |c| c.config("replicator", "max_jobs").await).await;
        assert_eq!(value.unwrap().as_deref(), wanted, "{status}");
    }
    let (value, _) =
        asked(line, 500, error, async |c| c.config("replicator", "max_jobs").await).await;
    assert!(matches!(value, Err(Error::Status { code: 500, .. })), "{value:?}");
}

#[tokio::test]
async fn replications_are_told_with_what_they_have_done() {
    let body = r#"{"total_rows":3,"offset":0,"docs":[
        {"database":"_replicator","doc_id":"a","id":"x","node":"n","source":"http://h/a/","target":"http://h/b/",
         "state":"running","error_count":0,"start_time":"t","last_updated":"t",
         "info":{"revisions_checked":3,"missing_revisions_found":3,"docs_read":3,"docs_written":3,
                 "changes_pending":null,"doc_write_failures":1,"checkpointed_source_seq":"3-x"}},
        {"doc_id":"b","state":"crashing","error_count":7,"info":{"error":"no route"}},
        {"doc_id":"c","state":null,"info":null}]}"#;
    let line = "GET /_scheduler/docs?limit=10000";
    let (all, _) = asked(line, 200, body, async |c| c.replications().await).await;
    let all = all.unwrap();
    let info = all[0].info.as_ref().unwrap();
    assert_eq!((info.docs_written, info.doc_write_failures, info.changes_pending), (3, 1, None));
    assert_eq!((all[1].state.as_deref(), all[1].error_count), (Some("crashing"), 7));
    assert_eq!(all[1].info.as_ref().unwrap().error, Some(json!("no route")));
    assert_eq!((&all[2].state, &all[2].info), (&None, &None));
    let some = "GET /_scheduler/docs?states=crashing%2Cfailed&limit=10000";
    let wanted = async |c: Client| c.replications_in(&["crashing", "failed"]).await;
    let (some, _) = asked(some, 200, body, wanted).await;
    assert_eq!(some.unwrap().len(), 3);
    let missing = r#"{"error":"not_found","reason":"Database does not exist."}"#;
    let (none, _) = asked(line, 404, missing, async |c| c.replications().await).await;
    assert!(none.unwrap().is_empty());
    let line = "GET /_scheduler/docs/_replicator/blitz%3Ax%3Aa%3Eb";
    let (none, _) = asked(line, 404, missing, async |c| c.replication("blitz:x:a>b").await).await;
    assert_eq!(none.unwrap(), None);
}

#[tokio::test]
async fn nodes_users_and_security() {
    let body = r#"{"all_nodes":["a@h"],"cluster_nodes":["a@h","b@h"]}"#;
    let (nodes, _) = asked("GET /_membership", 200, body, async |c| c.membership().await).await;
    assert_eq!(nodes.unwrap().cluster_nodes.len(), 2);

    let body = r#"{"_id":"org.couchdb.user:r","_rev":"1-a","name":"r","type":"user","roles":["x"],"iterations":10}"#;
    let line = "GET /_users/org.couchdb.user%3Ar";
    let (user, _) = asked(line, 200, body, async |c| c.user("r").await).await;
    assert_eq!(user.unwrap().unwrap().body.roles, ["x"]);

    let body = r#"{"ok":true,"id":"org.couchdb.user:r","rev":"1-a"}"#;
    let who = Credentials { name: "r".to_owned(), password: "p".to_owned() };
    let line = "PUT /_users/org.couchdb.user%3Ar";
    let (put, sent) = asked(line, 201, body, async |c| c.put_user(&who, &["x"], None).await).await;
    assert!(matches!(put, Ok(Put::Created(_))), "{put:?}");
    assert!(sent.ends_with(r#"{"type":"user","name":"r","password":"p","roles":["x"]}"#), "{sent}");

    let security = json!({"members": {"roles": ["x"]}});
    let text = security.to_string();
    let (told, _) =
        asked("GET /db/_security", 200, &text, async |c| c.database("db").security().await).await;
    assert_eq!(told.unwrap(), security);
    let put = async |c: Client| c.database("db").put_security(&security).await;
    let (put, sent) = asked("PUT /db/_security", 200, r#"{"ok":true}"#, put).await;
    assert!(put.is_ok() && sent.ends_with(&text), "{sent}");
}
