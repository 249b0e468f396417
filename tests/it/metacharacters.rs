//! A thousand strings in every place where a tenant may write text: none of them becomes a part of a query to the store, or of
//! a program that is started. Seen on the wire to the store, and by the kernel through `strace`.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]
#![expect(clippy::print_stdout, reason = "what was left out is told")]

mod strings;
mod traced;

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_gateway::Config;
use blitz_jobs::cluster::Clusters;
use blitz_tests::recorder::Sent;
use blitz_tests::{Api, Recorder, Stack, until};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use strings::{COUNT, is_marked, mark, strings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The token of the gateway of these stories.
const TOKEN: &str = "token-of-a-test";

/// Strings of one job: its arguments, and the names of its inputs.
const STRINGS_OF_A_JOB: usize = 20;

/// Requests under way at once.
const AT_ONCE: usize = 16;

/// All but what RFC 3986 leaves unreserved: what the client of CouchDB lets through as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_tenant_becomes_a_query_or_a_program() {
    let strings = strings();
    assert_eq!(strings.len(), COUNT);
    let stack = Stack::start(&["japan"]).await;
    let url = stack.store_url();
    let server = url.rsplit(['/', '@']).find(|part| !part.is_empty()).unwrap();
    let recorder = Recorder::to(server.parse().unwrap()).await;
    let gateway = gateway(&stack, recorder.address).await;
    let jobs = submit_all(&gateway, stack.region(), &strings).await;
    assert_eq!(jobs.len(), COUNT / STRINGS_OF_A_JOB);
    let asks = futures_util::stream::iter(strings.iter().enumerate());
    asks.for_each_concurrent(AT_ONCE, |(n, text)| {
        everywhere(&gateway, text, &jobs[n % jobs.len()])
    })
    .await;
    let requests = recorder.requests();
    let mut seen = vec![false; COUNT];
    for sent in &requests {
        check_target(sent);
        check_body(sent, &mut seen);
    }
    let missing = seen.iter().position(|seen| !seen);
    assert_eq!(missing, None, "a string that was submitted was not seen on the wire");
    println!("{COUNT} strings, {} requests to the store", requests.len());
    traced::no_program_is_started(&strings).await;
}

/// A gateway that reaches the stack's store through the recorder.
async fn gateway(stack: &Stack, store: SocketAddr) -> Ask {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let own = stack.store_url();
    let who = own.strip_prefix("http://").and_then(|rest| rest.rsplit_once('@'));
    let who = who.map(|(who, _)| format!("{who}@")).unwrap_or_default();
    let store = blitz_couchdb::Client::new(format!("http://{who}{store}")).unwrap();
    let config = Config::new(Clusters::alone(store), TOKEN);
    tokio::spawn(blitz_gateway::run(listener, config, CancellationToken::new()));
    let api = Api::new(&base, TOKEN);
    until("a gateway that knows its plugins", || async {
        let answer = api.try_raw("GET", "/v1/plugins/fixture", &[], None).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    Ask { base, http: Client::builder(TokioExecutor::new()).build_http() }
}

/// A client that sends what it is given.
struct Ask {
    base: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Ask {
    /// The status and the body of the answer; nothing when HTTP itself cannot carry the request.
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Option<(u16, Value)> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {TOKEN}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).ok()?;
        let answer = self.http.request(request).await.expect("an answer");
        let status = answer.status().as_u16();
        // An event stream does not end: what it says is no matter here.
        if answer.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
            return Some((status, Value::Null));
        }
        let bytes = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }
}

/// Jobs that have all strings as arguments and as names of inputs.
async fn submit_all(gateway: &Ask, region: &str, strings: &[String]) -> Vec<String> {
    let mut jobs = Vec::new();
    for some in strings.chunks(STRINGS_OF_A_JOB) {
        let inputs: Vec<Value> =
            some.iter().map(|name| json!({"name": name, "base64": "aGk="})).collect();
        let named = some.iter().map(|name| format!("--input={name}"));
        let words: Vec<String> =
            named.chain(["args".into(), "--".into()]).chain(some.iter().cloned()).collect();
        let job =
            json!({"plugin": "fixture", "args": words, "inputs": inputs, "regions": [region]});
        let (status, answer) = gateway.send("POST", "/v1/jobs", &[], &job).await.unwrap();
        assert_eq!(status, 201, "{answer}");
        jobs.push(answer["jobs"][0]["id"].as_str().unwrap().to_owned());
    }
    jobs
}

