//! The DNS client against a server on loopback that says exactly what a test wants.

mod any;
mod server;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, RecordType};
use proptest::prelude::*;
use tokio::net::{TcpListener, UdpSocket};
use url::Host;

use self::server::{Server, a, aaaa, alias, coded, ips, is, name_of, reply};
use super::message::{Ask as _, Reply};
use super::*;
use crate::egress::limits::{DNS_ATTEMPTS, DNS_STRAYS_MAX};
use crate::egress::{TargetPolicy, Wanted};

/// A server with both families for `host.example`.
async fn both() -> Server {
    Server::start(|question, _| {
        let records = match question.queries[0].query_type {
            RecordType::AAAA => [("host.example", aaaa(1)), ("host.example", aaaa(2))],
            _ => [("host.example", a(1)), ("HOST.example", a(2))],
        };
        vec![reply(question, &records).to_vec().unwrap()]
    })
    .await
}

#[tokio::test]
async fn both_families_are_asked_for_with_ids_and_ports_of_their_own() {
    let server = both().await;
    let found = server.lookup("host.example", Family::Any).await;
    assert_eq!(found, ips(&["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"]));
    let questions = server.questions();
    let [first, second] = questions[..] else { panic!("{questions:?}") };
    assert_ne!(first.0, second.0);
    assert_ne!(first.2, second.2, "one source port for two questions");
    // All of 16 bits: 40 ids that agree in their high byte do not happen.
    for _ in 0..19 {
        server.lookup("host.example", Family::Any).await.unwrap();
    }
    let questions = server.questions();
    assert!(questions.iter().any(|(_, id, _)| id >> 8 != first.1 >> 8), "{questions:?}");
}

#[tokio::test]
async fn one_family_is_asked_for_alone() {
    let server = both().await;
    assert_eq!(server.lookup("host.example", Family::Ipv4).await, ips(&["192.0.2.1", "192.0.2.2"]));
    assert_eq!(
        server.lookup("Host.Example.", Family::Ipv6).await,
        ips(&["2001:db8::1", "2001:db8::2"])
    );
    let types: Vec<RecordType> = server.questions().iter().map(|(wanted, ..)| *wanted).collect();
    assert_eq!(types, [RecordType::A, RecordType::AAAA]);
}

#[tokio::test]
async fn aliases_are_followed_inside_the_answer() {
    let server = Server::start(|question, _| {
        // In no order, with records of others in between.
        let records = [
            ("third.example", a(3)),
            ("stray.example", a(9)),
            ("second.example", alias("third.example")),
            ("host.example", alias("SECOND.example")),
        ];
        vec![reply(question, &records).to_vec().unwrap()]
    })
    .await;
    assert_eq!(server.lookup("host.example", Family::Ipv4).await, ips(&["192.0.2.3"]));
    let none = server.lookup("host.example", Family::Ipv6).await.unwrap_err();
    assert_eq!(none, DnsError::NoData { server: server.address, family: Family::Ipv6 });
}

#[tokio::test]
async fn a_circle_of_aliases_ends() {
    let server = Server::start(|question, _| {
        let records =
            [("host.example", alias("other.example")), ("other.example", alias("host.example"))];
        vec![reply(question, &records).to_vec().unwrap()]
    })
    .await;
    let error = server.lookup("host.example", Family::Any).await.unwrap_err();
    assert_eq!(error, DnsError::Aliases(server.address));
}

#[tokio::test]
async fn the_longest_chain_is_followed_and_no_longer_one() {
    for (aliases, is_followed) in [(DNS_ALIASES_MAX, true), (DNS_ALIASES_MAX + 1, false)] {
        let server = Server::start(move |question, _| {
            let names: Vec<String> = (0..=aliases).map(|n| format!("n{n}.example")).collect();
            let links = names.windows(2).map(|pair| (pair[0].as_str(), alias(&pair[1])));
            let records: Vec<_> = links.chain([(names[aliases].as_str(), a(1))]).collect();
            vec![reply(question, &records).to_vec().unwrap()]
        })
        .await;
        let found = server.lookup("n0.example", Family::Ipv4).await;
        assert_eq!(found.is_ok(), is_followed, "{aliases}: {found:?}");
    }
}

