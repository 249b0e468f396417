//! What a native plugin asks by name: the same host functions as a component's, with the same refusals.

use blitz_contract::{Capability, Exit, Stopped, Stream};
use blitz_runtime::{Player, Recorder, Runtime, RuntimeConfig, Tape};
use serde_json::json;
use tokio::net::UdpSocket;

use crate::mmdb::database;
use crate::support::{
    config, fixture, hostile, hostile_with, invocation, load, nobody_stays, run, runtime, simple,
    text,
};

/// Runs the fixture with these rights; its status, stdout and stderr.
async fn asks(
    runtime: &Runtime,
    args: &[&str],
    capabilities: &[Capability],
) -> (Exit, String, String) {
    let plugin = load(runtime, fixture()).await;
    let (mut asking, frames) = invocation(args, 8);
    asking.capabilities = capabilities.to_vec();
    let (exit, frames) = run(&plugin, asking, frames).await;
    (exit, text(&frames, &Stream::Stdout), text(&frames, &Stream::Stderr))
}

#[tokio::test]
async fn rights_are_held_as_in_a_component() {
    let runtime = runtime();
    for (args, right) in [
        (&["dns-exchange", "udp", "127.0.0.1"][..], "dns"),
        (&["probe", "udp", "127.0.0.1", "33434", "1"], "probes"),
    ] {
        let (exit, _, stderr) = asks(&runtime, args, &[Capability::Web]).await;
        assert_eq!(exit, Exit::Status(1));
        assert!(stderr.contains(&format!("no grant {right:?}")), "{stderr}");
    }
    nobody_stays().await;
}

#[tokio::test]
async fn a_message_goes_to_a_dns_server_and_its_answer_comes_back() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap().to_string();
    let serving = async {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        buffer[2] |= 0x80;
        socket.send_to(&buffer[..length], from).await.unwrap();
        let mut answer = buffer[..length].to_vec();
        answer[2] = 0x81;
        answer
    };
    let runtime = runtime();
    let args = ["dns-exchange", "udp", &server];
    let ((exit, stdout, stderr), answer) =
        tokio::join!(asks(&runtime, &args, &[Capability::Dns]), serving);
    assert_eq!((exit, stderr.as_str()), (Exit::Status(0), ""));
    let bytes = serde_json::to_string(&answer).unwrap();
    assert_eq!(stdout, format!("{server}\n{bytes}\n"));

    let (exit, _, stderr) = asks(&runtime, &["dns-exchange", "tls"], &[Capability::Dns]).await;
    assert_eq!(exit, Exit::Status(1));
    let wanted = "fixture: the engine's own resolver is asked by UDP or TCP; name a server\n";
    assert_eq!(stderr, wanted);
    nobody_stays().await;
}

#[tokio::test]
async fn networks_are_known_by_the_operators_database() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let record = json!({"asn": "AS64500", "as_name": "Example", "country_code": "GB"});
    std::fs::write(file.path(), database("test", &[("192.0.2.0/24", record)])).unwrap();
    let config = RuntimeConfig { networks: vec![file.path().to_owned()], ..config() };
    let with = Runtime::new(config).unwrap();
    let (exit, stdout, stderr) = asks(&with, &["whose", "192.0.2.9", "::1"], &[]).await;
    assert_eq!((exit, stderr.as_str()), (Exit::Status(0), ""));
    assert_eq!(stdout, "64500 Example GB\n- - -\n");

    let (exit, _, stderr) = asks(&runtime(), &["whose", "192.0.2.9"], &[]).await;
    assert_eq!(exit, Exit::Status(1));
    assert!(stderr.contains("--networks FILE"), "{stderr}");
    nobody_stays().await;
}

#[tokio::test]
async fn a_session_of_probes_goes_its_whole_way() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let args = ["probe", "tcp", "127.0.0.1", &port, "64"];
    let (exit, stdout, stderr) = asks(&runtime(), &args, &[Capability::Probes]).await;
    assert_eq!((exit, stderr.as_str()), (Exit::Status(0), ""), "{stdout}");
    let (way, answers) = stdout.split_once('\n').unwrap();
    assert!(way.starts_with("127.0.0.1 to 127.0.0.1, 65535 bytes, [Some(\"localhost"), "{way}");
    assert_eq!(answers, "7 Reached Some(127.0.0.1) Some(true) true\n");
    nobody_stays().await;
}

