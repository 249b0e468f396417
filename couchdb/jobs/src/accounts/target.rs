//! `target:<tenant>:<host>`: a host that a tenant says is its own, and whether that was proved.
//!
//! A right to load is taken back by [`Subject::Target`], whose name has the host and the generation of the document,
//! `revoked:target:<tenant>:<host>#<generation>`: that generation is denied for ever. Who adds the host again gets the next one,
//! with another token, which has to be proved anew; what an operator took back only an operator adds again. So nobody has to
//! unsay a denial, and a copy of the document from before it gives nothing back.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use blitz_contract::load::proof::{TOKEN_DIGITS, split};
use blitz_contract::load::{self, Way};
use serde::{Deserialize, Serialize};
use url::Host;

use super::Subject;
use super::store::Changing;
use crate::spec::Proof;

/// How long a proof is believed without another look of a gateway. Engines look at each run.
pub const PROVED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Characters of a host with its port. Source: RFC 1035, section 2.3.4.
const HOST_CHARS_MAX: usize = 253 + 6;

/// What a host without a port is.
const PORTS: [u16; 2] = [80, 443];

/// A host of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Always `target`.
    pub kind: TargetKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Whose it is.
    pub tenant: String,
    /// As [`TargetHost`] has it.
    pub host: String,
    /// How often it was added: one more after each time that it was taken back.
    pub generation: u32,
    /// What must be found at the host.
    pub token: String,
    /// Whether it was.
    pub state: TargetState,
    /// When it was added, for people. Milliseconds since 1970.
    pub created_at_ms: u64,
}

/// Whether a target may be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum TargetState {
    /// The token was not found yet.
    Waiting,
    /// The token was found.
    Proved {
        /// Where.
        way: Way,
        /// When, by the clock of the gateway that looked. Milliseconds since 1970.
        at_ms: u64,
    },
    /// An operator has said so.
    PreAuthorised {
        /// Who, as the audit names them.
        by: String,
    },
}

/// The `kind` of a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// The only one.
    Target,
}

impl Target {
    /// One that waits for its proof.
    #[must_use]
    pub fn new(key: &[u8; 32], tenant: &str, host: &TargetHost, created_at_ms: u64) -> Self {
        Self {
            kind: TargetKind::Target,
            blitz: crate::BUILD.to_owned(),
            tenant: tenant.to_owned(),
            host: host.as_str().to_owned(),
            generation: 1,
            token: token(key, tenant, host.as_str(), 1),
            state: TargetState::Waiting,
            created_at_ms,
        }
    }

    /// Begins the next generation: nothing is proved.
    pub fn renew(&mut self, key: &[u8; 32], created_at_ms: u64) {
        self.generation = self.generation.saturating_add(1);
        self.token = token(key, &self.tenant, &self.host, self.generation);
        (self.state, self.created_at_ms) = (TargetState::Waiting, created_at_ms);
    }

    /// The id of the document of this target.
    #[must_use]
    pub fn id(tenant: &str, host: &str) -> String {
        format!("target:{tenant}:{host}")
    }

    /// What takes this generation back.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let host = format!("{}#{}", self.host, self.generation);
        Subject::Target { tenant: self.tenant.clone(), host }
    }

    /// What a job carries of it, as long as nobody took it back; `None` when it was not proved, or too long ago. `now_ms` is
    /// milliseconds since 1970.
    #[must_use]
    pub fn proof(&self, now_ms: u64) -> Option<Proof> {
        let token = match &self.state {
            TargetState::Waiting => return None,
            TargetState::Proved { at_ms, .. } => {
                let age = Duration::from_millis(now_ms.saturating_sub(*at_ms));
                (age <= PROVED_FOR).then(|| Some(self.token.clone()))?
            }
            TargetState::PreAuthorised { .. } => None,
        };
        Some(Proof { host: self.host.clone(), token })
    }
}

