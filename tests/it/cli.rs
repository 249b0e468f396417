//! The command line: exit codes, signals, regions, machine-readable output, and `blitz up`.

use std::path::Path;
use std::process::Stdio;

use blitz_tests::program::send_signal;
use blitz_tests::web::ok;
use blitz_tests::{Home, Stack, Web, until};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

fn home() -> Home {
    Home::new(Path::new(env!("CARGO_BIN_EXE_bench")))
}

/// The program as a client of a stack's gateway.
fn client(home: &Home, stack: &Stack, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command.env("BLITZ_HOST", &stack.api.base).env("BLITZ_TOKEN", &stack.api.token);
    command
}

async fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().await.expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_demo_shows_the_main_thing() {
    let outcome = home().run(&["demo"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("blitz curl -r virginia http://127.0.0.1:"), "{said}");
    assert!(said.contains("blitz curl -r virginia,japan http://127.0.0.1:"), "{said}");
    assert!(outcome.stdout.contains("japan | "), "{said}");
}

#[tokio::test]
async fn the_remote_streams_and_code_are_mine() {
    let (home, stack) = (home(), Stack::start(&["japan"]).await);
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let region = stack.region();
    let (code, stdout, _) =
        run(client(&home, &stack, &["fixture", "-r", region, "echo", "hi"])).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "hi\n"));
    let args = ["run", "fixture", "-r", region, "--quiet", "--", "stderr", "oh"];
    assert_eq!(
        run(client(&home, &stack, &args)).await,
        (Some(0), String::new(), "oh\n".to_owned())
    );
    let (code, ..) = run(client(&home, &stack, &["fixture", "exit", "42", "-r", region])).await;
    assert_eq!(code, Some(42));
}