/// What was heard of networks, servers and probes is heard again where there is none of them.
#[tokio::test]
async fn tapes_hold_what_is_asked_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let record = json!({"autonomous_system_number": 64500});
    std::fs::write(file.path(), database("test", &[("192.0.2.0/24", record)])).unwrap();
    let config = RuntimeConfig { networks: vec![file.path().to_owned()], ..config() };
    let with = Runtime::new(config).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for args in [
        &["whose", "192.0.2.9"][..],
        &["probe", "tcp", "127.0.0.1", &port, "64"],
        &["dns-exchange", "udp", "nowhere.invalid"],
    ] {
        let recorder = Recorder::default();
        let asking = |tape| {
            let (mut asking, frames) = invocation(args, 8);
            asking.capabilities = vec![Capability::Probes, Capability::Dns];
            asking.tape = tape;
            (asking, frames)
        };
        let plugin = load(&with, fixture()).await;
        let (recording, frames) = asking(Tape::Record(recorder.clone()));
        let first = run(&plugin, recording, frames).await;
        let player = Player::new(recorder.take());
        assert!(player.left() > 0, "{args:?}");
        let plugin = load(&runtime(), fixture()).await;
        let (replay, frames) = asking(Tape::Replay(player.clone()));
        assert_eq!(run(&plugin, replay, frames).await, first, "{args:?}");
        assert_eq!(player.left(), 0, "{args:?}");
    }
    nobody_stays().await;
}

#[tokio::test]
async fn sessions_are_bounded_and_given_back() {
    let (exit, stdout, stderr) = asks(&runtime(), &["probe-own"], &[Capability::Probes]).await;
    assert_eq!((exit, stderr.as_str()), (Exit::Status(0), ""), "{stdout}");
    assert!(stdout.contains(": a run has at most "), "{stdout}");
    nobody_stays().await;
}

#[tokio::test]
async fn questions_that_are_none_are_told_and_do_no_harm() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile()).await;
    let (exit, frames) = simple(&plugin, &["ask"]).await;
    assert_eq!(exit, Exit::Status(0));
    let told = text(&frames, &Stream::Stdout);
    let lines: Vec<&str> = told.lines().collect();
    let [unknown, no_json, no_question, bytes] = lines[..] else { panic!("{told}") };
    assert!(
        unknown.starts_with("3 this engine has no import \"nope\"; it has dns.exchange, "),
        "{told}"
    );
    assert!(no_json.starts_with("3 the question to dns.exchange is not one: "), "{told}");
    assert!(no_question.starts_with("3 the question to probes.open is not one: "), "{told}");
    assert!(bytes.starts_with("3 this engine has no import \""), "{told}");

    for how in ["foreign-session", "closed-session"] {
        let (mut asking, frames) = invocation(&[how], 8);
        asking.capabilities = vec![Capability::Probes];
        let (exit, _) = run(&plugin, asking, frames).await;
        let Exit::Stopped(Stopped::Crashed(text)) = exit else { panic!("{how}: {exit:?}") };
        assert!(text.starts_with("it has no session of probes "), "{how}: {text}");
    }
    nobody_stays().await;
}

#[tokio::test]
async fn a_plugin_that_was_built_for_version_1_0_runs() {
    let runtime = runtime();
    let plugin = load(&runtime, hostile_with(&["-DMINOR=0"])).await;
    assert_eq!(simple(&plugin, &["noop"]).await, (Exit::Status(0), Vec::new()));
    // Whatever an old table lacks, the header's own function sees it.
    let (exit, frames) = simple(&plugin, &["old-host"]).await;
    assert_eq!(exit, Exit::Status(0));
    let told = text(&frames, &Stream::Stdout);
    let wanted =
        "3 this engine's native contract is older than 1.1, which this needs; upgrade the engine\n";
    assert_eq!(told, wanted);
    nobody_stays().await;
}
