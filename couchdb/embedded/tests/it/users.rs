//! `_users` when it is open to its users: what each may see and change.

use crate::{
    auth::{add_user, ask, basic, options},
    client::Server,
};
use blitz_embedded::Storage;
use serde_json::{Value, json};

#[tokio::test]
async fn each_sees_and_changes_only_itself() {
    let server = Server::start(Storage::Memory, options()).await;
    add_user(&server, "ann", "a", &["engine"]).await;
    add_user(&server, "bob", "b", &[]).await;
    let opened = ask(&server, "PUT /_users/_security", &basic("root:pw"), "{}").await;
    assert_eq!(opened.0, 200);
    let (ann, nobody) = (basic("ann:a"), String::new());
    let read = ask(&server, "GET /_users/org.couchdb.user:ann", &ann, "").await;
    let own: Value = serde_json::from_str(&read.2).unwrap();
    assert_eq!((read.0, own["roles"].clone()), (200, json!(["engine"])));
    for (line, headers, status) in [
        ("GET /_users/org.couchdb.user:bob", &ann, 404),
        ("GET /_users/org.couchdb.user:bob?open_revs=all", &ann, 404),
        ("GET /_users/org.couchdb.user:bob/file", &ann, 404),
        ("GET /_users/org.couchdb.user:nobody", &ann, 404),
        ("GET /_users/org.couchdb.user%3Abob", &ann, 404),
        ("COPY /_users/org.couchdb.user:bob", &ann, 404),
        ("GET /_users/org.couchdb.user:ann", &nobody, 404),
        ("GET /_users/_design/_auth", &ann, 403),
        ("GET /_users/_design%2F_auth", &ann, 403),
        ("GET /_users/_local/x", &ann, 401),
        ("PUT /_users/_local/x", &ann, 401),
        ("GET /_users/_all_docs?include_docs=true", &ann, 401),
        ("POST /_users/_all_docs/queries", &ann, 401),
        ("GET /_users/_changes?include_docs=true", &ann, 401),
        ("GET /_users/_design_docs", &ann, 401),
        ("GET /_users/_local_docs", &ann, 401),
        ("POST /_users/_bulk_get", &ann, 401),
        ("POST /_users/_revs_diff", &ann, 401),
        ("POST /_users/_find", &ann, 401),
        ("POST /_users/_explain", &ann, 401),
        ("PUT /_users/_security", &ann, 403),
        ("PUT /_users/_revs_limit", &ann, 403),
        ("DELETE /_users", &ann, 401),
        ("DELETE /_users/org.couchdb.user:bob", &ann, 404),
        ("PUT /_users/org.couchdb.user:bob/file", &ann, 404),
        ("PUT /_users/_design/x", &ann, 403),
    ] {
        let (got, _, said) = ask(&server, line, headers, "{}").await;
        assert_eq!(got, status, "{line}: {said}");
        assert!(!said.contains("derived_key"), "{line}: {said}");
    }
    let id = "org.couchdb.user:ann";
    let put = async |changes: Value| {
        let mut document = own.clone();
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let answer = ask(&server, &format!("PUT /_users/{id}"), &ann, &document.to_string()).await;
        (answer.0, answer.2)
    };
    for (changes, says) in [
        (json!({"roles": ["engine", "boss"]}), "Only _admin may edit roles"),
        (json!({"roles": ["_admin"]}), "Only _admin may edit roles"),
        (json!({"name": "bob"}), "Doc ID must be of the form"),
        (json!({"type": "admin"}), "doc.type must be user"),
        (json!({"password": 5}), "Password value of '5' is invalid."),
    ] {
        let (status, said) = put(changes.clone()).await;
        assert_eq!(status, 403, "{changes}: {said}");
        assert!(said.contains(says), "{changes}: {said}");
    }
    // The same by the other doors.
    let boss = json!({"_id": id, "name": "ann", "type": "user", "roles": ["_admin"]});
    for (new_edits, rev) in [(true, &own["_rev"]), (false, &json!("9-a"))] {
        let mut boss = boss.clone();
        boss["_rev"] = rev.clone();
        let body = json!({"docs": [boss], "new_edits": new_edits}).to_string();
        let (_, _, said) = ask(&server, "POST /_users/_bulk_docs", &ann, &body).await;
        assert!(said.contains("Only _admin may edit roles"), "{said}");
        let (_, _, said) = ask(&server, "POST /_users/_bulk_docs", &basic("root:pw"), &body).await;
        assert!(said.contains("No system roles"), "{said}");
    }
    assert_eq!(put(json!({"colour": "red"})).await.0, 201);
    let still = ask(&server, "GET /_session", &ann, "").await;
    assert!(still.2.contains("\"roles\":[\"engine\"]"), "{}", still.2);
    server.stop().await;
}

