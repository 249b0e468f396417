//! Stores that have no accounts, or lost them.

use blitz_couchdb::{Put, PutOptions};
use blitz_jobs::accounts::{ACCOUNTS, AUDIT};
use blitz_tests::{Stack, until};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::whoami;

#[tokio::test]
async fn a_gateway_serves_its_operator_from_a_store_that_has_no_accounts_yet() {
    let mut stack = Stack::start(&["japan"]).await;
    stack.api.tenant("acme").await;
    let (ann, _) = stack.api.key("acme", "ann", json!({})).await;
    let port = stack.stop_gateway().await;
    for database in [ACCOUNTS, AUDIT] {
        stack.store.database(database).drop().await.expect("a store that answers");
    }
    stack.start_gateway(port).await;
    let _engine = stack.engine(stack.region(), "e1", 2).await;
    let (stdout, _) = stack.api.run(stack.region(), &["echo", "hello"]).await;
    assert_eq!(stdout, "hello\n");
    let (status, said) = whoami(&ann).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    assert!(said["reason"].as_str().unwrap().contains("no database of accounts"), "{said}");
    let made = stack.api.call("POST", "/v1/tenants", Some(&json!({"name": "acme"}))).await;
    assert_eq!(made.0, StatusCode::SERVICE_UNAVAILABLE, "{made:?}");
    stack.store.database(ACCOUNTS).create().await.expect("a store that answers");
    until("accounts are known once there is a database of them", || async {
        let said = stack.api.call("POST", "/v1/tenants", Some(&json!({"name": "acme"}))).await;
        (said.0 == StatusCode::CREATED).then_some(())
    })
    .await;
    // Of the database before nothing is left.
    assert_eq!(whoami(&ann).await.1["reason"], "this key is not known");
}

#[tokio::test]
async fn a_database_that_was_made_anew_gets_its_revocations_again() {
    let stack = Stack::start(&["japan"]).await;
    stack.api.tenant("acme").await;
    let (ann, id) = stack.api.key("acme", "ann", json!({})).await;
    let (_, kept) = stack.api.key("acme", "bob", json!({})).await;
    let accounts = stack.store.database(ACCOUNTS);
    let documents = [format!("key:{id}"), "tenant:acme".to_owned()];
    let mut before = Vec::new();
    for document in &documents {
        let found = accounts.get::<Value>(document).await.expect("an answer").expect("a document");
        before.push(found.body);
    }
    stack.api.call("DELETE", &format!("/v1/keys/{id}"), Some(&json!({"reason": "lost"}))).await;
    accounts.drop().await.expect("a store that answers");
    accounts.create().await.expect("a store that answers");
    // As of a day on which the key was good.
    for (document, mut body) in documents.iter().zip(before) {
        for field in ["_id", "_rev"] {
            body.as_object_mut().expect("an object").remove(field);
        }
        let put = accounts.put(document, None, &body, PutOptions::default()).await;
        assert!(matches!(put, Ok(Put::Created(_))), "{put:?}");
    }
    until("the revocation is written again", || async {
        let revoked = format!("revoked:key:{id}");
        accounts.get::<Value>(&revoked).await.ok()?.map(drop)
    })
    .await;
    let (status, said) = whoami(&ann).await;
    assert_eq!((status, &said["error"]), (StatusCode::UNAUTHORIZED, &json!("key_revoked")));
    until("what was not put back is not known any more", || async {
        let keys = stack.api.get("/v1/keys").await.to_string();
        (!keys.contains(&kept)).then_some(())
    })
    .await;
}
