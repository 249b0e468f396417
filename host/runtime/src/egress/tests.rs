//! The policy over tables of addresses, and connections to servers on loopback.

mod addresses;
mod embedded;
mod rules;
mod never;
mod connect;
mod rates;
mod pin;

use std::net::{IpAddr, SocketAddr};

use super::{Egress, EgressError, Endpoint, Resolved, SYSTEM, TargetPolicy};

/// An address of the machine in these tests.
const OWN: &str = "203.0.113.77";

/// An engine on a machine whose only address, beside loopback, is [`OWN`].
fn egress(policy: TargetPolicy, protected: Vec<Endpoint>) -> Egress {
    let interfaces =
        super::interfaces::Interfaces::by(|| Ok(vec![OWN.parse().map_err(std::io::Error::other)?]));
    Egress::with_interfaces(policy, protected, interfaces)
}

/// An address as a user writes it.
fn literal(address: SocketAddr) -> Resolved {
    Resolved { name: None, addresses: vec![address], resolver: None }
}

/// An address that the system's resolver gave for `name`.
fn by_system(name: &str, address: SocketAddr) -> Resolved {
    Resolved { name: Some(name.to_owned()), resolver: Some(SYSTEM.to_owned()), ..literal(address) }
}

/// What the policy says to an address and a port, without names.
async fn verdict(egress: &Egress, address: IpAddr, port: u16) -> Result<(), String> {
    verdict_of(egress, &literal(SocketAddr::new(address, port))).await
}

async fn verdict_of(egress: &Egress, resolved: &Resolved) -> Result<(), String> {
    match egress.allowed(resolved).await {
        Ok(addresses) => {
            assert_eq!(addresses, resolved.addresses);
            Ok(())
        }
        Err(EgressError::Denied(denied)) => Err(denied.to_string()),
        Err(other) => panic!("{other:?}"),
    }
}

fn policy(base: TargetPolicy, allow: &[&str], deny: &[&str]) -> TargetPolicy {
    let base = allow.iter().fold(base, |policy, rule| policy.allow(rule.parse().unwrap()));
    deny.iter().fold(base, |policy, rule| policy.deny(rule.parse().unwrap()))
}

/// The invariant of [`super`], as far as a text shows it.
#[test]
fn nothing_else_opens_a_socket_or_looks_a_name_up() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut waiting = vec![sources.clone()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let place = path.strip_prefix(&sources).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            // Tests have servers and strangers.
            waiting.extend(entries.filter(|entry| !entry.ends_with("tests")));
            continue;
        }
        seen += 1;
        if place.starts_with("egress") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        for word in [
            "TcpStream::connect",
            "TcpSocket::",
            "UdpSocket::bind",
            "lookup_host",
            "to_socket_addrs",
            "_proxy",
            "_PROXY",
        ] {
            assert!(!text.contains(word), "{place} has {word}: connections are made by `Egress`");
        }
    }
    assert!(seen > 30, "{seen} files were read");
}