/// One string in every other place.
async fn everywhere(gateway: &Ask, text: &str, job: &str) {
    let quoted = utf8_percent_encode(text, ENCODED).to_string();
    let refused = |place: &str, answer: Option<(u16, Value)>| {
        if let Some((status, answer)) = answer {
            assert!((400..500).contains(&status), "{text:?} as {place}: {status} {answer}");
        }
    };
    let submit = async |body: Value| gateway.send("POST", "/v1/jobs", &[], &body).await;
    refused("plugin", submit(json!({"plugin": text, "regions": ["any"]})).await);
    refused(
        "version",
        submit(json!({"plugin": "fixture", "version": text, "regions": ["any"]})).await,
    );
    refused(
        "digest",
        submit(json!({"plugin": "fixture", "sha256": text, "args": ["noop"], "regions": ["any"]}))
            .await,
    );
    refused("region", submit(json!({"plugin": "fixture", "regions": [text]})).await);
    // Some are base64 by chance.
    if STANDARD.decode(text).is_err() {
        let input = json!({"name": "-", "base64": text});
        let job =
            json!({"plugin": "fixture", "args": ["noop"], "inputs": [input], "regions": ["any"]});
        refused("content", submit(job).await);
    }
    let get = async |path: String| gateway.send("GET", &path, &[], &Value::Null).await;
    refused("job", get(format!("/v1/jobs/{quoted}")).await);
    refused("plugin", get(format!("/v1/plugins/{quoted}")).await);
    refused("version", get(format!("/v1/plugins/fixture?version={quoted}")).await);
    // A choice of regions asks for none here: it is made at the submission.
    if !text.contains('|') {
        refused("regions", get(format!("/v1/plugins/fixture?regions=x{quoted}")).await);
    }
    refused("last", get(format!("/v1/jobs?last={quoted}")).await);
    refused("path", get(format!("/v1/{quoted}")).await);
    let events = format!("/v1/jobs/{job}/events");
    let with = async |name: &str, path: &str| {
        gateway.send("GET", path, &[(name, text)], &Value::Null).await
    };
    refused("Last-Event-ID", with("last-event-id", &events).await);
    refused("Host", with("host", "/v1/regions").await);
    refused("Origin", with("origin", "/v1/regions").await);
    refused("token", with("authorization", "/v1/regions").await);
    // What nobody reads changes nothing.
    if let Some((status, answer)) = with("x-request-id", "/v1/regions").await {
        assert_eq!(status, 200, "{text:?} as x-request-id: {answer}");
    }
    let cancelled = gateway.send("DELETE", &format!("/v1/jobs/{quoted}"), &[], &Value::Null).await;
    refused("cancelled job", cancelled);
}

/// The target of a request to the store is what our encoder makes, and nobody's text is in it or in the head.
fn check_target(sent: &Sent) {
    let Sent { method, target, head, .. } = sent;
    let decoded = percent_decode_str(target).decode_utf8().expect("text");
    for text in [target.as_str(), &decoded, head] {
        assert!(!is_marked(text), "{method} {target} has text of a tenant: {text}");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    assert!(path.starts_with('/') && !path.contains("//"), "{method} {target}");
    let parts = path[1..].split('/').chain(query.split(['&', '=']));
    for part in parts {
        let plain = percent_decode_str(part).decode_utf8().expect("text");
        let again = utf8_percent_encode(&plain, ENCODED).to_string();
        assert_eq!(part, again, "{method} {target}");
        assert!(!matches!(part, "." | ".."), "{method} {target}");
    }
}

/// Text of a tenant is in bodies that are stored, and there in a value: of arguments, of an input's name, or of what the audit
/// says was asked.
fn check_body(sent: &Sent, seen: &mut [bool]) {
    let Sent { method, target, body, .. } = sent;
    let text = String::from_utf8_lossy(body);
    if !is_marked(&text) {
        return;
    }
    let is_write = (method == "PUT" && target.starts_with("/blitz-jobs-"))
        || (method == "POST"
            && target.split('?').next().is_some_and(|p| p.ends_with("/_bulk_docs")));
    assert!(is_write, "{method} {target} has text of a tenant: {text}");
    let value: Value = serde_json::from_slice(body).expect("a document");
    let is_audit = target.starts_with("/blitz-audit/");
    walk(&value, "", &mut |place, text| {
        let is_its_place = place.contains("/args/")
            || (place.contains("/inputs/") && place.ends_with("/name"))
            || (is_audit && place.contains("/deed/"));
        assert!(is_its_place || !is_marked(text), "{method} {target} at {place}: {text:?}");
        for (n, seen) in seen.iter_mut().enumerate() {
            *seen |= text.contains(&mark(n));
        }
    });
}

/// Every string of a value with its place; names of members are strings too, at `KEY`.
fn walk(value: &Value, place: &str, see: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(place, text),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(item, &format!("{place}/{at}"), see);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                see("KEY", name);
                walk(member, &format!("{place}/{name}"), see);
            }
        }
        _ => {}
    }
}
