//! Every route of the API, asked by everybody who should not get what is somebody else's.

use blitz_gateway::Who;
use blitz_jobs::accounts::{ACCOUNTS, Key, KeyKind, Scopes, Secret};
use blitz_tests::stack::ACCOUNTS_KEY;
use blitz_tests::{Api, Stack, until};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::whoami;

/// A route that callers of all kinds may ask, with something of `ann` at `acme` in it, and what is answered to an administrator of
/// another tenant and to another user of the same one.
struct Row {
    method: &'static str,
    /// As the table of routes has it.
    path: &'static str,
    /// What is asked, with `{job}`, `{key}`, `{region}` and `{version}`.
    asks: &'static str,
    body: &'static str,
    /// Who is of another tenant.
    other: u16,
    /// Who is of the same tenant, and no administrator.
    fellow: u16,
}

const fn row(
    (method, path): (&'static str, &'static str),
    asks: &'static str,
    body: &'static str,
    other: u16,
    fellow: u16,
) -> Row {
    Row { method, path, asks, body, other, fellow }
}

/// What belongs to somebody else is not there; what is everybody's is.
const ROWS: &[Row] = &[
    row(("GET", "/v1/whoami"), "/v1/whoami", "", 200, 200),
    row(("GET", "/v1/jobs"), "/v1/jobs", "", 200, 200),
    row(
        ("POST", "/v1/jobs"),
        "/v1/jobs",
        r#"{"plugin": "fixture", "args": ["noop"], "regions": ["{region}"]}"#,
        201,
        201,
    ),
    row(("GET", "/v1/jobs/{id}"), "/v1/jobs/{job}", "", 404, 404),
    row(("DELETE", "/v1/jobs/{id}"), "/v1/jobs/{job}", "", 404, 404),
    row(("GET", "/v1/jobs/{id}/events"), "/v1/jobs/{job}/events", "", 404, 404),
    row(("GET", "/v1/regions"), "/v1/regions", "", 200, 200),
    row(("GET", "/v1/plugins"), "/v1/plugins", "", 200, 200),
    row(("GET", "/v1/plugins/{name}"), "/v1/plugins/fixture", "", 200, 200),
    row(("GET", "/v1/plugins/{name}/{version}"), "/v1/plugins/fixture/{version}", "", 200, 200),
    row(("GET", "/v1/tenants"), "/v1/tenants", "", 200, 200),
    row(("DELETE", "/v1/tenants/{name}/users/{user}"), "/v1/tenants/acme/users/ann", "", 404, 403),
    row(("GET", "/v1/keys"), "/v1/keys?tenant=acme", "", 404, 200),
    row(("POST", "/v1/keys"), "/v1/keys", r#"{"tenant": "acme", "user": "mallory"}"#, 404, 403),
    row(("DELETE", "/v1/keys/{id}"), "/v1/keys/{key}", "", 404, 404),
    row(("GET", "/v1/targets"), "/v1/targets?tenant=acme", "", 404, 200),
    row(
        ("POST", "/v1/targets"),
        "/v1/targets",
        r#"{"tenant": "acme", "host": "example.com"}"#,
        404,
        201,
    ),
    // This gateway looks for no proofs.
    row(
        ("POST", "/v1/targets/{host}/verify"),
        "/v1/targets/example.com/verify?tenant=acme",
        "",
        404,
        501,
    ),
    row(("DELETE", "/v1/targets/{host}"), "/v1/targets/example.com?tenant=acme", "", 404, 200),
    row(("GET", "/v1/plans"), "/v1/plans", "", 200, 200),
    row(("GET", "/v1/usage"), "/v1/usage?tenant=acme", "", 404, 200),
    // Who may publish sends no file here; who may not is told so before one is read.
    row(("PUT", "/v1/plugins/{name}/{version}"), "/v1/plugins/fixture/{version}", "", 400, 403),
    row(
        ("POST", "/v1/plugins/{name}/{version}/yank"),
        "/v1/plugins/fixture/{version}/yank",
        "{}",
        403,
        403,
    ),
    row(
        ("POST", "/v1/plugins/{name}/{version}/promote"),
        "/v1/plugins/fixture/{version}/promote",
        "",
        403,
        403,
    ),
    row(("GET", "/v1/targets"), "/v1/targets?tenant=acme", "", 404, 200),
    row(
        ("POST", "/v1/targets"),
        "/v1/targets",
        r#"{"host": "staging.example.com", "tenant": "acme"}"#,
        404,
        201,
    ),
    row(
        ("POST", "/v1/targets/{host}/verify"),
        "/v1/targets/www.example.com/verify?tenant=acme",
        "",
        404,
        404,
    ),
    row(("DELETE", "/v1/targets/{host}"), "/v1/targets/www.example.com?tenant=acme", "", 404, 404),
    row(("GET", "/v1/audit"), "/v1/audit?tenant=acme", "", 404, 403),
];

/// What everybody is answered who shows nothing, where nothing has to be shown: this gateway gives no tokens to engines.
const OPEN: &[(&str, &str, u16)] =
    &[("GET", "/healthz", 200), ("POST", "/v1/join", 404), ("POST", "/v1/join/renew", 404)];

/// A key that was over long ago: no gateway makes one.
async fn expired(stack: &Stack) -> Api {
    let secret = Secret::new([9; 48]);
    let key = Key {
        kind: KeyKind::Key,
        blitz: String::new(),
        id: secret.id().to_owned(),
        tenant: "acme".to_owned(),
        user: "ann".to_owned(),
        label: String::new(),
        hash: secret.hash(&ACCOUNTS_KEY),
        scopes: Scopes::default(),
        created_at_ms: 0,
        expires_at_ms: Some(1),
    };
    key.create(&stack.store.database(ACCOUNTS)).await.expect("a store that answers");
    let api = stack.api.with(secret.text());
    until("the gateway knows the key that is over", || async {
        let (_, said) = whoami(&api).await;
        (said["error"] == "key_expired").then_some(())
    })
    .await;
    api
}

/// A job that waits for an engine for as long as a story lasts.
fn waiting(region: &str) -> Value {
    json!({"plugin": "fixture", "args": ["noop"], "regions": [region], "queue_timeout_ms": 600_000})
}

async fn status(api: &Api, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, String) {
    let answer = api.raw(method, path, &[], body).await;
    let status = answer.status();
    // An open stream has no end.
    if status == StatusCode::OK && path.ends_with("/events") {
        return (status, String::new());
    }
    let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn every_route_keeps_out_who_has_no_business_there() {
    let stack = Stack::start(&["japan"]).await;
    let api = &stack.api;
    api.tenant("acme").await;
    api.tenant("globex").await;
    let (ann, key) = api.key("acme", "ann", json!({})).await;
    let (fellow, _) = api.key("acme", "bob", json!({})).await;
    let (other, _) = api.key("globex", "gus", json!({"scopes": {"is_admin": true}})).await;
    let (revoked, id) = api.key("acme", "ann", json!({})).await;
    api.call("DELETE", &format!("/v1/keys/{id}"), None).await;
    let expired = expired(&stack).await;
    let wrong = [api.with("wrong"), api.with(Secret::new([8; 48]).text()), revoked, expired];
    let job = ann.submit_with(waiting(stack.region())).await;
    let version = api.get("/v1/plugins/fixture").await["version"].as_str().unwrap().to_owned();
    let fill = |text: &str| {
        let text = text.replace("{job}", &job).replace("{key}", &key);
        text.replace("{region}", stack.region()).replace("{version}", &version)
    };
    for route in blitz_gateway::routes() {
        let about = format!("{} {}", route.method, route.path);
        if route.who == Who::All {
            let row = OPEN.iter().find(|(m, path, _)| (*m, *path) == (route.method, route.path));
            let (.., wanted) = row.unwrap_or_else(|| panic!("{about} is open and in no row"));
            let answer = api.raw(route.method, route.path, &[("authorization", "")], None);
            let answer = answer.await.status().as_u16();
            assert!(answer == *wanted || answer == 400 || answer == 415, "{about}: {answer}");
            continue;
        }
        let row = ROWS.iter().find(|row| (row.method, row.path) == (route.method, route.path));
        let (asks, body, other_gets, fellow_gets) = match (route.who, row) {
            (Who::Operator, _) => (route.path.replace(['{', '}'], ""), String::new(), 403, 403),
            (_, Some(row)) => (fill(row.asks), fill(row.body), row.other, row.fellow),
            (_, None) => {
                panic!("{about} is for callers of all kinds and in no row: add it to ROWS")
            }
        };
        let body: Option<Value> =
            (!body.is_empty()).then(|| serde_json::from_str(&body).expect("a row's body"));
        let nothing = api.raw(route.method, &asks, &[("authorization", "")], body.as_ref()).await;
        assert_eq!(nothing.status(), StatusCode::UNAUTHORIZED, "{about} without a token");
        for wrong in &wrong {
            let (status, said) = status(wrong, route.method, &asks, body.as_ref()).await;
            let is_out = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
            assert!(is_out.contains(&status), "{about} with {}: {said}", wrong.token);
        }
        for (who, wanted) in [(&other, other_gets), (&fellow, fellow_gets)] {
            let (status, said) = status(who, route.method, &asks, body.as_ref()).await;
            assert_eq!(status.as_u16(), wanted, "{about} by {}: {said}", who.token);
        }
    }
    // Nothing came of all that.
    assert_eq!(ann.get(&format!("/v1/jobs/{job}")).await["state"], "queued");
    assert_eq!(whoami(&ann).await.0, StatusCode::OK);
    let users = api.get("/v1/keys?tenant=acme").await.to_string();
    assert!(!users.contains("mallory"), "{users}");
}

#[tokio::test]
async fn somebody_elses_job_is_answered_as_one_that_is_not_there() {
    let stack = Stack::start(&["japan"]).await;
    for tenant in ["acme", "globex"] {
        stack.api.tenant(tenant).await;
    }
    let (ann, _) = stack.api.key("acme", "ann", json!({})).await;
    let (gus, _) = stack.api.key("globex", "gus", json!({"scopes": {"is_admin": true}})).await;
    let job = ann.submit_with(waiting(stack.region())).await;
    let operators = stack.api.submit_with(waiting(stack.region())).await;
    // The same id but for the last digit.
    let last = if job.ends_with('0') { "1" } else { "0" };
    let none = format!("{}{last}", &job[..job.len() - 1]);
    for (method, tail) in [("GET", ""), ("DELETE", ""), ("GET", "/events")] {
        let mut answers = Vec::new();
        for id in [&job, &operators, &none] {
            let answer = gus.raw(method, &format!("/v1/jobs/{id}{tail}"), &[], None).await;
            let (mut parts, body) = answer.into_parts();
            parts.headers.remove("date");
            parts.headers.remove("x-request-id");
            let body = body.collect().await.expect("a whole answer").to_bytes();
            let body = String::from_utf8_lossy(&body).replace(id.as_str(), "ID");
            answers.push((parts.status, format!("{:?}", parts.headers), body));
        }
        assert_eq!(answers[0].0, StatusCode::NOT_FOUND, "{method} {tail}");
        assert!(answers.iter().all(|answer| *answer == answers[2]), "{method} {tail}: {answers:?}");
    }
}
