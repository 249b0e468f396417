//! Load tests, from the command line to the server that is loaded and back.

use std::path::Path;
use std::process::Stdio;

use blitz_tests::program::{Outcome, send_signal};
use blitz_tests::{Counter, Home, until};
use serde_json::{Value, json};

fn home() -> Home {
    Home::new(Path::new(env!("CARGO_BIN_EXE_bench")))
}

/// The report of a command with `--json`.
fn report(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome:?}"))
}

/// Requests that were answered, and those that failed.
fn hits(report: &Value) -> (u64, u64) {
    let tally = &report["total"]["tally"];
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number: {report}"));
    (number(&tally["hits"]), number(&tally["errors"]["total"]))
}

#[tokio::test]
async fn users_come_and_every_hit_is_counted() {
    let (home, server) = (home(), Counter::start().await);
    let outcome =
        home.run(&["rush", "-r", "local", "--json", "-p", "1-5:2", &server.url("/")]).await;
    let report = report(&outcome);
    assert!(matches!(outcome.code, Some(0 | 3)), "{outcome:?}");
    let (hits, errors) = hits(&report);
    assert!(hits > 0 && errors == 0, "{report}");
    assert_eq!(hits, server.requests(), "every request was answered, and counted once");
    assert_eq!(server.connections(), 5, "a connection for each user");
    let agents = server.agents();
    let (agent, _) = agents.first_key_value().expect("one");
    assert!(agent.starts_with("blitz-rush/") && agent.contains("job local-1-"), "{agents:?}");
}

#[tokio::test]
async fn what_is_asked_is_sent_and_the_plan_is_divided_exactly() {
    let (home, server) = (home(), Counter::start().await);
    let up = home.up(&["--region", "virginia", "--region", "japan"]).await;
    let words = ["rush", "-r", "virginia,japan", "--json", "--rate", "100", "-n", "151"];
    let outcome = home.run(&[&words[..], &[&server.url("/")]].concat()).await;
    let report = report(&outcome);
    let total = &report["total"];
    assert!(matches!(outcome.code, Some(0 | 3)), "{outcome:?}");
    assert_eq!(
        (total["asked"].as_u64(), total["sent"].as_u64()),
        (Some(151), Some(151)),
        "{report}"
    );
    assert_eq!((hits(&report), server.requests()), ((151, 0), 151));
    let regions = report["regions"].as_array().expect("a list");
    let mut shares: Vec<u64> =
        regions.iter().filter_map(|region| region["figures"]["sent"].as_u64()).collect();
    shares.sort_unstable();
    assert_eq!(shares, [75, 76], "{report}");
    up.signal("TERM").await;
}

#[tokio::test]
async fn a_target_that_nobody_agreed_to_is_refused() {
    let outcome = home().run(&["rush", "-r", "local", "-p", "1-1:1", "http://192.0.2.1/"]).await;
    assert_eq!(outcome.code, Some(122), "{outcome:?}");
    assert!(outcome.stderr.contains("192.0.2.1 (192.0.2.1) may not be loaded"), "{outcome:?}");
    assert!(outcome.stderr.contains("--load-target 192.0.2.1"), "{outcome:?}");
}

#[tokio::test]
async fn thresholds_decide_the_exit_code() {
    let (home, server) = (home(), Counter::start().await);
    let url = server.url("/status-503");
    let run = ["rush", "-r", "local", "--rate", "50", "--duration", "1s"];
    for (fail, code) in [("status.5xx<1", 1), ("p99<30s", 0), ("errors<100%", 1)] {
        let outcome = home.run(&[&run[..], &["--fail", fail, &url]].concat()).await;
        // On a busy machine the generator itself may be late, and that comes first.
        assert!(outcome.code == Some(code) || outcome.code == Some(3), "{fail}: {outcome:?}");
        let says = format!("{fail}: {}", if code == 0 { "met" } else { "not met" });
        assert!(outcome.stdout.contains(&says), "{fail}: {outcome:?}");
    }
    let outcome = home.run(&[&run[..], &["--fail", "p99<", &url]].concat()).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains('^'), "a caret at the fault: {outcome:?}");
}

#[tokio::test]
async fn a_transaction_has_steps_and_variables() {
    let (home, server) = (home(), Counter::start().await);
    let words = ["rush", "-r", "local", "--json", "--rate", "20", "-n", "20"];
    let first =
        ["-v:color", "list[red,green]", &server.url("/first?c=#{color}")].map(str::to_owned);
    let second = ["-X", "DELETE", "-s", "404", &server.url("/status-404")].map(str::to_owned);
    let mut all: Vec<&str> = words.to_vec();
    all.extend(first.iter().chain(&second).map(String::as_str));
    let outcome = home.run(&all).await;
    assert_eq!(hits(&report(&outcome)), (20, 0), "{outcome:?}");
    let seen = server.by_target();
    let colors: u64 = ["red", "green"]
        .map(|c| seen.get(&format!("GET /first?c={c}")).copied().unwrap_or(0))
        .iter()
        .sum();
    assert_eq!((colors, seen.get("DELETE /status-404").copied()), (10, Some(10)), "{seen:?}");
}

