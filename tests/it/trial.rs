//! Runs that are recorded and replayed: all that a plugin hears, with the fixture as the plugin.

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_contract::{Capability, Exit, Limits};
use blitz_runtime::{
    Invocation, Player, Plugin, Recorder, Runtime, RuntimeConfig, Tape, TargetPolicy, tapes,
};
use blitz_tests::printed;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

async fn fixture() -> Plugin {
    let config = RuntimeConfig { targets: TargetPolicy::any(), ..RuntimeConfig::default() };
    let bytes = Bytes::from(std::fs::read(env!("BLITZ_FIXTURE_WASM")).unwrap());
    let sha256 = blitz_jobs::plugin::sha256(&bytes);
    Runtime::new(config).unwrap().load(bytes, &sha256).await.unwrap()
}

/// The end, and stdout.
async fn run(plugin: &Plugin, args: &str, tape: Tape) -> (Exit, String) {
    let (output, frames) = mpsc::channel(256);
    let invocation = Invocation {
        args: args.split(' ').map(str::to_owned).collect(),
        region: "local".to_owned(),
        deadline: Duration::from_secs(60),
        limits: Limits::default(),
        capabilities: vec![Capability::Web, Capability::Dns],
        inputs: BTreeMap::new(),
        output,
        cancel: CancellationToken::new(),
        tape,
        targets: Vec::new(),
        load: Default::default(),
    };
    let printed = printed::run(plugin, invocation, frames).await;
    (printed.exit, String::from_utf8(printed.stdout).unwrap())
}

/// The tape of a run, by way of its form on disk.
async fn record(plugin: &Plugin, args: &str) -> (Exit, String, String) {
    let recorder = Recorder::default();
    let (exit, stdout) = run(plugin, args, Tape::Record(recorder.clone())).await;
    let header = tapes::Header::new("fixture@0.1.0".to_owned(), vec![args.to_owned()]);
    (exit, stdout, tapes::write(&header, &recorder.take()))
}

fn player_of(tape: &str) -> Player {
    Player::new(tapes::read(tape).unwrap().1)
}

#[tokio::test]
async fn a_replay_gives_what_the_run_gave() {
    let plugin = fixture().await;
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (args, imports) in [
        ("clock 2 5".to_owned(), &["wasi.wall", "wasi.monotonic"][..]),
        ("deadline".to_owned(), &["deadline-ms"]),
        ("time-left".to_owned(), &["control.time-left"]),
        ("pause 3".to_owned(), &["control.pause"]),
        ("get http://127.0.0.1:1/".to_owned(), &["web.exchange", "\"kind\":\"connect\""]),
        (format!("lookup example.com 1 {nobody}"), &["dns.lookup", "\"failed\":"]),
    ] {
        let (exit, stdout, tape) = record(&plugin, &args).await;
        for import in imports {
            assert!(tape.contains(import), "{args}: {import} is not in\n{tape}");
        }
        let player = player_of(&tape);
        let again = run(&plugin, &args, Tape::Replay(player.clone())).await;
        assert_eq!(again, (exit, stdout), "{args}\n{tape}");
        assert_eq!(player.left(), 0, "{args}: all was asked for\n{tape}");
    }
}

/// An hour of sleep is over at once: the run has a minute.
#[tokio::test]
async fn a_replay_does_not_wait() {
    let plugin = fixture().await;
    // The clock at the start and at each tick, and the wait behind it.
    let tape = r#"{"tape":1,"plugin":"fixture@0.1.0","args":[]}
        {"import":"deadline-ms","hears":60000}
        {"import":"wasi.monotonic","hears":1000}
        {"import":"wasi.monotonic","hears":2000}
        {"import":"wasi.block","hears":true}
        {"import":"wasi.monotonic","hears":3600000003000}
        {"import":"wasi.block","hears":true}"#;
    let player = player_of(tape);
    let hours = run(&plugin, "ticks 2 3600000", Tape::Replay(player.clone())).await;
    assert_eq!(hours, (Exit::Status(0), "tick 0\ntick 1\n".to_owned()));
    assert_eq!(player.left(), 0);
    let (_, stdout, tape) = record(&plugin, "pause 1").await;
    let tape = tape.replace("\"asks\":1,", "\"asks\":3600000,");
    let hour = run(&plugin, "pause 3600000", Tape::Replay(player_of(&tape))).await;
    assert_eq!(hour, (Exit::Status(0), stdout), "{tape}");
}

/// What stands on no tape is refused, and nothing goes out.
#[tokio::test]
async fn a_replay_has_no_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let plugin = fixture().await;
    let (_, _, tape) = record(&plugin, "noop").await;
    let (exit, _) = run(&plugin, &format!("get {url}"), Tape::Replay(player_of(&tape))).await;
    let Exit::Stopped(stopped) = exit else { panic!("{exit:?}") };
    assert!(stopped.to_string().contains("and the plugin asks web.exchange"), "{stopped}");
    assert!(stopped.to_string().contains(&url), "{stopped}");
    assert!(listener.accept().is_err(), "nobody connected");
}
