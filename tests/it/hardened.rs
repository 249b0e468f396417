//! A gateway under those who ask badly: slowly, without end, in two ways at once. Raw sockets, real limits that are shortened.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

mod bodies;
mod hung_up;
mod raw;
mod twice;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use blitz_gateway::{Config, Issuer, Limits};
use blitz_jobs::cluster::Clusters;
use blitz_tests::{Api, Stack, until};
use raw::{Raw, TOKEN, head};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Those that are slow at once.
const SLOW: usize = 500;

/// A limit is noticed so much later on a busy machine, at most.
const LATE_MAX: Duration = Duration::from_secs(60);

/// A second gateway on the store of a stack, with limits of its own. It ends with the runtime.
async fn gateway(stack: &Stack, limits: Limits) -> (SocketAddr, Api) {
    let clusters = Clusters::alone(stack.store.clone());
    served(Config { limits, ..Config::new(clusters, TOKEN) }, None).await
}

/// A gateway of these rules.
async fn served(config: Config, issuer: Option<Issuer>) -> (SocketAddr, Api) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(blitz_gateway::run_with(listener, config, issuer, CancellationToken::new()));
    let api = Api::new(&format!("http://{address}"), TOKEN);
    until("a gateway that knows its plugins", || async {
        let answer = api.try_raw("GET", "/v1/plugins/fixture", &[], None).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    (address, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_slow_connections_keep_nobody_waiting_and_are_cut_at_their_limit() {
    let stack = Stack::start(&["japan"]).await;
    let limit = Duration::from_secs(3);
    let limits = Limits { head: limit, body: limit, ..Limits::default() };
    let (address, api) = gateway(&stack, limits).await;
    let mut slow = JoinSet::new();
    for n in 0..SLOW {
        slow.spawn(async move {
            let mut raw = Raw::open(address).await;
            let is_head = n % 2 == 0;
            if is_head {
                raw.say(b"POST /v1/jobs HTTP/1.1\r\nx-slow: ").await;
            } else {
                raw.say(head("POST", "/v1/jobs", "content-length: 1000000\r\n").as_bytes()).await;
            }
            let begun = Instant::now();
            let said = raw.drip(Duration::from_millis(250)).await;
            (is_head, begun.elapsed(), said)
        });
    }
    let mut slowest = Duration::ZERO;
    let mut served = 0;
    while !slow.is_empty() && served < 40 {
        let begun = Instant::now();
        // A connection of its own each time: one that stands could have a place of before.
        let fresh = Api::new(&api.base, TOKEN);
        fresh.submit(stack.region(), &["noop"]).await;
        slowest = slowest.max(begun.elapsed());
        served += 1;
        while slow.try_join_next().is_some_and(|ended| check(&ended.unwrap(), limit)) {}
    }
    assert!(served > 0, "no honest request was served beside {SLOW} slow ones");
    while let Some(ended) = slow.join_next().await {
        check(&ended.unwrap(), limit);
    }
    println!("{served} honest requests beside {SLOW} slow connections, the slowest {slowest:.1?}");
}

/// How a slow connection must have ended.
fn check((is_head, took, said): &(bool, Duration, String), limit: Duration) -> bool {
    assert!(*took >= limit / 2, "cut after {took:?} already");
    assert!(*took < limit + LATE_MAX, "cut after {took:?} only");
    if *is_head {
        assert_eq!(said, "", "nothing was asked, and nothing is answered");
    } else {
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("slow_request"), "{said}");
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_give_way_and_who_finds_no_place_is_told() {
    let stack = Stack::start(&["japan"]).await;
    let limits = Limits { connections: 8, ..Limits::default() };
    let (address, api) = gateway(&stack, limits).await;
    let job = api.submit(stack.region(), &["noop"]).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Raw::open(address).await);
    }
    let answer = Raw::ask(address, head("GET", "/v1/regions", "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(silent[0].rest().await, "", "the first gave its place");
    // Followers of a job are at work.
    let mut followers = Vec::new();
    for _ in 0..8 {
        let follower = Api::new(&api.base, TOKEN);
        followers.push(follower.events(&job, None).await);
    }
    let mut refused = Raw::open(address).await;
    let said = refused.rest().await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("connections_full"), "{said}");
    drop(followers);
    until("a place", || async {
        let answer = Raw::ask(address, head("GET", "/v1/regions", "").as_bytes()).await;
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_and_who_says_nothing_is_cut() {
    let stack = Stack::start(&["japan"]).await;
    let limit = Duration::from_secs(2);
    let limits = Limits { idle: limit, stall: limit, ..Limits::default() };
    let (address, _) = gateway(&stack, limits).await;
    let mut silent = Raw::open(address).await;
    let begun = Instant::now();
    assert_eq!(silent.rest().await, "");
    assert!(begun.elapsed() >= limit / 2 && begun.elapsed() < limit + LATE_MAX);
    // Requests without end, and not one answer is read: until the gateway cannot write, and then until it has enough.
    let mut deaf = Raw::narrow(address).await;
    let asks = head("GET", "/v1/plugins", "").repeat(50);
    let cut = tokio::time::timeout(Duration::from_secs(60), async {
        while deaf.try_say(asks.as_bytes()).await {}
    });
    cut.await.expect("a reader that does not read is cut");
}

#[tokio::test]
async fn heads_have_limits_and_one_meaning() {
    let stack = Stack::start(&["japan"]).await;
    let (address, _) = gateway(&stack, Limits::default()).await;
    let many: String = (0..120).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(20 << 10));
    let path = format!("/v1/jobs/{}", "a".repeat(70 << 10));
    for (what, request, status) in [
        ("many lines", head("GET", "/v1/regions", &many), "431"),
        ("a long line", head("GET", "/v1/regions", &long), "431"),
        ("a long path", head("GET", &path, ""), "4"),
        ("two hosts", head("GET", "/v1/regions", "host: evil.example\r\n"), "400"),
        ("two tokens", head("GET", "/v1/regions", "authorization: Bearer x\r\n"), "400"),
        ("two origins", head("GET", "/v1/regions", "origin: null\r\norigin: null\r\n"), "400"),
        (
            "two lengths",
            head("POST", "/v1/jobs", "content-length: 1\r\ncontent-length: 2\r\n"),
            "400",
        ),
        ("no length", head("POST", "/v1/jobs", "content-length: -1\r\n"), "400"),
        ("a strange encoding", head("POST", "/v1/jobs", "transfer-encoding: gzip\r\n"), "400"),
        ("a folded line", head("GET", "/v1/regions", "x: 1\r\n 2\r\n"), "400"),
        ("a space before the colon", head("GET", "/v1/regions", "x : 1\r\n"), "400"),
        ("a NUL", head("GET", "/v1/regions", "x: \0\r\n"), "400"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400"),
        ("no version", "GET /v1/regions\r\n\r\n".to_owned(), "400"),
        ("honest", head("GET", "/v1/regions", "x: 1\r\n"), "200"),
    ] {
        let answer = Raw::ask(address, request.as_bytes()).await;
        let start = format!("HTTP/1.1 {status}");
        let said: String = answer.chars().take(200).collect();
        // hyper says nothing to what is not HTTP/1 at all.
        let is_refused = answer.is_empty() && matches!(what, "HTTP/2" | "no version");
        assert!(answer.starts_with(&start) || is_refused, "{what}: {said:?}");
    }
}

#[tokio::test]
async fn parameters_that_come_twice_are_refused() {
    let stack = Stack::start(&["japan"]).await;
    for (path, status) in [
        ("/v1/jobs?last=1&last=2", 400),
        ("/v1/jobs?last=1&l%61st=2", 400),
        ("/v1/jobs?last=x", 400),
        ("/v1/plugins/fixture?version=0.1.0&version=0.2.0", 400),
        ("/v1/plugins/fixture?regions=a&regions=b", 400),
        ("/v1/jobs?last=1&other=2", 200),
    ] {
        let (answered, answer) = stack.api.call("GET", path, None).await;
        assert_eq!(answered.as_u16(), status, "{path}: {answer}");
        if status == 400 {
            assert_eq!(answer["error"], json!("bad_request"), "{path}: {answer}");
        }
    }
}
