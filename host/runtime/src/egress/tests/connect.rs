//! Lookups by the system and connections, on loopback.

use std::time::Instant;

use tokio::net::UdpSocket;
use url::Host;

use super::*;
use crate::egress::connect::race;
use crate::egress::limits::ATTEMPT_DELAY;
use crate::egress::{Family, Wanted};
use crate::tests::sockets::{listen, silent};

/// An address that nobody listens on: just freed, and not given out again soon.
async fn refusing() -> SocketAddr {
    listen().await.1
}

fn any() -> Egress {
    Egress::new(TargetPolicy::any(), Vec::new())
}

fn wanted<'a>(host: &'a Host<String>, addresses: &'a [String]) -> Wanted<'a> {
    Wanted { host, port: 80, family: Family::Any, addresses, resolver: None }
}

#[tokio::test]
async fn a_silent_address_does_not_hold_up_the_next() {
    let (quiet, _held) = silent().await;
    let (_listener, good) = listen().await;
    let started = Instant::now();
    let (_, remote, _) = race(&[quiet, good]).await.unwrap();
    let took = started.elapsed();
    assert_eq!(remote, good);
    assert!(took >= ATTEMPT_DELAY, "did not wait: {took:?}");
    assert!(took.as_secs() < 10, "waited for the silent one: {took:?}");
}

#[tokio::test]
async fn a_refusing_address_does_not_hold_up_the_next() {
    let (refusing, (_listener, good)) = (refusing().await, listen().await);
    let started = Instant::now();
    let (_, remote, _) = race(&[refusing, good]).await.unwrap();
    assert_eq!(remote, good);
    assert!(started.elapsed() < ATTEMPT_DELAY, "{:?}", started.elapsed());
}

#[tokio::test]
async fn each_attempt_is_told() {
    let (one, other) = (refusing().await, refusing().await);
    let resolved = Resolved { addresses: vec![one, other], ..literal(one) };
    let error = any().connect_tcp(&resolved).await.unwrap_err();
    let each = "127.0.0.1: Connection refused";
    assert_eq!(error, EgressError::Connect(format!("{each}; {each}")));
    let error = any().connect_tcp(&literal(one)).await.unwrap_err();
    assert_eq!(error, EgressError::Connect("Connection refused".to_owned()));
}

#[tokio::test]
async fn denied_addresses_are_passed_over_and_only_all_of_them_are_a_refusal() {
    let (_listener, good) = listen().await;
    let rules = policy(TargetPolicy::any(), &[], &["127.0.0.2"]);
    let egress = Egress::new(rules, Vec::new());
    let denied = SocketAddr::new("127.0.0.2".parse().unwrap(), good.port());
    let both = Resolved { addresses: vec![denied, good], ..literal(good) };
    let connected = egress.connect_tcp(&both).await.unwrap();
    assert_eq!((connected.remote, connected.local.ip()), (good, good.ip()));
    assert_eq!(connected.stream.peer_addr().unwrap(), good);
    let refused = egress.connect_tcp(&literal(denied)).await.unwrap_err();
    assert!(matches!(refused, EgressError::Denied(_)), "{refused:?}");
}

#[tokio::test]
async fn a_udp_socket_hears_its_peer_alone() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (socket, remote, local) = any().connect_udp(&literal(address)).await.unwrap();
    assert_eq!((remote, local), (address, socket.local_addr().unwrap()));
    socket.send(b"ping").await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(b"forged", local).await.unwrap();
    server.send_to(b"pong", local).await.unwrap();
    let mut buffer = [0; 16];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], b"pong");
    let public = Egress::new(TargetPolicy::public_only(), Vec::new());
    let refused = public.connect_udp(&literal(address)).await.unwrap_err();
    assert_eq!(refused.to_string(), "127.0.0.1 is loopback (policy public-only)");
}

#[tokio::test]
async fn names_and_addresses_are_resolved() {
    let egress = any();
    let localhost = Host::parse("LocalHost").unwrap();
    let found = egress.resolve(&wanted(&localhost, &[])).await.unwrap();
    assert_eq!(
        (found.name.as_deref(), found.resolver.as_deref()),
        (Some("localhost"), Some(SYSTEM))
    );
    assert!(found.addresses.iter().all(|address| address.ip().is_loopback()), "{found:?}");

    let ipv4 = Wanted { family: Family::Ipv4, ..wanted(&localhost, &[]) };
    assert!(egress.resolve(&ipv4).await.unwrap().addresses.iter().all(SocketAddr::is_ipv4));

    // As curl does, a literal is tried whatever the family.
    let address = Host::parse("127.1").unwrap();
    let ipv6 = Wanted { family: Family::Ipv6, resolver: Some("9.9.9.9"), ..wanted(&address, &[]) };
    let found = egress.resolve(&ipv6).await.unwrap();
    assert_eq!(found, literal("127.0.0.1:80".parse().unwrap()));

    let missing = Host::Domain("name.invalid".to_owned());
    let error = egress.resolve(&wanted(&missing, &[])).await.unwrap_err();
    assert_eq!(error, EgressError::Resolve("Could not resolve host: name.invalid".to_owned()));
}

#[tokio::test]
async fn addresses_in_place_of_a_lookup_are_checked_like_others() {
    let name = Host::Domain("name.invalid".to_owned());
    let given = ["[::1]".to_owned(), "127.0.0.1".to_owned()];
    let public = Egress::new(TargetPolicy::public_only(), Vec::new());
    let found = public.resolve(&wanted(&name, &given)).await.unwrap();
    assert_eq!((found.name.as_deref(), found.resolver.as_deref()), (Some("name.invalid"), None));
    assert_eq!(found.addresses, ["[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()]);
    let refused = public.connect_tcp(&found).await.unwrap_err();
    assert_eq!(refused.to_string(), "name.invalid: ::1 is loopback (policy public-only)");

    let ipv4 = Wanted { family: Family::Ipv4, ..wanted(&name, &given) };
    assert_eq!(public.resolve(&ipv4).await.unwrap().addresses, ["127.0.0.1:80".parse().unwrap()]);
    let none = Wanted { family: Family::Ipv6, ..wanted(&name, &given[1..]) };
    assert_eq!(
        public.resolve(&none).await.unwrap_err().to_string(),
        "Could not resolve host: name.invalid (no IPv6 address was given)"
    );
    for bad in ["localhost", "fe80::1%eth0", "127.1", ""] {
        let bad = [bad.to_owned()];
        let error = public.resolve(&wanted(&name, &bad)).await.unwrap_err();
        assert!(matches!(error, EgressError::Malformed(_)), "{bad:?}: {error:?}");
    }
    let many = vec!["127.0.0.1".to_owned(); 17];
    let error = public.resolve(&wanted(&name, &many)).await.unwrap_err();
    assert_eq!(error.to_string(), "17 addresses were given for one host, at most 16 are tried");
}

/// The environment of a process is its own, so this is one: the exchange of another test, with proxies named.
#[test]
fn proxies_of_the_environment_are_ignored() {
    let nobody = "http://127.0.0.1:9";
    let names =
        ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    let test = "http::tests::plain::an_exchange_has_its_phases_in_order";
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .envs(names.map(|name| (name, nobody)))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}
