//! `+trace` from server to server. `trace.txt` has what the servers of a small tree sent: the root for its own NS
//! records, the root, `example.` and `sub.example.` for `www.sub.example AAAA`.

use blitz_plugin::dns::Answer;
use blitz_plugin::testing::{self, FakeHost, Ran};
use blitz_plugin::{HostError, dns};

use super::{Reply, assert_is_sent, replies};
use crate::Dig;

const TRACE: &str = include_str!("trace.txt");

fn steps() -> Vec<Vec<u8>> {
    replies(TRACE).collect()
}

fn from(server: &str, bytes: Vec<u8>) -> Reply {
    Reply { server: format!("{server}:53"), bytes, connect_us: 0, elapsed_us: 7000 }
}

/// The whole way, each step from where it comes.
fn way() -> FakeHost {
    let servers = ["198.41.0.4", "198.41.0.4", "192.0.2.53", "192.0.2.63"];
    servers
        .into_iter()
        .zip(steps())
        .fold(FakeHost::default(), |host, (server, bytes)| host.dns_reply(Ok(from(server, bytes))))
}

fn asked(ran: &Ran) -> Vec<&str> {
    ran.host.messages.iter().map(|message| message.server.as_deref().unwrap_or("-")).collect()
}

#[test]
fn delegations_are_followed_from_the_root_down() {
    let ran = testing::run!(Dig, ["+trace", "www.sub.example", "AAAA"], way());
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
    assert_eq!(asked(&ran), ["198.41.0.4", "198.41.0.4", "192.0.2.53", "192.0.2.63"]);
    ran.host.messages.iter().for_each(|message| drop(assert_is_sent(message)));
    assert!(ran.host.questions.is_empty(), "all addresses came with the referrals");
    let text = ran.stdout();
    let (greeting, rest) = text.split_once(".\t\t\t518400\tIN\tNS\ta.root-servers.net.\n").unwrap();
    assert_eq!(
        greeting,
        "\n; <<>> DiG blitz 0.1.0 <<>> +trace www.sub.example AAAA\n;; global options: +cmd\n"
    );
    let (roots, rest) = rest.split_once(" in 7 ms\n\n").unwrap();
    assert_eq!(roots.lines().count(), 13);
    assert!(roots.ends_with("bytes from 198.41.0.4#53(a.root-servers.net)"), "{roots}");
    assert_eq!(
        rest,
        "\
example.		172800	IN	NS	ns1.example.
example.		172800	IN	NS	ns2.elsewhere.
;; Received 105 bytes from 198.41.0.4#53(a.root-servers.net) in 7 ms

sub.example.		300	IN	NS	ns1.sub.example.
sub.example.		300	IN	NS	ns2.sub.example.
;; Received 112 bytes from 192.0.2.53#53(ns1.example) in 7 ms

www.sub.example.	300	IN	AAAA	2001:db8::80
sub.example.		300	IN	NS	ns1.sub.example.
sub.example.		300	IN	NS	ns2.sub.example.
;; Received 140 bytes from 192.0.2.63#53(ns1.sub.example) in 7 ms

"
    );
    let records = ran.records("answer");
    assert_eq!(records.len(), 4);
    assert_eq!(records[3]["records"][0]["data"], "2001:db8::80");
}

#[test]
fn a_short_trace_shows_answers() {
    let ran = testing::run!(Dig, ["+trace", "www.sub.example", "AAAA", "+short"], way());
    let text = ran.stdout();
    assert!(text.starts_with("NS a.root-servers.net. from server 198.41.0.4 in 7 ms.\n"), "{text}");
    assert!(text.ends_with("\nAAAA 2001:db8::80 from server 192.0.2.63 in 7 ms.\n"), "{text}");
}

