//! The imports `probes`, `networks` and `dns.exchange`, as a plugin sees them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::bindings::blitz::plugin::dns as resolver;
use super::bindings::blitz::plugin::networks as known;
use super::bindings::blitz::plugin::probes as wire;
use crate::dns;
use crate::host::HostError;
use crate::probes::{Answer, Network, Probe, Session, Target};
use crate::web::milliseconds;

blitz_contract::probe_words!(wire);
blitz_contract::web_words!(resolver (dns) Transport { Udp, Tcp, Tls, Https });

pub(super) fn exchange(message: &dns::Message) -> Result<dns::Reply, HostError> {
    let dns::Message { bytes, transport, server, family, is_insecure, timeout_ms } = message;
    let reply = resolver::exchange(&resolver::Message {
        bytes: bytes.clone(),
        transport: (*transport).into(),
        server: server.clone(),
        family: (*family).into(),
        verify: !is_insecure,
        timeout_ms: *timeout_ms,
    })?;
    let resolver::Reply { server, bytes, connect_us, elapsed_us } = reply;
    Ok(dns::Reply { server, bytes, connect_us, elapsed_us })
}

pub(super) fn open(target: &Target) -> Result<Box<dyn Session>, HostError> {
    Ok(Box::new(wire::Session::open(&target.clone().into())?))
}

pub(super) fn networks(addresses: &[IpAddr]) -> Result<Vec<Option<Network>>, HostError> {
    let networks = known::whose(&texts(addresses))?;
    let network = |known: known::Network| {
        let known::Network { asn, organization, country } = known;
        Network { asn, organization, country }
    };
    Ok(networks.into_iter().map(|known| known.map(network)).collect())
}

impl Session for wire::Session {
    fn address(&self) -> IpAddr {
        address(&wire::Session::address(self))
    }

    fn source(&self) -> IpAddr {
        address(&wire::Session::source(self))
    }

    fn mtu(&self) -> u32 {
        wire::Session::mtu(self)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(wire::Session::elapsed_us(self))
    }

    fn send(&mut self, probes: &[Probe]) -> Result<(), HostError> {
        let probes: Vec<wire::Probe> = probes.iter().copied().map(Into::into).collect();
        Ok(wire::Session::send(self, &probes)?)
    }

    fn next(&mut self, wait: Duration) -> Result<Vec<Answer>, HostError> {
        let wait_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Ok(wire::Session::next(self, wait_us)?.into_iter().map(Into::into).collect())
    }

    fn names(&mut self, addresses: &[IpAddr], wait: Duration) -> Vec<Option<String>> {
        wire::Session::names(self, &texts(addresses), milliseconds(wait))
    }
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// The host writes addresses only.
fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
