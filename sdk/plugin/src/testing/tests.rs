//! The host of unit tests refuses what the real one refuses, and never leaves the machine.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::*;
use crate::dns::{Question, record_type};
use crate::host::{Host, HostError};
use crate::web::{self, FailureKind, Request};

#[test]
fn output_files_are_refused_as_by_the_host() {
    let mut host = FakeHost::default();
    let long = "n".repeat(4097);
    for name in ["", "a\nb", &long] {
        let refused = host.write_output(name, b"x");
        assert!(matches!(refused, Err(HostError::Failed(_))), "{name:?}: {refused:?}");
    }
    for number in 0..64 {
        host.write_output(&number.to_string(), b"x").unwrap();
    }
    assert!(matches!(host.write_output("more", b"x"), Err(HostError::Limit(_))));
    assert_eq!(host.write_output("0", b"y"), Ok(()), "one that is there goes on");
    assert_eq!(host.output_text("0"), "xy");
}

#[test]
fn records_are_refused_as_by_the_host() {
    let mut host = FakeHost::default();
    assert!(matches!(host.emit("Hop", "{}"), Err(HostError::Failed(_))));
    assert!(matches!(host.emit("hop", "{"), Err(HostError::Failed(_))));
    let long = format!("\"{}\"", "x".repeat(64 * 1024));
    assert!(matches!(host.emit("hop", &long), Err(HostError::Limit(_))));
    host.emit("hop", r#"{"ttl":1}"#).unwrap();
    host.emit("end", "{}").unwrap();
    assert_eq!(host.records("hop")[0]["ttl"], 1);
    assert_eq!(host.records("hop").len(), 1);
}

#[test]
fn metrics_are_added_up_and_their_names_checked() {
    let mut host = FakeHost::default();
    for name in ["", "latency", "_us", "Latency_us", "latency-us", &"x".repeat(41)] {
        assert!(matches!(host.count(name, 1), Err(HostError::Failed(_))), "{name:?}");
        assert!(matches!(host.observe(name, &[1]), Err(HostError::Failed(_))), "{name:?}");
    }
    host.count("hits_count", u64::MAX).unwrap();
    host.count("hits_count", 2).unwrap();
    host.observe("latency_us", &[1, 2]).unwrap();
    host.observe("latency_us", &[3]).unwrap();
    assert_eq!(host.counters["hits_count"], u64::MAX, "it stays at its end");
    assert_eq!(host.observations["latency_us"], [1, 2, 3]);
    for number in 2..64 {
        host.count(&format!("n{number}_count"), 1).unwrap();
    }
    assert!(matches!(host.count("more_count", 1), Err(HostError::Limit(_))));
    assert_eq!(host.count("hits_count", 1), Ok(()));
}

#[test]
fn a_right_that_the_manifest_does_not_ask_for_is_missing() {
    struct Everything;
    impl Plugin for Everything {
        fn run(_: &crate::Call, host: &mut dyn Host) -> Result<u8, crate::Failure> {
            let web = host.exchange(&Request::new("GET", "http://h")).unwrap_err();
            let dns = host.lookup(&Question::new("h", record_type::A)).unwrap_err();
            let tcp = host.connect("127.0.0.1", 1, Duration::from_secs(1)).unwrap_err();
            let udp = host.connect_udp("127.0.0.1", 1).unwrap_err();
            for error in [dns, tcp, udp] {
                assert!(matches!(error, HostError::Denied(_)), "{error:?}");
            }
            assert_eq!(web.kind, FailureKind::Denied);
            Err(web.into())
        }
    }
    let manifest = "name = \"x\"\nversion = \"0.1.0\"\nsummary = \"x\"\ncontract = \"0.1.0\"";
    let mut host = FakeHost::default();
    assert_eq!(run::<Everything>(manifest, &[], &mut host), 1);
    assert!(host.stderr_text().contains("(capabilities = [\"web\"])"), "{}", host.stderr_text());
    assert_eq!(host.requests.len() + host.questions.len() + host.connections.len(), 0);
}

#[test]
fn lookups_are_answered_in_order() {
    let mut host = FakeHost::default().resolves(&["10 mail.example.com."]).resolves(&[]);
    let question = Question::new("example.com", record_type::MX);
    let answer = host.lookup(&question).unwrap();
    assert_eq!(answer.answers[0].name, "example.com");
    assert_eq!(answer.answers[0].record_type, record_type::MX);
    assert_eq!(host.lookup(&question).unwrap().answers, []);
    assert!(matches!(host.lookup(&question), Err(HostError::Failed(_))), "none is left");
    assert_eq!(host.questions.len(), 3);
}

#[test]
fn sockets_lead_to_a_listener_of_the_test_and_nowhere_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut host = FakeHost::default().peer("mail.example.com", 25, address);
    let mut stream = host.connect("mail.example.com", 25, Duration::from_secs(5)).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"220").unwrap();
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220");
    let refused = host.connect("mail.example.com", 26, Duration::from_secs(5)).unwrap_err();
    assert!(matches!(refused, HostError::Failed(_)), "{refused:?}");
    assert_eq!(host.connections.len(), 2);
}

#[test]
fn time_passes_without_waiting() {
    let mut host =
        FakeHost::default().time(Duration::from_secs(9)).cancelled_after(Duration::from_secs(5));
    assert!(!host.pause(Duration::from_secs(2)));
    assert_eq!(host.time_left(), Duration::from_secs(7));
    assert!(host.pause(Duration::from_secs(60)), "back early");
    assert_eq!(host.time_left(), Duration::from_secs(4));
    assert!(host.is_cancelled());
}

#[test]
fn a_body_is_read_whole_up_to_its_limit() {
    let answer = || CannedAnswer::new(200, "OK").header("Server", "x").piece("ab").piece("cd");
    let mut host = FakeHost::default().answers(answer()).answers(answer());
    let mut whole = web::get(&mut host, "http://h").unwrap();
    assert_eq!(whole.header("server").as_deref(), Some("x"));
    assert_eq!(whole.header("date"), None);
    assert_eq!(whole.read_body(4), Ok(b"abcd".to_vec()));
    for url in ["h", "h:80/x", "ftp://h", ""] {
        let failure = web::get(&mut host, url).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Url);
        assert_eq!(failure.text, format!("URL {url:?} needs http:// or https:// in front"));
    }
    let mut cut = web::get(&mut host, "HTTP://h").unwrap();
    let failure = cut.read_body(3).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Limit);
    assert_eq!(failure.text, "the body has more than 3 bytes");
}