impl Changing for Target {
    /// The last generation; of its states the one that says the most. An edit takes nothing away, what does is a document of
    /// its own.
    fn merged(leaves: &[Self]) -> Option<Self> {
        let weight = |target: &&Self| {
            let said = match &target.state {
                TargetState::Waiting => (0, 0),
                TargetState::Proved { at_ms, .. } => (1, *at_ms),
                TargetState::PreAuthorised { .. } => (2, 0),
            };
            (target.generation, said)
        };
        leaves.iter().max_by_key(weight).cloned()
    }
}

/// The token of a target: always the same of one key, and nobody without it can make one.
fn token(key: &[u8; 32], tenant: &str, host: &str, generation: u32) -> String {
    // Neither a tenant nor a host has a zero in it, and no API key begins so.
    let text = format!("target\0{tenant}\0{host}\0{generation}");
    let hash = blake3::keyed_hash(key, text.as_bytes()).to_hex();
    hash.as_str()[..TOKEN_DIGITS].to_owned()
}

/// A host as documents and URLs have it: a name in lower case and in the letters of the DNS, or an address; with a port, unless
/// it is one of HTTP's own. Subdomains are other hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetHost {
    text: String,
    address: Option<IpAddr>,
}

/// What is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not HOST, HOST:PORT or an address (an IPv6 address with a port in brackets)")]
pub struct HostError(String);

impl TargetHost {
    /// Of what people write, or of the parts of a URL.
    ///
    /// # Errors
    ///
    /// [`HostError`] with the beginning of the text.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let bad = || HostError(text.chars().take(80).collect());
        let (name, port) = split(text);
        let has_port = port.is_some();
        let written =
            if has_port { text.rsplit_once(':').map_or("", |(_, port)| port) } else { "" };
        let is_port = written.bytes().all(|b| b.is_ascii_digit()) && port != Some(0);
        // What is left of a text with a port that is none.
        let rest = text.trim_start_matches('[').len().saturating_sub(name.len());
        if !is_port || (!has_port && rest > usize::from(text.starts_with('['))) {
            return Err(bad());
        }
        Self::of(name, port.unwrap_or(PORTS[0])).ok_or_else(bad)
    }

    /// Of a name or an address without brackets, and a port. `None` when it is no host.
    #[must_use]
    pub fn of(name: &str, port: u16) -> Option<Self> {
        let host = match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => Host::Ipv6(address),
            _ => Host::parse(name.strip_suffix('.').unwrap_or(name)).ok()?,
        };
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if matches!(&host, Host::Domain(name) if name.is_empty() || !name.bytes().all(is_letter)) {
            return None;
        }
        let address = match &host {
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
            Host::Domain(_) => None,
        };
        let text = match PORTS.contains(&port) {
            true => host.to_string(),
            false => format!("{host}:{port}"),
        };
        (text.len() <= HOST_CHARS_MAX && port != 0).then_some(Self { text, address })
    }

    /// As it stands in documents and proofs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without its port and brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        split(&self.text).0
    }

    /// The address, where it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether a machine of the public network may answer to it, as far as that can be said before it is looked up: names of
    /// one's own machine and of private zones are for the engine to judge, which sees where they lead. Source: RFC 6761, RFC
    /// 6762, RFC 8375, and ICANN's `internal`.
    #[must_use]
    pub fn may_be_public(&self) -> bool {
        const PRIVATE: [&str; 4] = ["localhost", "local", "internal", "home.arpa"];
        match self.address {
            Some(address) => load::Consent::default().check("", address, 0).is_err(),
            None => {
                let name = self.name();
                let is_below = |zone: &&str| {
                    name == *zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
                };
                !PRIVATE.iter().any(is_below)
            }
        }
    }
}