#[tokio::test]
async fn a_step_that_fails_is_the_end_of_a_sprint() {
    let (home, server) = (home(), Counter::start().await);
    let steps = ["-s", "200", &server.url("/status-503"), &server.url("/")].map(str::to_owned);
    let words: Vec<&str> = ["rush", "-r", "local", "--json"]
        .into_iter()
        .chain(steps.iter().map(String::as_str))
        .collect();
    let outcome = home.run(&words).await;
    assert_eq!(hits(&report(&outcome)), (1, 1), "{outcome:?}");
    assert_eq!(server.requests(), 1, "one transaction, which is not begun again");
}

#[tokio::test]
async fn the_rate_of_a_short_test_is_by_its_own_time() {
    let (home, server) = (home(), Counter::start().await);
    let url = server.url("/");
    let words =
        ["rush", "-r", "local", "--json", "-p", "3", "--duration", "60s", "-n", "50", url.as_str()];
    let report = report(&home.run(&words).await);
    assert_eq!(hits(&report), (50, 0), "{report}");
    let measured_s = report["measured_s"].as_f64().expect("a time");
    assert!(measured_s > 0.0 && measured_s.fract() > 0.0, "no whole seconds: {report}");
}

#[tokio::test]
async fn an_interrupted_load_test_says_what_it_had() {
    let (home, server) = (home(), Counter::start().await);
    let up = home.up(&["--region", "local"]).await;
    let mut command = home.command(&[
        "rush",
        "-r",
        "local",
        "--json",
        "--rate",
        "50",
        "--duration",
        "50s",
        &server.url("/"),
    ]);
    let child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("blitz starts");
    until("requests", || async { (server.requests() > 60).then_some(()) }).await;
    send_signal(child.id().expect("its id"), "INT").await;
    let output = child.wait_with_output().await.expect("its end");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report all the same");
    assert_eq!(report["judgement"]["is_partial"], true, "{report}");
    let (hits, errors) = hits(&report);
    assert!(hits > 0 && errors == 0, "{report}");
    until("nothing more is sent", || async {
        let before = server.requests();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        (server.requests() == before).then_some(())
    })
    .await;
    up.signal("TERM").await;
}

#[tokio::test]
async fn bad_servers_are_told_by_kind() {
    let (home, server) = (home(), Counter::start().await);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}/", listener.local_addr().expect("an address"))
    };
    let up = home.up(&["--region", "local"]).await;
    for (url, timeout, kind) in [
        (server.url("/cut"), "2s", "closed"),
        (server.url("/slow-5000"), "100", "timeout"),
        (closed, "2s", "connect"),
    ] {
        let words =
            ["rush", "-r", "local", "--json", "--rate", "20", "-n", "5", "-T", timeout, &url];
        let outcome = home.run(&words).await;
        let report = report(&outcome);
        let total = &report["total"];
        assert_eq!(total["tally"]["errors"]["kinds"][kind], 5, "{url}: {report}");
        let sent = if kind == "connect" { 0 } else { 5 };
        assert_eq!((&total["asked"], &total["sent"]), (&json!(5), &json!(sent)), "{url}: {report}");
        assert_eq!(outcome.code, Some(1), "not one answer: {outcome:?}");
    }
    let outcome = home
        .run(&["rush", "-r", "local", "--json", "--rate", "20", "-n", "5", &server.url("/close")])
        .await;
    assert_eq!(hits(&report(&outcome)), (5, 0), "closing after each answer is no error");
    up.signal("TERM").await;
}

/// The sums of the view `hits`, by a client that knows nothing of blitz: hits of all seconds, while the test runs.
async fn hits_in_the_store(up: &Value) -> Option<u64> {
    use base64::Engine as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let text = |name: &str| up[name].as_str().unwrap_or_default();
    let address = text("store").trim_start_matches("http://").trim_end_matches('/');
    let user = format!("{}:{}", text("store_admin"), text("store_password"));
    let user = base64::engine::general_purpose::STANDARD.encode(user);
    let asked = format!(
        "GET /blitz-out-local-1/_design/blitz-1/_view/hits?reduce=true HTTP/1.0\r\nHost: {address}\r\n\
         Authorization: Basic {user}\r\n\r\n"
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(asked.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let json = answer.get(answer.find("\r\n\r\n")?..)?;
    let json = json.get(json.find('{')?..=json.rfind('}')?)?;
    let rows: Value = serde_json::from_str(json).ok()?;
    rows["rows"][0]["value"][0].as_u64()
}

#[tokio::test]
async fn the_store_tells_hits_while_a_load_test_runs() {
    let (home, server) = (home(), Counter::start().await);
    let up = home.up(&["--region", "local"]).await;
    let file = home.path().join(".local/state/blitz/up.json");
    let state = std::fs::read_to_string(file).expect("the state of blitz up");
    let state: Value = serde_json::from_str(&state).expect("JSON");
    let words = ["rush", "-r", "local", "--json", "--rate", "50", "--duration", "20s"];
    let mut command = home.command(&[&words[..], &[&server.url("/")]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("blitz starts");
    let seen = until("hits in the view", || async {
        hits_in_the_store(&state).await.filter(|hits| *hits > 0)
    })
    .await;
    assert!(seen <= server.requests(), "no more than there were: {seen}");
    send_signal(child.id().expect("it runs while the view is read"), "INT").await;
    let output = child.wait_with_output().await.expect("its end");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let (hits, _) = hits(&report);
    until("all hits in the view", || async {
        (hits_in_the_store(&state).await == Some(hits)).then_some(())
    })
    .await;
    up.signal("TERM").await;
}
