//! The engine's own resolver, and a run that has no network.

use super::server::Server;
use super::*;
use crate::dns::ask::Ask;
use crate::dns::exchange::{By, Server as Asked, once};
use crate::doing::Doing;
use crate::egress::{Family as Families, OwnResolver};

#[tokio::test]
async fn no_policy_judges_the_engines_own() {
    let (udp, tcp) = (
        Server::udp(|question| vec![answer_to(question)]).await,
        Server::tcp(|question| vec![answer_to(question)]).await,
    );
    let egress = Egress::new(TargetPolicy::public_only(), Vec::new());
    for (server, by) in [(&udp, By::Udp), (&tcp, By::Tcp)] {
        let own = Asked::Own(OwnResolver::of_test(server.address));
        let asked = Ask::new(question(1)).unwrap();
        let time = Duration::from_secs(20);
        let reply = once(&egress, &asked, &own, by, Families::Any, time).await.unwrap();
        assert_eq!((reply.server, reply.bytes), (server.text(), answer_to(&question(1))));
    }
    let gone = crate::tests::sockets::closed_port("127.0.0.1").await;
    let own = Asked::Own(OwnResolver::of_test(([127, 0, 0, 1], gone).into()));
    let asked = Ask::new(question(1)).unwrap();
    let time = Duration::from_secs(20);
    let error = failed(once(&egress, &asked, &own, By::Tcp, Families::Any, time).await);
    let wanted = format!("the engine's own resolver 127.0.0.1:{gone}: Connection refused");
    assert_eq!(error, wanted);
}

#[tokio::test]
async fn it_is_not_asked_by_tls() {
    for transport in [Transport::Tls, Transport::Https] {
        let error = failed(ask(Message { server: None, ..message(transport, "") }).await);
        assert_eq!(error, "the engine's own resolver is asked by UDP or TCP; name a server");
    }
}

#[tokio::test]
async fn it_transfers_no_zones() {
    let transfer = |record_type| {
        let mut bytes = question(1);
        let end = bytes.len();
        bytes[end - 3] = record_type;
        bytes
    };
    for (record_type, word) in [(251, "IXFR"), (252, "AXFR")] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let bytes = transfer(record_type);
            let asked = Message { server: None, bytes, ..message(transport, "") };
            match ask(asked).await {
                Err(Error::Denied(text)) => assert_eq!(
                    text,
                    format!("the engine's own resolver is not asked for {word}; name a server")
                ),
                other => panic!("{other:?}"),
            }
        }
    }
    // A server that is named decides for itself.
    let named = Server::tcp(|question| vec![answer_to(question)]).await;
    let asked = Message { bytes: transfer(252), ..message(Transport::Tcp, &named.text()) };
    assert_eq!(ask(asked).await.unwrap().bytes, answer_to(&transfer(252)));
}

#[tokio::test]
async fn a_run_without_a_network_asks_nobody() {
    let server = Server::udp(|question| vec![answer_to(question)]).await;
    let closed = client().closed(&Doing::default());
    for server in [Some(server.text()), None] {
        let asked = Message { server, ..message(Transport::Udp, "") };
        let error = failed(exchange(&closed, asked).await);
        assert!(error.contains("a run that replays a tape has no network"), "{error}");
    }
}