#[test]
fn a_server_that_is_silent_is_passed_over() {
    let silent = HostError::Failed("no answer in 5 s".to_owned());
    let mut host = FakeHost::default().dns_reply(Err(silent));
    host.dns_replies.append(&mut way().dns_replies);
    let ran = testing::run!(Dig, ["+trace", "www.sub.example", "AAAA"], host);
    assert_eq!(ran.status, 0);
    assert_eq!(asked(&ran)[..2], ["198.41.0.4", "170.247.170.2"]);
    let text = ran.stdout();
    assert!(text.starts_with(";; communications error to 198.41.0.4#53: timed out\n"), "{text}");
    let ran = testing::run!(Dig, ["+trace", "x"], FakeHost::default());
    assert_eq!(ran.status, 9);
    assert_eq!(ran.host.messages.len(), 4, "no more servers than that");
}

#[test]
fn a_server_without_glue_is_looked_up() {
    let mut host = way();
    // The first server's address is taken away: the record becomes one of a type that nobody asks for.
    let Some(Ok(reply)) = host.dns_replies.get_mut(2) else { panic!("three steps") };
    let glue = b"\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x3f";
    while let Some(at) = reply.bytes.windows(glue.len()).position(|part| part == glue) {
        reply.bytes[at] = 0xff;
    }
    let answer = Answer {
        server: "127.0.0.1:53".to_owned(),
        code: 0,
        answers: vec![dns::Record {
            name: String::new(),
            record_type: 0,
            ttl_s: 1,
            text: "192.0.2.63".to_owned(),
        }],
        authorities: Vec::new(),
        elapsed: std::time::Duration::ZERO,
    };
    let ran = testing::run!(Dig, ["+trace", "www.sub.example", "AAAA"], host.dns(Ok(answer)));
    assert_eq!(ran.status, 0, "{}", ran.stdout());
    assert_eq!(ran.host.questions[0].name, "ns1.sub.example.");
}

#[test]
fn a_referral_that_leads_nowhere_ends_the_trace() {
    let [roots, example, ..] = &steps()[..] else { panic!("four steps") };
    // `example.` refers to itself.
    let host = [roots, example, example].into_iter().fold(FakeHost::default(), |host, bytes| {
        host.dns_reply(Ok(from("198.41.0.4", bytes.clone())))
    });
    let ran = testing::run!(Dig, ["+trace", "www.sub.example", "AAAA"], host);
    assert_eq!(ran.host.messages.len(), 3);
    assert!(ran.stdout().ends_with(";; BAD (HORIZONTAL) REFERRAL\n"), "{}", ran.stdout());
}

#[test]
fn a_trace_may_begin_at_a_server_of_ones_own() {
    let mut host = way();
    if let Some(Ok(reply)) = host.dns_replies.front_mut() {
        reply.server = "192.0.2.1:53".to_owned();
    }
    let ran = testing::run!(Dig, ["@192.0.2.1", "+trace", "www.sub.example", "AAAA"], host);
    assert_eq!(asked(&ran)[..2], ["192.0.2.1", "198.41.0.4"]);
    assert!(ran.stdout().contains(" bytes from 192.0.2.1#53(192.0.2.1) in 7 ms\n"));
    assert_ne!(ran.host.messages[0].bytes[2] & 1, 0, "a resolver is asked to recurse");
    assert_eq!(ran.host.messages[1].bytes[2] & 1, 0);
}

#[test]
fn a_root_that_is_out_of_reach_is_told_with_its_zone() {
    for (option, how) in [("+tcp", "Connection to"), ("+notcp", "UDP setup with")] {
        let gone = || Err(HostError::Failed("network is unreachable".to_owned()));
        let host = (0..4).fold(FakeHost::default(), |host, _| host.dns_reply(gone()));
        let ran = testing::run!(Dig, ["+trace", option, "-p", "5353", "x"], host);
        let at = "198.41.0.4#5353(198.41.0.4)";
        let line = format!(";; {how} {at} for . failed: network unreachable.\n");
        assert!(ran.stdout().starts_with(&line), "{}", ran.stdout());
        assert_eq!((ran.status, ran.host.messages.len()), (9, 4));
    }
}
