//! Every route that takes JSON, and texts that two readers may read differently.

use blitz_gateway::issuer::Keys;
use blitz_gateway::{Config, Issuer};
use blitz_jobs::cluster::Clusters;
use blitz_jobs::sealing::RegionKeys;
use blitz_tests::{Api, Stack};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::raw::TOKEN;
use super::served;

/// Where JSON is taken, and a key that it may have.
const ROUTES: [(&str, &str, &str); 11] = [
    ("POST", "/v1/jobs", "plugin"),
    ("POST", "/v1/plugins/fixture/0.1.0/yank", "reason"),
    ("POST", "/v1/regions/japan/tokens", "engine"),
    ("PUT", "/v1/engines/e1/revoked", "reason"),
    ("POST", "/v1/join", "region"),
    ("POST", "/v1/join/renew", "token"),
    ("POST", "/v1/tenants", "name"),
    ("PATCH", "/v1/tenants/acme", "plan"),
    ("POST", "/v1/keys", "user"),
    ("PUT", "/v1/plans/free", "jobs_per_hour"),
    ("POST", "/v1/targets", "host"),
];

/// Where a reason may be said, and need not be.
const REASONS: [(&str, &str, &str); 4] = [
    ("DELETE", "/v1/tenants/acme", "reason"),
    ("DELETE", "/v1/tenants/acme/users/ann", "reason"),
    ("DELETE", "/v1/keys/0123456789", "reason"),
    ("DELETE", "/v1/targets/a.example", "reason"),
];

/// Routes that are asked with something else than GET and take no body.
const BODILESS: [(&str, &str); 4] = [
    ("DELETE", "/v1/jobs/{id}"),
    ("DELETE", "/v1/plans/{name}"),
    ("POST", "/v1/plugins/{name}/{version}/promote"),
    ("POST", "/v1/targets/{host}/verify"),
];

/// The body of the line before a file.
const PUBLISHING: (&str, &str, &str) = ("PUT", "/v1/plugins/fixture/9.9.9", "manifest");

/// Texts, with `KEY` for a key of the route, and what is said of them.
const BAD: [(&str, &str); 15] = [
    (r#"{"KEY":"a","KEY":"b"}"#, "is there twice"),
    (r#"{"KEY":"a","KEY":"a"}"#, "is there twice"),
    (r#"{"KEY":{"x":[{"y":1,"y":1}]}}"#, "is there twice"),
    (r#"{"x":1,"\u0078":1}"#, "is there twice"),
    (r#"{"KEY":"a"}{"KEY":"b"}"#, "trailing characters"),
    (r#"{"KEY":"a"} x"#, "trailing characters"),
    ("{\"KEY\":\"a\"}\0", "trailing characters"),
    ("\u{feff}{\"KEY\":\"a\"}", "byte order mark"),
    (r#"{"KEY":1e999}"#, "number out of range"),
    (r#"{"KEY":"\ud800"}"#, "hex escape"),
    (r#"{"$serde_json::private::RawValue":"{}"}"#, "is not allowed"),
    ("{\"KEY\":\"\n\"}", "control character"),
    ("{'KEY':1}", "key must be a string"),
    ("", "EOF"),
    (r#"{"KEY":"a",}"#, "trailing comma"),
];

/// A route that is in none of the tables would be held to nothing here.
#[test]
fn every_route_of_the_api_is_in_a_table() {
    let is_at = |path: &str, pattern: &str| {
        let (parts, patterns) = (path.split('/'), pattern.split('/'));
        parts.clone().count() == patterns.clone().count()
            && parts
                .zip(patterns)
                .all(|(part, pattern)| pattern.starts_with('{') || part == pattern)
    };
    let taking = || ROUTES.iter().chain(&REASONS).chain([&PUBLISHING]);
    let unknown: Vec<_> = blitz_gateway::routes()
        .into_iter()
        .filter(|route| route.method != "GET")
        .filter(|route| !BODILESS.contains(&(route.method, route.path)))
        .filter(|route| {
            !taking().any(|(method, path, _)| *method == route.method && is_at(path, route.path))
        })
        .collect();
    assert!(unknown.is_empty(), "add them to a table of {}: {unknown:?}", file!());
}

#[tokio::test]
async fn no_route_reads_json_that_can_be_read_two_ways() {
    let stack = Stack::start(&["japan"]).await;
    // One that issues tokens: another reads no body of who wants one.
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("issuer");
    std::fs::write(&key, "a-secret-of-a-test-with-32-bytes").unwrap();
    let issuer = Issuer {
        keys: Keys::read(&[key]).unwrap(),
        store: stack.store_url(),
        region_keys: RegionKeys::default(),
        ec2: None,
    };
    let config = Config::new(Clusters::alone(stack.store.clone()), TOKEN);
    let (_, api) = served(config, Some(issuer)).await;
    for (method, path, key) in ROUTES.into_iter().chain(REASONS).chain([PUBLISHING]) {
        let is_line = path == PUBLISHING.1;
        let send = async |kind: &str, mut body: Vec<u8>| {
            if is_line {
                body.extend_from_slice(b"\nfile");
            }
            send(&api, method, path, kind, body).await
        };
        for (text, says) in BAD {
            // A line ends where it ends, and who says no reason says nothing.
            if is_line && text.contains('\n') || method == "DELETE" && text.is_empty() {
                continue;
            }
            let (status, reason) = send("application/json", text.replace("KEY", key).into()).await;
            assert_eq!(status, 400, "{method} {path} {text:?}: {reason}");
            assert!(reason.contains(says), "{method} {path} {text:?}: {reason}");
        }
        let deep = format!("{{\"{key}\":{}{}}}", "[".repeat(500), "]".repeat(500));
        let (status, reason) = send("application/json", deep.into()).await;
        assert!(status == 400 && reason.contains("recursion limit"), "{path}: {status} {reason}");
        let latin = [b"{\"".as_slice(), key.as_bytes(), b"\":\"\xe9\"}"].concat();
        let (status, reason) = send("application/json", latin).await;
        assert!(status == 400 && reason.contains("unicode"), "{path}: {status} {reason}");
        if path != "/v1/jobs" && !is_line {
            let large = format!("{{\"{key}\":\"{}\"}}", "a".repeat(64 << 10));
            let (status, reason) = send("application/json", large.into()).await;
            assert_eq!(status, 413, "{method} {path}: {reason}");
        }
        if is_line || method == "DELETE" {
            continue;
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            let (status, reason) = send(kind, format!("{{\"{key}\":\"a\"}}").into()).await;
            assert!(status == 400 && reason.contains("Content-Type"), "{path} {kind:?}: {reason}");
        }
        if ["/v1/regions", "/v1/engines", "/v1/join"].iter().any(|start| path.starts_with(start)) {
            let large = format!("{{\"{key}\":\"{}\"}}", "a".repeat(40 << 10));
            let (status, reason) = send("application/json", large.into()).await;
            assert!(status == 413 && reason.contains("32768 bytes"), "{path}: {status} {reason}");
        }
        // Engines may be of a later version; limits of plans are looked at one by one.
        if !path.starts_with("/v1/join") && !path.starts_with("/v1/plans") {
            let (status, reason) = send("application/json", r#"{"moon":1}"#.into()).await;
            assert!(status == 400 && reason.contains("unknown field"), "{path}: {status} {reason}");
        }
    }
}

/// Sends bytes, and gives the status and the reason of the answer.
async fn send(api: &Api, method: &str, path: &str, kind: &str, body: Vec<u8>) -> (u16, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", api.base))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", kind)
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    (status, answer["reason"].as_str().unwrap_or_default().to_owned())
}
