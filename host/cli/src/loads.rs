//! Who may be loaded, and how much: the flags of `blitz up`, `blitz engine` and `blitz gateway`.

use std::net::IpAddr;
use std::time::Duration;

use blitz_contract::load::{Consent, Pattern};
use blitz_runtime::LoadConfig;
use clap::Args;

/// Who may be loaded: a gateway's flags, as typed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LoadTargetArgs {
    /// Let load tests go to this too, beside loopback and private addresses: example.com, *.example.com:443, 192.0.2.7
    #[arg(long, value_name = "PATTERN")]
    load_target: Vec<Pattern>,
}

/// Who may be loaded, and how much: an engine's flags, as typed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    targets: LoadTargetArgs,
    /// Whom the owner of a target may ask: an address of mail or a page, told in the user agent of every request of a load test
    #[arg(long, value_name = "TEXT", value_parser = contact)]
    load_contact: Option<String>,
    /// Connections that all load tests of an engine may have at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    load_connections_max: Option<u32>,
    /// Transactions that all load tests of an engine may begin in a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    load_rate_max: Option<u32>,
    /// Ask again whether a target may be loaded after so many seconds, while it is
    #[arg(long, value_name = "S", hide = true, value_parser = clap::value_parser!(u64).range(1..=30))]
    load_look_s: Option<u64>,
    /// Connect from this address of the engine's machine too: each has 28,000 ports for one target (may be repeated)
    #[arg(long, value_name = "IP")]
    load_source: Vec<IpAddr>,
}

/// A contact, in bytes: an address or a page, beside the job's id in a header.
const CONTACT_BYTES_MAX: usize = 120;

impl LoadTargetArgs {
    /// Who may be loaded.
    pub(crate) fn consent(self) -> Consent {
        Consent { listed: self.load_target }
    }
}

impl LoadArgs {
    /// Who may be loaded.
    pub(crate) fn consent(&self) -> Consent {
        self.targets.clone().consent()
    }

    /// What the user agent says of whom to ask. Without the flag nothing of the machine is told.
    pub(crate) fn contact(&self) -> String {
        self.load_contact.clone().unwrap_or_else(|| NO_CONTACT.to_owned())
    }

    /// What an engine may do.
    pub(crate) fn config(&self) -> LoadConfig {
        let mut config = LoadConfig {
            consent: self.consent(),
            sources: self.load_source.clone(),
            ..LoadConfig::default()
        };
        config.look_every = self.load_look_s.map_or(config.look_every, Duration::from_secs);
        let caps = &mut config.engine;
        caps.connections = self.load_connections_max.unwrap_or(caps.connections);
        caps.transactions_per_s = self.load_rate_max.unwrap_or(caps.transactions_per_s);
        config
    }
}

/// In place of a contact.
pub(crate) const NO_CONTACT: &str = "no contact given";

/// What fits into the comment of a user agent.
fn contact(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_fit = |b: u8| b.is_ascii_graphic() || b == b' ';
    if text.is_empty() || text.len() > CONTACT_BYTES_MAX {
        return Err(format!("a contact has 1 to {CONTACT_BYTES_MAX} characters"));
    }
    match text.chars().find(|c| !u8::try_from(*c).is_ok_and(is_fit) || "()\\#{}".contains(*c)) {
        Some(other) => {
            Err(format!("a contact is plain ASCII without ( ) \\ # {{ }}, and has {other:?}"))
        }
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn read(words: &[&str]) -> Result<LoadArgs, String> {
        let line = Line::try_parse_from(["blitz"].iter().chain(words));
        line.map(|line| line.load).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_become_consent_contact_and_caps() {
        let none = read(&[]).unwrap();
        assert_eq!((none.consent(), none.contact()), (Consent::default(), NO_CONTACT.to_owned()));
        let words = ["--load-target", "*.Example.com:443", "--load-target=192.0.2.7"];
        let more = ["--load-contact", "load@example.com", "--load-connections-max", "10"];
        let args = read(&[&words[..], &more[..], &["--load-rate-max=20"]].concat()).unwrap();
        let listed: Vec<String> = args.consent().listed.iter().map(ToString::to_string).collect();
        assert_eq!(listed, ["*.example.com:443", "192.0.2.7"]);
        assert_eq!(args.contact(), "load@example.com");
        let config = args.config();
        assert_eq!(config.consent, args.consent());
        assert_eq!((config.engine.connections, config.engine.transactions_per_s), (10, 20));
    }

    #[test]
    fn what_is_wrong_is_said_at_once() {
        for (words, says) in [
            (["--load-target", "http://x"], "is not HOST, HOST:PORT, *.DOMAIN or an address"),
            (["--load-contact", ""], "1 to 120 characters"),
            (["--load-contact", "a (b)"], "without ( )"),
            (["--load-contact", "\u{e9}"], "plain ASCII"),
            (["--load-rate-max", "0"], "--load-rate-max <N>"),
        ] {
            let refused = read(&words).unwrap_err();
            assert!(refused.contains(says), "{says}: {refused}");
        }
    }
}