impl fmt::Display for TargetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use blitz_contract::load::proof::is_token;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn target(host: &str) -> Target {
        Target::new(&KEY, "acme", &TargetHost::parse(host).unwrap(), 0)
    }

    #[test]
    fn hosts_are_written_in_one_way() {
        for (text, wanted) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("example.com:80", Some("example.com")),
            ("example.com:443", Some("example.com")),
            ("example.com:8080", Some("example.com:8080")),
            ("B\u{fc}cher.example", Some("xn--bcher-kva.example")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("3221225985", Some("192.0.2.1")),
            ("0x7f.1:81", Some("127.0.0.1:81")),
            ("::1", Some("[::1]")),
            ("[2001:DB8::1]", Some("[2001:db8::1]")),
            ("[2001:db8::1]:81", Some("[2001:db8::1]:81")),
            ("", None),
            (".", None),
            ("*.example.com", None),
            ("http://example.com", None),
            ("example.com/x", None),
            ("a b", None),
            ("user@example.com", None),
            ("example.com:0", None),
            ("example.com:x", None),
            ("example.com:", None),
            ("example.com:99999", None),
            ("example.com:+81", None),
            ("[::1", None),
            ("[::1]x", None),
            ("example.com#2", None),
            ("example.com:80:81", None),
        ] {
            let host = TargetHost::parse(text);
            assert_eq!(host.as_ref().map(TargetHost::as_str).ok(), wanted, "{text}");
        }
        assert!(TargetHost::parse(&"a".repeat(300)).is_err());
    }

    #[test]
    fn what_may_be_public_needs_a_proof() {
        for (text, may) in [
            ("example.com", true),
            ("8.8.8.8", true),
            ("0.0.0.0:81", true),
            ("localhost:8080", false),
            ("db.internal", false),
            ("notlocalhost", true),
            ("printer.local", false),
            ("10.1.2.3", false),
            ("[::1]:80", false),
        ] {
            assert_eq!(TargetHost::parse(text).unwrap().may_be_public(), may, "{text}");
        }
    }

    #[test]
    fn a_token_is_of_one_tenant_one_host_and_one_generation() {
        let first = target("example.com");
        assert!(is_token(&first.token));
        assert_eq!(first.token, target("EXAMPLE.com:443").token);
        let mut again = first.clone();
        again.renew(&KEY, 5);
        let others = [
            target("example.com:81").token,
            target("www.example.com").token,
            Target::new(&KEY, "other", &TargetHost::parse("example.com").unwrap(), 0).token,
            Target::new(&[8; 32], "acme", &TargetHost::parse("example.com").unwrap(), 0).token,
            again.token.clone(),
        ];
        assert!(!others.contains(&first.token));
        assert_eq!((again.generation, &again.state), (2, &TargetState::Waiting));
        assert_ne!(again.subject(), first.subject());
        let id = first.subject().document_id();
        assert_eq!(id, "revoked:target:acme:example.com#1");
        assert_eq!(Subject::of(&id), Some(first.subject()));
    }

    #[test]
    fn a_proof_is_believed_for_its_time() {
        let mut target = target("example.com");
        assert_eq!(target.proof(0), None);
        target.state = TargetState::Proved { way: Way::Uuid, at_ms: 1000 };
        let month = u64::try_from(PROVED_FOR.as_millis()).unwrap();
        assert_eq!(target.proof(month).unwrap().token.as_ref(), Some(&target.token));
        assert_eq!(target.proof(month + 1001), None);
        target.state = TargetState::PreAuthorised { by: "operator".to_owned() };
        let proof = target.proof(u64::MAX).unwrap();
        assert_eq!((proof.host.as_str(), proof.token), ("example.com", None));
    }

    #[test]
    fn of_two_edits_the_last_generation_counts() {
        let proved = |at_ms| Target {
            state: TargetState::Proved { way: Way::Record, at_ms },
            ..target("example.com")
        };
        let mut renewed = target("example.com");
        renewed.renew(&KEY, 9);
        for (leaves, wanted) in [
            (vec![proved(1), renewed.clone()], renewed),
            (vec![proved(2), target("example.com"), proved(1)], proved(2)),
        ] {
            assert_eq!(Target::merged(&leaves), Some(wanted));
        }
        assert_eq!(Target::merged(&[]), None);
    }

    #[test]
    fn a_state_is_told_in_words() {
        let told = |state| serde_json::to_string(&state).unwrap();
        assert_eq!(told(TargetState::Waiting), r#"{"is":"waiting"}"#);
        let state = TargetState::Proved { way: Way::WellKnown, at_ms: 7 };
        assert_eq!(told(state), r#"{"is":"proved","way":"well_known","at_ms":7}"#);
    }
}