#[tokio::test]
async fn what_is_wrong_has_a_code_and_a_next_step() {
    let (home, stack) = (home(), Stack::start(&["japan"]).await);
    let region = stack.region();
    let nearly = &format!("{region}x");
    let short = ["fixture", "-r", region, "--queue-timeout", "300ms", "noop"];
    for (args, code, says) in [
        (&["fixture", "-r", nearly, "noop"][..], 2, region),
        (&["fixtur", "-r", region, "noop"], 2, "fixture"),
        (&["fixture", "-r", region, "--wrong"], 2, "--wrong"),
        (&["fixture", "-r", region, "--engines", "many", "noop"], 2, "many"),
        (&short, 120, "no engine"),
        (&["job", "nope"], 2, "nope"),
    ] {
        let (got, _, stderr) = run(client(&home, &stack, args)).await;
        assert_eq!(got, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
    let _engine = stack.engine(region, "e1", 4).await;
    let (code, _, stderr) =
        run(client(&home, &stack, &["fixture", "-r", region, "--timeout", "400ms", "spin"])).await;
    assert_eq!(code, Some(121), "{stderr}");
    let (code, _, stderr) =
        run(client(&home, &stack, &["fixture", "-r", region, "hog", "600"])).await;
    assert_eq!(code, Some(122), "{stderr}");
    assert!(stderr.contains("memory"), "{stderr}");

    let mut unreachable = home.command(&["fixture", "-r", region, "noop"]);
    unreachable.env("BLITZ_HOST", "http://127.0.0.1:1").env("BLITZ_TOKEN", "t");
    let (code, _, stderr) = run(unreachable).await;
    assert_eq!(code, Some(125), "{stderr}");
    let mut foreign = client(&home, &stack, &["regions"]);
    foreign.env("BLITZ_TOKEN", "wrong");
    let (code, _, stderr) = run(foreign).await;
    assert_ne!(code, Some(0), "{stderr}");
    assert!(stderr.contains("token"), "{stderr}");
}

#[tokio::test]
async fn an_interrupt_cancels_the_remote_job() {
    let (home, stack) = (home(), Stack::start(&["japan"]).await);
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let args = ["fixture", "-r", stack.region(), "ticks", "1000", "50"];
    let mut child = client(&home, &stack, &args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("tick 0"));
    send_signal(child.id().unwrap(), "INT").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    until("the job's end", || async {
        let jobs = stack.api.get("/v1/jobs?last=1").await;
        (jobs["jobs"][0]["state"] == "cancelled").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_closed_pipe_is_a_quiet_end_and_stops_the_job() {
    let (home, stack) = (home(), Stack::start(&["japan"]).await);
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let args = ["fixture", "-r", stack.region(), "ticks", "1000", "20"];
    let mut child = client(&home, &stack, &args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap();
    drop(lines);
    let outcome = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert!(!stderr.contains("panic"), "{stderr}");
    until("the job's end", || async {
        let jobs = stack.api.get("/v1/jobs?last=1").await;
        (jobs["jobs"][0]["state"] == "cancelled").then_some(())
    })
    .await;
}

#[tokio::test]
async fn several_regions_print_with_their_names() {
    let (home, stack) = (home(), Stack::start(&["japan", "virginia"]).await);
    let (a, b) = (stack.regions[0].as_str(), stack.regions[1].as_str());
    let _engines = (stack.engine(a, "e1", 4).await, stack.engine(b, "e2", 4).await);
    let both = format!("{a},{b}");
    let args = ["fixture", "-r", &both, "echo", "hi"];
    let (code, stdout, stderr) = run(client(&home, &stack, &args)).await;
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        (code, lines),
        (Some(0), vec![&*format!("{a} | hi"), &format!("{b} | hi")]),
        "{stderr}"
    );
    let args = ["fixture", "-r", &both, "--json", "exit", "7"];
    let (code, stdout, stderr) = run(client(&home, &stack, &args)).await;
    let report: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}"));
    assert_eq!(code, Some(7));
    let codes = report["results"].as_array().unwrap().iter().map(|r| r["exit_code"].clone());
    assert_eq!(Vec::from_iter(codes), [json!(7), json!(7)], "{report}");
    let (_, stdout, _) =
        run(client(&home, &stack, &["fixture", "-r", a, "--ndjson", "echo", "x"])).await;
    for line in stdout.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
}

#[tokio::test]
async fn a_client_survives_the_restart_of_its_gateway() {
    let (home, mut stack) = (home(), Stack::start(&["japan"]).await);
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let args = ["fixture", "-r", stack.region(), "ticks", "15", "150"];
    let mut child = client(&home, &stack, &args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(lines.next_line().await.unwrap().expect("the job runs on"));
    }
    let port = stack.stop_gateway().await;
    stack.start_gateway(port).await;
    while let Some(line) = lines.next_line().await.unwrap() {
        seen.push(line);
    }
    assert_eq!(seen, Vec::from_iter((0..15).map(|n| format!("tick {n}"))));
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn control_sequences_do_not_reach_a_pipe_changed() {
    let (home, stack) = (home(), Stack::start(&["japan"]).await);
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let args = ["fixture", "-r", stack.region(), "echo", "a\u{1b}[31mb"];
    let (_, stdout, _) = run(client(&home, &stack, &args)).await;
    assert_eq!(stdout, "a\u{1b}[31mb\n", "a pipe gets the bytes as they are");
}

#[tokio::test]
async fn jobs_can_be_detached_looked_at_followed_and_aborted() {
    let (home, stack) = (home(), Stack::start(&["japan"]).await);
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let region = stack.region();
    let (code, id, stderr) =
        run(client(&home, &stack, &["--detach", "fixture", "-r", region, "echo", "later"])).await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, stdout, stderr) = run(client(&home, &stack, &["job", id.trim()])).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "later\n"), "{stderr}");
    let args = ["--detach", "fixture", "-r", region, "spin"];
    let (_, id, _) = run(client(&home, &stack, &args)).await;
    let (code, _, stderr) = run(client(&home, &stack, &["job", "abort", id.trim()])).await;
    assert_eq!(code, Some(0), "{stderr}");
    let (code, ..) = run(client(&home, &stack, &["job", id.trim()])).await;
    assert_eq!(code, Some(124));
    let (_, stdout, _) = run(client(&home, &stack, &["jobs", "--last", "200"])).await;
    assert!(stdout.contains(id.trim()) && stdout.contains("cancelled"), "{stdout}");
    for listing in ["regions", "engines", "plugins"] {
        let (code, stdout, stderr) = run(client(&home, &stack, &[listing])).await;
        assert_eq!(code, Some(0), "{listing}: {stderr}");
        assert!(stdout.lines().count() >= 2, "{listing}: {stdout}");
    }
}

#[tokio::test]
async fn up_is_found_by_its_state_file_and_is_alone_on_its_directory() {
    let (home, web) = (home(), Web::start(|_| ok("hello\n")).await);
    let up = home.up(&["--region", "virginia", "--data", "data"]).await;
    let url = web.url("/");
    let outcome = home.run(&["curl", "-s", "-r", "us-east-1", &url]).await;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "hello\n"), "{outcome:?}");
    let outcome = home.run(&["curl", "-r", "virgina", &url]).await;
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("virginia"), "{outcome:?}");

    let second = home.run(&["up", "--data", "data", "--listen", "127.0.0.1:0"]).await;
    assert_ne!(second.code, Some(0), "{second:?}");
    assert!(second.stderr.contains(&up.pid().to_string()), "names the other: {second:?}");

    assert_eq!(up.signal("TERM").await, Some(0));
    let outcome = home.run(&["curl", "-r", "virginia", &url]).await;
    assert_eq!(outcome.code, Some(2), "nothing runs: only 'local' is there. {outcome:?}");

    // What was done before is still there.
    let up = home.up(&["--region", "virginia", "--data", "data"]).await;
    let outcome = home.run(&["jobs"]).await;
    assert!(outcome.stdout.contains("curl"), "{outcome:?}");
    assert_eq!(up.signal("INT").await, Some(0));
}

#[tokio::test]
async fn engine_and_gateway_run_as_processes_of_their_own() {
    let (home, web) = (home(), Web::start(|_| ok("hello\n")).await);
    let stack = Stack::start(&["japan"]).await;
    let store = stack.store_url();
    let mut engine = home.command(&["engine", "--store", &store, "--region", stack.region()]);
    engine.args(["--targets", "any"]);
    let mut engine = engine.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut gateway = home.command(&["gateway", "--store", &store, "--listen", "127.0.0.1:0"]);
    gateway.env("BLITZ_TOKEN", "a-secret-of-a-test");
    let mut gateway = gateway.spawn().unwrap();
    let mut talk = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let address = loop {
        let line = talk.next_line().await.unwrap().expect("the gateway says where it listens");
        if let Some((_, rest)) = line.split_once("http://") {
            break format!("http://{}", rest.split_whitespace().next().unwrap());
        }
    };
    let url = web.url("/");
    let mut curl = home.command(&["curl", "-s", "-r", stack.region(), &url]);
    curl.env("BLITZ_HOST", address).env("BLITZ_TOKEN", "a-secret-of-a-test");
    let (code, stdout, stderr) = run(curl).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "hello\n"), "{stderr}");
    send_signal(engine.id().unwrap(), "TERM").await;
    send_signal(gateway.id().unwrap(), "TERM").await;
    assert_eq!(engine.wait().await.unwrap().code(), Some(0));
    assert_eq!(gateway.wait().await.unwrap().code(), Some(0));
}