#[tokio::test]
async fn refusals_have_texts_of_their_own() {
    for (code, words) in [
        (ResponseCode::NXDomain, "knows no such name: NXDOMAIN"),
        (ResponseCode::NoError, "has no IP address of it"),
        (ResponseCode::ServFail, "could not find out: SERVFAIL"),
        (ResponseCode::Refused, "does not answer such questions: REFUSED"),
        (ResponseCode::FormErr, "answered Form Error"),
    ] {
        let server = Server::start(move |question, _| coded(question, code)).await;
        let host = Host::Domain("host.example".to_owned());
        let resolver = server.address.to_string();
        let wanted = Wanted {
            host: &host,
            port: 80,
            family: Family::Any,
            addresses: &[],
            resolver: Some(&resolver),
        };
        let egress = Egress::new(TargetPolicy::any(), Vec::new());
        let found = egress.resolve(&wanted).await.unwrap_err().to_string();
        assert_eq!(found, format!("Could not resolve host: host.example ({resolver} {words})"));
    }
}

#[tokio::test]
async fn a_failure_of_one_family_leaves_the_other() {
    let server = Server::start(|question, _| match is(question, RecordType::A) {
        true => vec![reply(question, &[("host.example", a(1))]).to_vec().unwrap()],
        false => coded(question, ResponseCode::ServFail),
    })
    .await;
    assert_eq!(server.lookup("host.example", Family::Any).await, ips(&["192.0.2.1"]));
}

