//! `NAME@VERSION` as people type it, and the gateway that is asked about it.

use std::str::FromStr;

use crate::api::Gateway;
use crate::environment::Environment;
use crate::locate::{Place, locate};
use crate::plugin::Error;

/// One version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) version: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('@') {
            Some((name, version)) if !name.is_empty() && is_version(version) => {
                Ok(Self { name: name.to_owned(), version: version.to_owned() })
            }
            other => {
                let name = other.map_or(text, |(name, _)| name);
                let name = if name.is_empty() { "hops" } else { name };
                Err(format!("use NAME@VERSION, as {name}@0.1.0; 'blitz plugin list' shows them"))
            }
        }
    }
}

fn is_version(text: &str) -> bool {
    blitz_jobs::plugin::version_order(text).is_some()
}

/// The gateway that goes on when this command has ended: one in this process would forget what it was told.
pub(crate) fn gateway(
    what: &'static str,
    host: Option<&str>,
    environment: &Environment,
) -> Result<Gateway, Error> {
    match locate(host, environment)? {
        Place::Gateway(gateway) => Ok(*gateway),
        Place::Here => Err(Error::NoGateway { what }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_name_and_a_whole_version() {
        let label: Label = "hops@0.1.0".parse().unwrap();
        assert_eq!((label.name.as_str(), label.version.as_str()), ("hops", "0.1.0"));
        for text in ["hops", "@0.1.0", "hops@", "hops@1", "hops@0.1.0#ab"] {
            assert!(text.parse::<Label>().is_err(), "{text}");
        }
        let refused = "mx@1".parse::<Label>().unwrap_err();
        assert!(refused.starts_with("use NAME@VERSION, as mx@0.1.0; "), "{refused}");
    }
}
