//! What becomes of jobs whose tenant, or whose user, was taken its rights. For good: their names are of these stories alone.

use std::path::Path;
use std::process::Stdio;

use blitz_tests::{Api, Home, Stack, region_name, until};
use serde_json::{Value, json};

/// A job that waits for an engine.
async fn waits(api: &Api, region: &str) -> String {
    let job = json!({"plugin": "fixture", "args": ["noop"], "regions": [region], "queue_timeout_ms": 3_600_000});
    api.submit_with(job).await
}

async fn end(api: &Api, path: &str) -> Value {
    let (status, answer) = api.call("DELETE", path, None).await;
    assert!(status.is_success(), "{answer}");
    answer["ended"].clone()
}

#[tokio::test]
async fn jobs_end_with_their_user_and_with_their_tenant() {
    let stack = Stack::start(&["japan"]).await;
    let (api, region) = (&stack.api, stack.region());
    let (acme, globex) = (region_name("acme"), region_name("globex"));
    for tenant in [&acme, &globex] {
        api.tenant(tenant).await;
    }
    let (ann, _) = api.key(&acme, "ann", json!({})).await;
    let (bob, _) = api.key(&acme, "bob", json!({})).await;
    let (gus, _) = api.key(&globex, "gus", json!({})).await;
    let of_ann = [waits(&ann, region).await, waits(&ann, region).await];
    let (of_bob, of_gus) = (waits(&bob, region).await, waits(&gus, region).await);
    let operators = waits(api, region).await;
    let state = async |job: &str| {
        let job = api.get(&format!("/v1/jobs/{job}")).await;
        job["state"].as_str().expect("a state").to_owned()
    };
    let ended = async |job: &str| {
        until("it is cancelled", || async { (state(job).await == "cancelled").then_some(()) })
            .await;
    };

    assert_eq!(end(api, &format!("/v1/tenants/{acme}/users/ann")).await, 2);
    for job in &of_ann {
        ended(job).await;
    }
    assert_eq!(end(api, &format!("/v1/tenants/{acme}")).await, 1);
    ended(&of_bob).await;
    assert_eq!(end(api, &format!("/v1/tenants/{acme}")).await, 0, "again is harmless");
    for job in [&of_gus, &operators] {
        assert_eq!(state(job).await, "queued");
    }
}

/// Whoever follows is told why, and with the code of what is refused: to try again helps nothing.
#[tokio::test]
async fn a_command_whose_user_is_revoked_says_so() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 1).await;
    let acme = region_name("acme");
    stack.api.tenant(&acme).await;
    let (ann, _) = stack.api.key(&acme, "ann", json!({})).await;
    let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
    let mut command =
        home.command(&["run", "fixture", "-r", stack.region(), "--", "until-cancelled"]);
    command.env("BLITZ_HOST", &ann.base).env("BLITZ_TOKEN", &ann.token);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let command = command.spawn().expect("the program starts");
    until("it runs", || async {
        let jobs = ann.get("/v1/jobs").await;
        (jobs["jobs"][0]["state"] == "claimed").then_some(())
    })
    .await;
    assert_eq!(end(&stack.api, &format!("/v1/tenants/{acme}/users/ann")).await, 1);
    let output = command.wait_with_output().await.expect("its output");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(122), "{said}");
    assert!(said.contains("was revoked"), "{said}");
}

#[tokio::test]
async fn an_administrator_ends_users_that_there_are() {
    let stack = Stack::start(&["japan"]).await;
    let acme = region_name("acme");
    stack.api.tenant(&acme).await;
    let (boss, _) = stack.api.key(&acme, "boss", json!({"scopes": {"is_admin": true}})).await;
    let nobody = format!("/v1/tenants/{acme}/users/nobody");
    let (status, answer) = boss.call("DELETE", &nobody, None).await;
    assert_eq!((status.as_u16(), &answer["error"]), (404, &json!("unknown_user")), "{answer}");
    // The operator may forestall one that comes from elsewhere.
    let (status, _) = stack.api.call("DELETE", &nobody, None).await;
    assert!(status.is_success());
}