#[tokio::test]
async fn a_family_that_is_silent_does_not_hold_up_the_other_for_long() {
    let server = Server::start(|question, _| match is(question, RecordType::A) {
        true => vec![reply(question, &[("host.example", a(1))]).to_vec().unwrap()],
        false => Vec::new(),
    })
    .await;
    let started = std::time::Instant::now();
    let found = server.lookup("host.example", Family::Any).await;
    assert_eq!(found, ips(&["192.0.2.1"]));
    assert!(started.elapsed() < DNS_ATTEMPT_TIME * DNS_ATTEMPTS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_again_and_given_up() {
    let server = Server::start(|_, _| Vec::new()).await;
    let error = server.lookup("host.example", Family::Ipv4).await.unwrap_err();
    let end = "did not answer 3 questions in 6 s";
    assert_eq!(error.to_string(), format!("{} {end}", server.address));
}

#[tokio::test]
async fn a_port_without_a_server_is_told_at_once() {
    let address = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let egress = Egress::new(TargetPolicy::any(), Vec::new());
    let error = lookup(&egress, address, "host.example", Family::Any).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address}: Connection refused"));
}

#[tokio::test]
async fn what_is_not_the_answer_is_passed_over() {
    let server = Server::start(|question, _| {
        let right = reply(question, &[("host.example", a(1))]);
        let changed = |change: &dyn Fn(&mut Message)| {
            let mut wrong = reply(question, &[("host.example", a(66))]);
            change(&mut wrong);
            wrong.to_vec().unwrap()
        };
        vec![
            b"garbage".to_vec(),
            Vec::new(),
            changed(&|wrong| wrong.metadata.id ^= 1),
            changed(&|wrong| wrong.metadata.message_type = MessageType::Query),
            changed(&|wrong| wrong.metadata.op_code = OpCode::Status),
            changed(&|wrong| {
                wrong.queries = vec![Query::query(name_of("evil.example"), RecordType::A)];
            }),
            changed(&|wrong| {
                wrong.queries = vec![Query::query(name_of("host.example"), RecordType::AAAA)];
            }),
            changed(&|wrong| wrong.queries.clear()),
            changed(&|wrong| wrong.queries.push(wrong.queries[0].clone())),
            right.to_vec().unwrap(),
        ]
    })
    .await;
    assert_eq!(server.lookup("host.example", Family::Ipv4).await, ips(&["192.0.2.1"]));
    assert_eq!(server.questions().len(), 1);
}

#[tokio::test]
async fn a_flood_of_forgeries_ends() {
    let server = Server::start(|question, _| {
        let mut forged = reply(question, &[("host.example", a(66))]);
        forged.metadata.id ^= 0x5555;
        vec![forged.to_vec().unwrap(); DNS_STRAYS_MAX]
    })
    .await;
    let error = server.lookup("host.example", Family::Ipv4).await.unwrap_err();
    assert!(
        matches!(error, DnsError::Strays { strays, .. } if strays >= DNS_STRAYS_MAX),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_truncated_is_asked_over_tcp() {
    let server = Server::start(|question, over_tcp| {
        let many: Vec<_> = (0..200).map(|n| ("host.example", a(n))).collect();
        let mut answer = reply(question, if over_tcp { &many } else { &many[..1] });
        answer.metadata.truncation = !over_tcp;
        let mut bytes = answer.to_vec().unwrap();
        if !over_tcp {
            // Cut anywhere, as some servers do.
            bytes.truncate(bytes.len() - 3);
        }
        vec![bytes]
    })
    .await;
    let found = server.lookup("host.example", Family::Ipv4).await.unwrap();
    assert_eq!(found.len(), 200);
}

#[tokio::test]
async fn answers_over_tcp_are_checked_too() {
    type Change = fn(&mut Message);
    let scripts: [(Change, &str); 3] = [
        (|answer| answer.metadata.id ^= 1, "but 1 other messages"),
        (|answer| answer.queries.clear(), "but 1 other messages"),
        (|answer| answer.metadata.truncation = true, "the answer over TCP is truncated"),
    ];
    for (change, words) in scripts {
        let server = Server::start(move |question, over_tcp| {
            let mut answer = reply(question, &[("host.example", a(1))]);
            match over_tcp {
                true => change(&mut answer),
                false => answer.metadata.truncation = true,
            }
            vec![answer.to_vec().unwrap()]
        })
        .await;
        let error = server.lookup("host.example", Family::Ipv4).await.unwrap_err().to_string();
        assert!(error.ends_with(words), "{error}");
    }
}

#[tokio::test]
async fn one_lookup_is_pinned() {
    // The first answer is harmless, every later one is not.
    let answers = Mutex::new(VecDeque::from([Ipv4Addr::LOCALHOST]));
    let server = Server::start(move |question, _| {
        let next = answers.lock().unwrap().pop_front().unwrap_or(Ipv4Addr::new(10, 0, 0, 1));
        vec![reply(question, &[("host.example", RData::A(A(next)))]).to_vec().unwrap()]
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    let (host, resolver) = (Host::Domain("host.example".to_owned()), server.address.to_string());
    let wanted = Wanted {
        host: &host,
        port: good.port(),
        family: Family::Ipv4,
        addresses: &[],
        resolver: Some(&resolver),
    };
    let rules = TargetPolicy::any().deny("10.0.0.0/8".parse().unwrap());
    let egress = Egress::new(rules, Vec::new());
    let pinned = egress.resolve(&wanted).await.unwrap();
    assert_eq!(pinned.resolver.as_deref(), Some(resolver.as_str()));
    for _ in 0..3 {
        assert_eq!(egress.connect_tcp(&pinned).await.unwrap().remote, good);
    }
    assert_eq!(server.questions().len(), 1, "a name was looked up again");
    // The next exchange looks it up anew, and is judged anew.
    let rebound = egress.resolve(&wanted).await.unwrap();
    let denied = egress.connect_tcp(&rebound).await.unwrap_err();
    let words =
        format!("host.example: 10.0.0.1 port {} is denied by the rule 10.0.0.0/8", good.port());
    assert_eq!(denied.to_string(), words);
}

#[tokio::test]
async fn the_server_is_a_target_like_others() {
    let egress = Egress::new(TargetPolicy::public_only(), Vec::new());
    for (resolver, words) in [
        ("127.0.0.53", "127.0.0.53 is loopback (policy public-only)"),
        ("169.254.169.254", "169.254.169.254 is link-local (policy public-only)"),
        (
            "[::ffff:10.0.0.1]:5353",
            "::ffff:10.0.0.1 is IPv4-mapped of 10.0.0.1, which is private (policy public-only)",
        ),
    ] {
        let host = Host::Domain("host.example".to_owned());
        let wanted = Wanted {
            host: &host,
            port: 80,
            family: Family::Any,
            addresses: &[],
            resolver: Some(resolver),
        };
        let error = egress.resolve(&wanted).await.unwrap_err();
        assert!(matches!(error, EgressError::Denied(_)), "{error:?}");
        assert_eq!(error.to_string(), words);
    }
    let any = Egress::new(TargetPolicy::any().deny("*:53".parse().unwrap()), Vec::new());
    let server = SocketAddr::from(([127, 0, 0, 1], 53));
    let error = lookup(&any, server, "host.example", Family::Ipv4).await.unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 port 53 is denied by the rule *:53");
}

#[tokio::test]
async fn names_that_dns_cannot_carry_are_not_asked_for() {
    let server = both().await;
    let long = format!("{}.example", "a".repeat(64));
    let longer = "a.".repeat(128);
    for name in [".", "a..example", &long, &longer] {
        assert_eq!(server.lookup(name, Family::Any).await, Err(DnsError::Name), "{name:?}");
    }
    assert!(server.questions().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic_or_an_answer_by_chance(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let question = Question::new(0x1234, "host.example", AddressType::A).unwrap();
        let server = SocketAddr::from(([127, 0, 0, 1], 53));
        let _any = question.read(&bytes, server);
        // With the right start, so that more than the header is read.
        let mut started = question.bytes().to_vec();
        started[2] |= 0x80;
        started[6..12].copy_from_slice(&[0, 9, 0, 3, 0, 3]);
        started.extend(&bytes);
        let read = question.read(&started, server);
        prop_assert_ne!(read, Reply::Truncated);
    }
}
