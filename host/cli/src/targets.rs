//! Which addresses an engine may reach: the flags of `blitz up` and `blitz engine`, and the policy that they make. And who looks
//! for the proofs of targets for a gateway.

use std::sync::Arc;

use blitz_contract::load::Proof;
use blitz_couchdb::Client;
use blitz_runtime::{Endpoint, Prover, Rule, TargetPolicy};
use clap::{Args, ValueEnum};

/// The flags, as typed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TargetArgs {
    /// Which addresses jobs may reach: any, public-only [default: any on the store of 'blitz up' and in 'blitz plugin', else public-only]
    #[arg(long, value_name = "WHICH", value_enum, hide_possible_values = true)]
    targets: Option<Targets>,
    /// Let jobs reach this too: 10.0.0.0/8, example.com, *.example.com:443, [fd00::/8]:8000-9000
    #[arg(long, value_name = "RULE")]
    allow_target: Vec<Rule>,
    /// Let jobs not reach this, whatever else allows it: *:25
    #[arg(long, value_name = "RULE")]
    deny_target: Vec<Rule>,
}

/// The base of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Targets {
    /// One's own machine and network too.
    Any,
    /// Global unicast.
    PublicOnly,
}

impl TargetArgs {
    /// The policy, on this base where none is named.
    pub(crate) fn policy(self, default: Targets) -> TargetPolicy {
        let base = match self.targets.unwrap_or(default) {
            Targets::Any => TargetPolicy::any(),
            Targets::PublicOnly => TargetPolicy::public_only(),
        };
        let opened = self.allow_target.into_iter().fold(base, TargetPolicy::allow);
        self.deny_target.into_iter().fold(opened, TargetPolicy::deny)
    }
}

/// The engine's stores, which no job may reach: they hold everybody's.
pub(crate) fn protected<'a>(stores: impl IntoIterator<Item = &'a Client>) -> Vec<Endpoint> {
    let endpoint = |store: &Client| {
        let (host, port) = store.host_and_port();
        Endpoint::new("the engine's store", host, port)
    };
    stores.into_iter().map(endpoint).collect()
}

/// Looks for the proofs of targets on behalf of a gateway, which connects to none.
#[derive(Debug)]
pub(crate) struct Looks(Prover);

impl Looks {
    /// Where this policy lets it go.
    pub(crate) fn new(policy: TargetPolicy, protected: Vec<Endpoint>) -> Arc<Self> {
        Arc::new(Self(Prover::new(policy, protected)))
    }
}

impl blitz_gateway::Prover for Looks {
    fn prove(&self, proof: Proof) -> blitz_gateway::Proves<'_> {
        Box::pin(async move {
            match self.0.prove(&proof).await {
                Ok(Some(way)) => Ok(way),
                Ok(None) => Err("there is nothing to look for".to_owned()),
                Err(not) => Err(not.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        targets: TargetArgs,
    }

    fn policy(words: &str) -> Result<String, String> {
        let words = std::iter::once("blitz").chain(words.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(line.targets.policy(Targets::PublicOnly).to_string())
    }

    #[test]
    fn flags_become_a_policy() {
        for (words, wanted) in [
            ("", "public-only"),
            ("--targets any", "any"),
            ("--targets public-only --deny-target :25", "public-only, deny *:25"),
            (
                "--allow-target 10.0.0.0/8 --allow-target *.Example.com:443 --deny-target 10.1.2.3",
                "public-only, allow 10.0.0.0/8, allow *.example.com:443, deny 10.1.2.3",
            ),
        ] {
            assert_eq!(policy(words).unwrap(), wanted, "{words}");
        }
        let refused = policy("--allow-target 10.0.0.0/40").unwrap_err();
        assert!(refused.contains("--allow-target <RULE>"), "{refused}");
        assert!(refused.contains("a prefix of IPv4 has at most 32 bits"), "{refused}");
    }

    #[test]
    fn the_store_is_protected_by_its_host_and_port() {
        for (url, host, port) in [
            ("http://me:secret@couch:5984/prefix", "couch", 5984),
            ("http://[::1]:5984", "::1", 5984),
            ("http://10.0.0.1", "10.0.0.1", 80),
        ] {
            let found = protected([&Client::new(url).unwrap()]);
            assert_eq!(found, [Endpoint::new("the engine's store", host, port)], "{url}");
        }
    }
}
