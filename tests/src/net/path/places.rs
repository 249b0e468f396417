//! The addresses on a path. They look public: a rule for private networks does not refuse them.
//!
//! Link `l` leads to node `l`: its left end is `.1`, its right end `.2`. A router answers from the right end of
//! the link that leads to it. Node `d` also has a network of its own, all of whose IPv4 addresses are its own.

use std::fmt;

/// The number of the link to the twin of a router; the link behind it is the next.
pub(super) const TWIN_LINK: u8 = 101;

/// From this number on the addresses of a node are reached by the twin, when targets choose the way.
pub const TWIN_TARGETS: u8 = 128;

/// Of IPv6 every address of a node is written down: this many for each way.
pub(super) const TARGETS_V6: u8 = 4;

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The option of most tools.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// How the last router refuses to pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadEnd {
    /// There is no such host.
    Unreachable,
    /// A rule forbids it.
    Prohibited,
    /// It goes nowhere, and nobody says so.
    Blackhole,
    /// There is no route.
    NoRoute,
}

impl DeadEnd {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Unreachable, Self::Prohibited, Self::Blackhole, Self::NoRoute];

    pub(super) fn address(self, family: Family) -> String {
        match family {
            Family::V4 => format!("5.78.{}.1", self.number()),
            Family::V6 => format!("2a05:78:{}::1", self.number()),
        }
    }

    pub(super) fn network(self, family: Family) -> String {
        match family {
            Family::V4 => format!("5.78.{}.0/24", self.number()),
            Family::V6 => format!("2a05:78:{}::/64", self.number()),
        }
    }

    /// What a firewall says of it; nothing for one that is swallowed. Routes say the same, but not more often than
    /// five times at once whatever the limits of ICMP are.
    pub(super) fn rejection(self, family: Family) -> Option<&'static str> {
        match (self, family) {
            (Self::Unreachable, Family::V4) => Some("icmp type host-unreachable"),
            (Self::Unreachable, Family::V6) => Some("icmpv6 type addr-unreachable"),
            (Self::Prohibited, Family::V4) => Some("icmp type admin-prohibited"),
            (Self::Prohibited, Family::V6) => Some("icmpv6 type admin-prohibited"),
            (Self::NoRoute, Family::V4) => Some("icmp type net-unreachable"),
            (Self::NoRoute, Family::V6) => Some("icmpv6 type no-route"),
            (Self::Blackhole, _) => None,
        }
    }

    /// What a traceroute writes behind the last router's time.
    #[must_use]
    pub fn mark(self) -> Option<&'static str> {
        match self {
            Self::Unreachable => Some("!H"),
            Self::Prohibited => Some("!X"),
            Self::NoRoute => Some("!N"),
            Self::Blackhole => None,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Unreachable => 1,
            Self::Prohibited => 2,
            Self::Blackhole => 3,
            Self::NoRoute => 4,
        }
    }
}

/// An end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Left,
    Right,
}

impl End {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Right => 2,
        }
    }
}

pub(super) fn link(link: u8, end: End, family: Family) -> String {
    match family {
        Family::V4 => format!("5.77.{link}.{}", end.number()),
        Family::V6 => format!("2a05:77:{link}::{}", end.number()),
    }
}

/// The addresses of a link, as a network.
pub(super) fn link_network(link: u8, family: Family) -> String {
    match family {
        Family::V4 => format!("5.77.{link}.0/24"),
        Family::V6 => format!("2a05:77:{link}::/64"),
    }
}

/// The hardware address of an end, known on both sides: nobody has to be asked for it.
pub(super) fn hardware(link: u8, end: End) -> String {
    format!("02:77:00:00:{link:02x}:{:02x}", end.number())
}

/// Where a router answers from.
#[must_use]
pub fn hop(node: u8, family: Family) -> String {
    link(node, End::Right, family)
}

/// Where the twin of a router answers from.
#[must_use]
pub fn twin(family: Family) -> String {
    link(TWIN_LINK, End::Right, family)
}

/// Where the router behind the twin hears of it, in IPv6.
pub(super) fn behind_twin() -> String {
    link(TWIN_LINK + 1, End::Right, Family::V6)
}

/// A further address of a node. Of IPv6 there are 1 to 4, and as many from [`TWIN_TARGETS`] on.
#[must_use]
pub fn target(node: u8, number: u8, family: Family) -> String {
    match family {
        Family::V4 => format!("5.79.{node}.{number}"),
        Family::V6 => format!("2a05:79:{node}::{number:x}"),
    }
}

/// All further addresses of a node, or those that the twin leads to.
pub(super) fn target_network(node: u8, family: Family, of_twin: bool) -> String {
    match (family, of_twin) {
        (Family::V4, false) => format!("5.79.{node}.0/24"),
        (Family::V4, true) => format!("5.79.{node}.{TWIN_TARGETS}/25"),
        (Family::V6, false) => format!("2a05:79:{node}::/64"),
        (Family::V6, true) => format!("2a05:79:{node}::{TWIN_TARGETS:x}/121"),
    }
}
