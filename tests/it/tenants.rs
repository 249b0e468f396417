//! Tenants and their keys: who gets in, who sees what, and how fast a right is gone that was taken back.

mod ended;
mod keys;
mod lost;
mod routes;
mod seen;

use blitz_tests::regions::World;
use blitz_tests::{Api, Stack, region_name, until};
use hyper::StatusCode;
use serde_json::{Value, json};

/// What a gateway says to who shows this key.
async fn whoami(api: &Api) -> (StatusCode, Value) {
    api.call("GET", "/v1/whoami", None).await
}

#[tokio::test]
async fn a_key_that_was_revoked_is_refused_at_once_here_and_soon_there() {
    let stack = Stack::start(&["japan"]).await;
    let other = stack.another_gateway().await;
    stack.api.tenant("acme").await;
    for what in ["key", "user", "tenant"] {
        let tenant = region_name(what);
        stack.api.tenant(&tenant).await;
        let (ann, id) = stack.api.key(&tenant, "ann", json!({})).await;
        let there = other.with(&ann.token);
        until("the other gateway knows the key", || async {
            (whoami(&there).await.0 == StatusCode::OK).then_some(())
        })
        .await;
        let path = match what {
            "key" => format!("/v1/keys/{id}"),
            "user" => format!("/v1/tenants/{tenant}/users/ann"),
            _ => format!("/v1/tenants/{tenant}"),
        };
        let said = stack.api.call("DELETE", &path, Some(&json!({"reason": "lost"}))).await;
        let refused = whoami(&ann).await;
        assert_eq!((said.0, refused.0), (StatusCode::OK, StatusCode::UNAUTHORIZED), "{said:?}");
        let reason = refused.1["reason"].as_str().expect("a reason");
        assert!(reason.contains("revoked (lost)") && reason.contains("blitz login"), "{reason}");
        until("the other gateway has heard of it", || async {
            (whoami(&there).await == refused).then_some(())
        })
        .await;
        let (status, again) = stack.api.call("DELETE", &path, None).await;
        assert_eq!((status, &again["new"]), (StatusCode::OK, &json!(false)), "{what}");
    }
}

#[tokio::test]
async fn a_revocation_goes_where_the_key_went() {
    let plan = World::new().cluster("tokyo").cluster("virginia");
    let world = plan.region("japan", "tokyo", &["virginia"]).start().await;
    let here = world.gateway("g1", "tokyo", &["virginia"]).await;
    let there = world.gateway("g2", "virginia", &["tokyo"]).await;
    here.api.tenant("acme").await;
    let (ann, id) = here.api.key("acme", "ann", json!({})).await;
    let far = there.api.with(&ann.token);
    until("the key is known in the other cluster", || async {
        (whoami(&far).await.0 == StatusCode::OK).then_some(())
    })
    .await;
    world.isolate("virginia");
    let (status, said) = here.api.call("DELETE", &format!("/v1/keys/{id}"), None).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(whoami(&ann).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(whoami(&far).await.0, StatusCode::OK, "nobody could tell");
    world.join("virginia");
    until("it is revoked in the other cluster", || async {
        (whoami(&far).await.0 == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}