#[tokio::test]
async fn somebody_may_register_where_it_is_open_but_takes_no_role() {
    let server = Server::start(Storage::Memory, options()).await;
    ask(&server, "PUT /_users/_security", &basic("root:pw"), "{}").await;
    let new = |roles: Value| {
        json!({"name": "eve", "password": "e", "roles": roles, "type": "user"}).to_string()
    };
    let line = "PUT /_users/org.couchdb.user:eve";
    for (roles, status) in [(json!(["engine"]), 403), (json!(["_admin"]), 403), (json!([]), 201)] {
        assert_eq!(ask(&server, line, "", &new(roles.clone())).await.0, status, "{roles}");
    }
    // A second one of the name does not become the first.
    let again = ask(&server, line, "", &new(json!([]))).await;
    assert_eq!(again.0, 403, "{}", again.2);
    server.stop().await;
}

/// Where everybody may register, nobody stands in the way of an administrator of the configuration.
#[tokio::test]
async fn a_registered_name_does_not_lock_out_an_administrator() {
    let server = Server::start(Storage::Memory, options()).await;
    let opened = ask(&server, "PUT /_users/_security", &basic("root:pw"), "{}").await;
    assert_eq!(opened.0, 200);
    let branch = |revision: &str| {
        json!({"_id": "org.couchdb.user:root", "_rev": revision, "type": "user", "name": "root",
               "roles": [], "password": "x"})
    };
    let docs = json!({"new_edits": false, "docs": [branch("1-a"), branch("1-b")]}).to_string();
    // Who is nobody makes one branch at most; two of them keep a name from logging in.
    let stored = ask(&server, "POST /_users/_bulk_docs", "", &docs).await;
    assert!(stored.0 == 201 && stored.2.contains("\"conflict\""), "{}", stored.2);
    let stored = ask(&server, "POST /_users/_bulk_docs", &basic("root:pw"), &docs).await;
    assert_eq!((stored.0, stored.2.trim()), (201, "[]"));
    let (status, _, said) = ask(&server, "GET /_session", &basic("root:pw"), "").await;
    assert_eq!(status, 200, "{said}");
    assert!(said.contains("_admin"), "{said}");
    assert_eq!(ask(&server, "GET /_session", &basic("root:x"), "").await.0, 401);
    server.stop().await;
}

#[tokio::test]
async fn only_administrators_keep_local_documents_beside_users() {
    let server = Server::start(Storage::Memory, options()).await;
    let opened = ask(&server, "PUT /_users/_security", &basic("root:pw"), "{}").await;
    assert_eq!(opened.0, 200);
    let local = json!({"_id": "_local/x", "n": 1});
    let docs = json!({"docs": [local]}).to_string();
    let (status, _, said) = ask(&server, "POST /_users/_bulk_docs", "", &docs).await;
    assert_eq!(status, 201);
    assert!(said.contains("\"unauthorized\""), "{said}");
    assert_eq!(ask(&server, "POST /_users", "", &local.to_string()).await.0, 401);
    let root = basic("root:pw");
    assert_eq!(ask(&server, "GET /_users/_local/x", &root, "").await.0, 404);
    assert_eq!(ask(&server, "POST /_users", &root, &local.to_string()).await.0, 201);
    server.stop().await;
}

/// The revision of a document follows from its content, so a user can foresee the one by which a role is
/// taken from it, and send the role again as its follower before it is there.
#[tokio::test]
async fn a_role_that_was_taken_is_not_taken_back() {
    const RACES: usize = 10;
    let server = Server::start(Storage::Memory, options()).await;
    let root = basic("root:pw");
    assert_eq!(ask(&server, "PUT /_users/_security", &root, "{}").await.0, 200);
    assert_eq!(ask(&server, "PUT /twins", &root, "").await.0, 201);
    for race in 0..RACES {
        let name = format!("user{race}");
        let user = |roles: &[&str], revision: &str| {
            // SHA-1 of "password" and "salt".
            let hash = "c88e9c67041a74e0357befdff93f87dde0904214";
            let mut document = json!({"type": "user", "name": name, "roles": roles, "salt": "salt",
                "password_scheme": "simple", "password_sha": hash});
            if !revision.is_empty() {
                document["_rev"] = json!(revision);
            }
            document.to_string()
        };
        let put = async |database: &str, headers: &str, body: String| {
            let line = format!("PUT /{database}/org.couchdb.user:{name}");
            let (status, _, said) = ask(&server, &line, headers, &body).await;
            let said: Value = serde_json::from_str(&said).unwrap();
            (status, said["rev"].as_str().unwrap_or("").to_owned())
        };
        let (_, first) = put("twins", &root, user(&["engine"], "")).await;
        let (_, second) = put("twins", &root, user(&[], &first)).await;
        assert_eq!(put("_users", &root, user(&["engine"], "")).await, (201, first.clone()));
        let own = basic(&format!("{name}:password"));
        let foresee =
            async || while put("_users", &own, user(&["engine"], &second)).await.0 == 409 {};
        let demote = async || {
            for _ in 0..3 {
                // The others are under way.
                put("_users", &own, user(&["engine"], &second)).await;
            }
            assert_eq!(put("_users", &root, user(&[], &first)).await, (201, second.clone()));
        };
        tokio::join!(foresee(), foresee(), foresee(), foresee(), demote());
        let line = format!("GET /_users/org.couchdb.user:{name}");
        let stored: Value = serde_json::from_str(&ask(&server, &line, &root, "").await.2).unwrap();
        assert_eq!(stored["roles"], json!([]), "race {race}");
    }
    server.stop().await;
}
