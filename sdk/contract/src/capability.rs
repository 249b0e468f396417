//! The rights that a host lends a plugin, by name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A right that a plugin asks for in its manifest, and that the host may lend.
///
/// A name of a newer version stays readable, so that lists and help can show the plugin; a host that does not
/// know a right does not run who cannot do without it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// HTTP exchanges to destinations that the engine's target policy allows.
    Web,
    /// TCP and UDP to destinations that the engine's target policy allows.
    Sockets,
    /// Lookups in the DNS with a chosen record type and resolver.
    Dns,
    /// Packets with a time to live to targets that the engine's target policy allows, and what comes back.
    Probes,
    /// Load tests of targets that the engine's operator, or their owners, agree to.
    Load,
    /// One that this version does not know.
    Unknown(String),
}

impl Capability {
    /// All that this version knows.
    pub const KNOWN: [Self; 5] = [Self::Web, Self::Sockets, Self::Dns, Self::Probes, Self::Load];

    /// The word of the manifest.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Web => "web",
            Self::Sockets => "sockets",
            Self::Dns => "dns",
            Self::Probes => "probes",
            Self::Load => "load",
            Self::Unknown(name) => name,
        }
    }

    /// What it lets a plugin do, for people.
    #[must_use]
    pub fn in_words(&self) -> &str {
        match self {
            Self::Web => "make HTTP requests to addresses that the engine allows",
            Self::Sockets => "open TCP and UDP connections to addresses that the engine allows",
            Self::Dns => "ask the DNS, also a server of its choice that the engine allows",
            Self::Probes => "send probes (UDP, ICMP, TCP) to addresses that the engine allows",
            Self::Load => "load targets whose owners or whose operator agree to it",
            Self::Unknown(_) => "something that this version of blitz does not know",
        }
    }
}

impl From<&str> for Capability {
    fn from(name: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|known| known.name() == name);
        known.unwrap_or_else(|| Self::Unknown(name.to_owned()))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::from(name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_survives_its_name() {
        for name in ["web", "sockets", "dns", "probes", "load", "teleport"] {
            let right: Capability = serde_json::from_str(&format!("{name:?}")).unwrap();
            assert_eq!(right.name(), name);
            assert_eq!(serde_json::to_string(&right).unwrap(), format!("{name:?}"));
            assert_eq!(matches!(right, Capability::Unknown(_)), name == "teleport");
        }
    }
}
