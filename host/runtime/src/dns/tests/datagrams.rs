//! One datagram each way.

use super::server::Server;
use super::*;
use crate::dns::limits::{STRAYS_MAX, TIME_DEFAULT, TIME_MAX};

#[tokio::test]
async fn a_question_is_answered_as_it_was_sent() {
    let server = Server::udp(|question| vec![answer_to(question)]).await;
    let begun = std::time::Instant::now();
    let reply = ask(message(Transport::Udp, &server.text())).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(reply.bytes, answer_to(&question(0x1234)));
    assert_eq!(reply.server, server.text());
    assert!(reply.elapsed_us > 0 && microseconds(&reply) <= took, "{reply:?} in {took:?}");
}

#[tokio::test]
async fn a_name_is_looked_up_by_its_family() {
    let server = Server::udp(|question| vec![answer_to(question)]).await;
    let named = message(Transport::Udp, &server.localhost());
    let reply = ask(Message { family: Family::Ipv4, ..named.clone() }).await.unwrap();
    assert_eq!(reply.server, server.text());
    let nowhere = message(Transport::Udp, "nowhere.invalid");
    assert_eq!(failed(ask(nowhere).await), "Could not resolve host: nowhere.invalid");
    let error = failed(ask(message(Transport::Udp, "https://dns.example")).await);
    assert!(error.starts_with("\"https://dns.example\" is not a DNS server"), "{error}");
}

#[tokio::test]
async fn what_answers_something_else_is_passed_over() {
    let server = Server::udp(|question| {
        vec![
            changed(question, |bytes| bytes[0] ^= 1),
            changed(question, |bytes| bytes[13] = b'x'),
            changed(question, |bytes| bytes.truncate(7)),
            question.to_vec(),
            Vec::new(),
            b"garbage that is longer than a header".to_vec(),
            changed(question, |bytes| bytes[2] |= 0x02),
        ]
    })
    .await;
    let reply = ask(message(Transport::Udp, &server.text())).await.unwrap();
    assert!(reply.bytes[2] & 0x02 != 0, "a truncated answer comes as it is");
}

#[tokio::test]
async fn strays_are_counted() {
    let few = Server::udp(|question| vec![changed(question, |bytes| bytes[1] ^= 1); 3]).await;
    let short = Message { timeout_ms: Some(300), ..message(Transport::Udp, &few.text()) };
    let wanted = format!(
        "{} did not answer in 300 ms; it sent 3 messages that do not answer the question",
        few.text()
    );
    assert_eq!(failed(ask(short).await), wanted);
    let endless =
        Server::udp(|question| vec![changed(question, |bytes| bytes[1] ^= 1); STRAYS_MAX]).await;
    let wanted = format!(
        "{} sent 64 messages that do not answer the question, the most that are read",
        endless.text()
    );
    assert_eq!(failed(ask(message(Transport::Udp, &endless.text())).await), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_the_time_that_was_given() {
    let server = Server::udp(|_| Vec::new()).await;
    for (timeout_ms, time, words) in [
        (None, TIME_DEFAULT, "5 s"),
        (Some(250), Duration::from_millis(250), "250 ms"),
        (Some(3_600_000), TIME_MAX, "60 s"),
    ] {
        let begun = tokio::time::Instant::now();
        let silent = Message { timeout_ms, ..message(Transport::Udp, &server.text()) };
        let wanted = format!("{} did not answer in {words}", server.text());
        assert_eq!(failed(ask(silent).await), wanted);
        assert!(begun.elapsed() >= time && begun.elapsed() < time + Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_port_without_a_server_is_told() {
    let address = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = failed(ask(message(Transport::Udp, &address.to_string())).await);
    assert_eq!(error, format!("{address}: Connection refused"));
}

#[tokio::test]
async fn a_long_answer_comes_whole() {
    let server =
        Server::udp(|question| vec![changed(question, |bytes| bytes.resize(40_000, 7))]).await;
    let reply = ask(message(Transport::Udp, &server.text())).await.unwrap();
    assert_eq!(reply.bytes.len(), 40_000);
}

#[tokio::test]
async fn the_policy_judges_a_server_that_is_named() {
    let egress = Egress::new(TargetPolicy::public_only(), Vec::new());
    let client = Client::new(egress);
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https] {
        for (server, words) in [
            ("127.0.0.1", "127.0.0.1 is loopback"),
            ("[::ffff:10.0.0.1]", "is IPv4-mapped of 10.0.0.1"),
            ("169.254.169.254", "169.254.169.254 is link-local"),
            ("localhost", "localhost: "),
        ] {
            match exchange(&client, message(transport, server)).await {
                Err(Error::Denied(text)) => assert!(text.contains(words), "{transport:?} {text}"),
                other => panic!("{transport:?} {server}: {other:?}"),
            }
        }
    }
}
