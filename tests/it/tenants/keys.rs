//! What a key may be used for, who makes keys, and what becomes of those who try too often.

use blitz_tests::{Api, Stack};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::whoami;

async fn submit(api: &Api, region: &str) -> (StatusCode, Value) {
    let job = json!({"plugin": "fixture", "args": ["noop"], "regions": [region]});
    api.call("POST", "/v1/jobs", Some(&job)).await
}

#[tokio::test]
async fn a_key_is_for_its_plugins_regions_and_rate() {
    let stack = Stack::start(&["japan", "oregon"]).await;
    let [japan, oregon] = &stack.regions[..] else { panic!("two regions") };
    stack.api.tenant("acme").await;
    let scopes = json!({"scopes": {"plugins": ["fixture"], "regions": [japan]}});
    let (here, _) = stack.api.key("acme", "ann", scopes).await;
    let (other, _) = stack.api.key("acme", "ann", json!({"scopes": {"plugins": ["curl"]}})).await;
    let (slow, _) = stack.api.key("acme", "ann", json!({"scopes": {"rate_per_minute": 2}})).await;
    for (api, region, wanted, words) in [
        (&here, japan, StatusCode::CREATED, ""),
        (&here, oregon, StatusCode::FORBIDDEN, "may not be used for region"),
        (&other, japan, StatusCode::FORBIDDEN, "plugin 'fixture', only for curl"),
        (&slow, japan, StatusCode::CREATED, ""),
        (&slow, japan, StatusCode::CREATED, ""),
        (&slow, japan, StatusCode::TOO_MANY_REQUESTS, "may submit 2 times a minute"),
    ] {
        let (status, said) = submit(api, region).await;
        assert_eq!(status, wanted, "{said}");
        assert!(said["reason"].as_str().unwrap_or_default().contains(words), "{said}");
    }
    let job = json!({"plugin": "fixture", "args": ["noop"], "regions": [japan]});
    let refused = slow.raw("POST", "/v1/jobs", &[], Some(&job)).await;
    let after: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&after), "{after}");
}

#[tokio::test]
async fn a_key_makes_keys_of_its_tenant_that_may_no_more_than_itself() {
    let stack = Stack::start(&["japan"]).await;
    for tenant in ["acme", "globex"] {
        stack.api.tenant(tenant).await;
    }
    let end = 4_000_000_000_000_u64;
    let scopes = json!({"scopes": {"plugins": ["curl"], "is_admin": true}, "expires_at_ms": end});
    let (boss, _) = stack.api.key("acme", "boss", scopes).await;
    for (asked, wanted) in [
        (json!({"user": "ann"}), 403),
        (json!({"user": "ann", "scopes": {"plugins": ["rush"]}, "expires_at_ms": end}), 403),
        (json!({"user": "ann", "scopes": {"plugins": ["curl"]}}), 403),
        (json!({"user": "ann", "scopes": {"plugins": ["curl"]}, "expires_at_ms": end + 1}), 403),
        (json!({"user": "ann", "scopes": {"plugins": ["curl"]}, "expires_at_ms": 1}), 422),
        (json!({"user": "Ann", "scopes": {"plugins": ["curl"]}, "expires_at_ms": end}), 422),
        (json!({"user": "ann", "scopes": {"plugin": ["curl"]}, "expires_at_ms": end}), 400),
        (json!({"tenant": "globex", "user": "ann", "scopes": {"plugins": ["curl"]}}), 404),
        (json!({"user": "ann", "scopes": {"plugins": ["curl"]}, "expires_at_ms": end}), 201),
    ] {
        let (status, said) = boss.call("POST", "/v1/keys", Some(&asked)).await;
        assert_eq!(status.as_u16(), wanted, "{asked}: {said}");
        // A key is told to who made it, and shown to nobody afterwards.
        let Some(secret) = said["secret"].as_str() else { continue };
        let (ann, id) = (stack.api.with(secret), said["key"]["id"].clone());
        let shown = boss.get("/v1/keys").await;
        assert!(shown.to_string().contains(id.as_str().unwrap()), "{shown}");
        assert!(!shown.to_string().contains(&secret[17..]) && !shown.to_string().contains("hash"));
        let me = whoami(&ann).await.1;
        assert_eq!(
            (&me["tenant"], &me["user"], &me["key"]["id"]),
            (&json!("acme"), &json!("ann"), &id)
        );
        // Everybody may give their own back.
        let path = format!("/v1/keys/{}", id.as_str().unwrap());
        assert_eq!(ann.call("DELETE", &path, None).await.0, StatusCode::OK);
        assert_eq!(whoami(&ann).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn who_tries_too_many_keys_is_told_to_wait_and_the_right_one_comes_in() {
    let stack = Stack::start(&["japan"]).await;
    stack.api.tenant("acme").await;
    let (ann, _) = stack.api.key("acme", "ann", json!({})).await;
    let wrong = stack.api.with("blitz_0000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(whoami(&wrong).await.0.as_u16());
    }
    // Some come again while they are counted.
    let limited = seen.iter().filter(|status| **status == 429).count();
    assert!((1..=10).contains(&limited) && seen[..30].iter().all(|s| *s == 401), "{seen:?}");
    assert_eq!(whoami(&ann).await.0, StatusCode::OK);
    assert!(whoami(&stack.api).await.1["operator"].as_bool().unwrap());
}
