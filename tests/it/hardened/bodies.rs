//! Bodies that are announced and do not come: they keep nobody else from being served.

use std::time::Duration;

use blitz_gateway::Limits;
use blitz_tests::Stack;
use tokio::task::JoinSet;

use super::gateway;
use super::raw::{Raw, head};

/// As long as a submission may be, nearly: there is room for five.
const LENGTH: usize = 45_700_000;

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_have_so_much_room_and_small_ones_need_none() {
    let stack = Stack::start(&["japan"]).await;
    // All of them wait for longer than this story takes.
    let limits = Limits { body: Duration::from_secs(600), ..Limits::default() };
    let (address, api) = gateway(&stack, limits).await;
    let mut large = JoinSet::new();
    for _ in 0..6 {
        large.spawn(async move {
            let mut raw = Raw::open(address).await;
            let lines = format!("content-length: {LENGTH}\r\n");
            raw.say(format!("{}{{", head("POST", "/v1/jobs", &lines)).as_bytes()).await;
            raw.first().await
        });
    }
    let said = large.join_next().await.unwrap().unwrap();
    for part in ["HTTP/1.1 503 ", "retry-after: 2", "\"busy\"", "256 MiB at once", "no room for 44"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The others have the room; who needs none is served.
    api.submit(stack.region(), &["noop"]).await;
    let longer = format!("content-length: {}\r\n", LENGTH * 2);
    for (path, lines) in
        [("/v1/jobs", longer.as_str()), ("/v1/tenants", "content-length: 70000\r\n")]
    {
        let body = "{".repeat(70_000);
        let said =
            Raw::ask(address, format!("{}{body}", head("POST", path, lines)).as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 413 "), "{path}: {said}");
    }
    large.abort_all();
}

#[tokio::test]
async fn a_gateway_without_an_issuer_reads_no_body_of_who_wants_a_token() {
    let stack = Stack::start(&["japan"]).await;
    let (address, _) = gateway(&stack, Limits::default()).await;
    for path in ["/v1/join", "/v1/join/renew"] {
        let said =
            Raw::ask(address, head("POST", path, "content-length: 100\r\n").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 404 ") && said.contains("no_issuer"), "{path}: {said}");
    }
}
