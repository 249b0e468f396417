//! The words of probes: packets with a time to live and what the network says to them, as a plugin, the frames of a
//! native one and a tape have them. The WIT text is `interface probes`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::web::Family;

/// What a probe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A datagram to a port at which nobody should listen.
    #[default]
    Udp,
    /// An echo request.
    Icmp,
    /// A SYN.
    Tcp,
}

/// Where a session's probes go, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// A name or an IP address.
    pub host: String,
    /// Which addresses of a name count.
    pub family: Family,
    /// What the probes are.
    pub protocol: Protocol,
    /// Routers that cannot pass a packet on whole say so, and what was heard before about the way does not count.
    pub dont_fragment: bool,
    /// The names of those who answer are looked up meanwhile.
    pub names: bool,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The caller's number, which stands in the answer. One that is out cannot be used again.
    pub id: u32,
    /// 1 to 255.
    pub ttl: u8,
    /// The whole packet with its headers; one that is too small for them is sent as small as it can be. For TCP this
    /// counts for nothing: a SYN carries no data.
    pub size_bytes: u16,
    /// Probes of one flow and port look alike to every router that spreads flows over several ways.
    #[serde(default)]
    pub flow: u16,
    /// Destination, for UDP and TCP.
    #[serde(default)]
    pub port: u16,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A router threw it away, since its time to live was over.
    TimeExceeded,
    /// The target had it: an echo, a datagram, a port that nobody listens at, a SYN-ACK or a reset.
    Reached,
    /// Somebody said that it does not go on; [`Answer::icmp`] says why.
    Unreachable,
    /// It did not leave the engine; [`Answer::text`] says why.
    Unsent,
}

/// One entry of an MPLS label stack. Source: RFC 4950.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// 20 bits.
    pub label: u32,
    /// 3 bits, once called EXP.
    pub traffic_class: u8,
    /// The last one of its stack.
    pub is_bottom: bool,
    /// Of the label, not of the packet.
    pub ttl: u8,
}

/// What came back for a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Of the probe.
    pub id: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Who answered; `None` for [`Outcome::Unsent`].
    #[serde(default)]
    pub from: Option<IpAddr>,
    /// Nanoseconds from the packet's departure to the kernel's stamp of the answer's arrival.
    pub rtt_ns: u64,
    /// Type and code, of ICMP or of ICMPv6.
    #[serde(default)]
    pub icmp: Option<(u8, u8)>,
    /// The time to live that the answer arrived with.
    #[serde(default)]
    pub ttl: Option<u8>,
    /// What the next link can carry, in bytes.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Outermost first.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// For a TCP target that was reached: whether the port is open.
    #[serde(default)]
    pub is_open: Option<bool>,
    /// Why it did not leave.
    #[serde(default)]
    pub text: Option<String>,
}

impl Answer {
    /// One without more than that.
    #[must_use]
    pub fn new(id: u32, outcome: Outcome, from: Option<IpAddr>, rtt_ns: u64) -> Self {
        Self {
            id,
            outcome,
            from,
            rtt_ns,
            icmp: None,
            ttl: None,
            mtu: None,
            labels: Vec::new(),
            is_open: None,
            text: None,
        }
    }
}

/// Whose address one is, by a database of the engine's operator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// The number of the autonomous system.
    pub asn: Option<u32>,
    /// Whose it is.
    pub organization: Option<String>,
    /// Two letters. Source: ISO 3166.
    pub country: Option<String>,
}

/// Both ways between these words and those of the generated bindings, for a carrier that has a module of them in
/// scope.
#[doc(hidden)]
#[macro_export]
macro_rules! probe_words {
    ($bindings:ident) => {
        $crate::web_words!($bindings (probes) Protocol { Udp, Icmp, Tcp });
        $crate::web_words!($bindings (probes) Outcome { TimeExceeded, Reached, Unreachable, Unsent });

        impl From<$bindings::Label> for $crate::probes::Label {
            fn from(label: $bindings::Label) -> Self {
                let $bindings::Label { label, traffic_class, is_bottom, ttl } = label;
                Self { label, traffic_class, is_bottom, ttl }
            }
        }

        impl From<$crate::probes::Label> for $bindings::Label {
            fn from(label: $crate::probes::Label) -> Self {
                let $crate::probes::Label { label, traffic_class, is_bottom, ttl } = label;
                Self { label, traffic_class, is_bottom, ttl }
            }
        }

        impl From<$bindings::Probe> for $crate::probes::Probe {
            fn from(probe: $bindings::Probe) -> Self {
                let $bindings::Probe { id, ttl, size_bytes, flow, port } = probe;
                Self { id, ttl, size_bytes, flow, port }
            }
        }

        impl From<$crate::probes::Probe> for $bindings::Probe {
            fn from(probe: $crate::probes::Probe) -> Self {
                let $crate::probes::Probe { id, ttl, size_bytes, flow, port } = probe;
                Self { id, ttl, size_bytes, flow, port }
            }
        }

        impl From<$bindings::Target> for $crate::probes::Target {
            fn from(target: $bindings::Target) -> Self {
                let $bindings::Target { host, family, protocol, dont_fragment, names } = target;
                Self { host, family: family.into(), protocol: protocol.into(), dont_fragment, names }
            }
        }

        impl From<$crate::probes::Target> for $bindings::Target {
            fn from(target: $crate::probes::Target) -> Self {
                let $crate::probes::Target { host, family, protocol, dont_fragment, names } = target;
                Self { host, family: family.into(), protocol: protocol.into(), dont_fragment, names }
            }
        }

        impl From<$bindings::Answer> for $crate::probes::Answer {
            fn from(answer: $bindings::Answer) -> Self {
                Self {
                    id: answer.id,
                    outcome: answer.outcome.into(),
                    from: answer.from.and_then(|from| from.parse().ok()),
                    rtt_ns: answer.rtt_ns,
                    icmp: answer.icmp,
                    ttl: answer.ttl,
                    mtu: answer.mtu,
                    labels: answer.labels.into_iter().map(Into::into).collect(),
                    is_open: answer.is_open,
                    text: answer.text,
                }
            }
        }

        impl From<$crate::probes::Answer> for $bindings::Answer {
            fn from(answer: $crate::probes::Answer) -> Self {
                Self {
                    id: answer.id,
                    outcome: answer.outcome.into(),
                    from: answer.from.map(|from| from.to_string()),
                    rtt_ns: answer.rtt_ns,
                    icmp: answer.icmp,
                    ttl: answer.ttl,
                    mtu: answer.mtu,
                    labels: answer.labels.into_iter().map(Into::into).collect(),
                    is_open: answer.is_open,
                    text: answer.text,
                }
            }
        }
    };
}
