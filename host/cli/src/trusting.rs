//! Whom engines of this machine believe, from the command line and the user's own files.

use std::path::PathBuf;

use blitz_engine::Trust;
use blitz_jobs::plugin::PublicKey;
use clap::Args;

use crate::environment::Environment;
use crate::plugin;
use crate::run::say;

/// Flags of `blitz up` and `blitz engine`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrustFlags {
    /// The SHA-256 of a plugin to trust, beside the built-in ones
    #[arg(long, value_name = "SHA256", value_parser = parse_digest)]
    trust: Vec<String>,
    /// The key of a publisher whose components to trust; 'blitz plugin key' prints it
    #[arg(long, value_name = "KEY")]
    trust_key: Vec<PublicKey>,
    /// The key of a publisher whose native plugins to trust too
    #[arg(long, value_name = "KEY")]
    trust_native_key: Vec<PublicKey>,
    /// A file of keys to trust, read again when it changes [default: ~/.config/blitz/trusted-keys]
    #[arg(long, value_name = "FILE")]
    trust_file: Option<PathBuf>,
}

impl TrustFlags {
    /// With the user's own file of keys, when no other is named.
    pub(crate) fn trust(self, environment: &Environment) -> Trust {
        Trust {
            digests: self.trust.into_iter().collect(),
            keys: self.trust_key.into_iter().collect(),
            native_keys: self.trust_native_key.into_iter().collect(),
            file: self.trust_file.or_else(|| environment.trust_file.clone()),
        }
    }

    /// The same and the user's own key, which is made when there is none: what one builds on one's own machine
    /// runs there, native libraries too: it is the same user on the same machine.
    pub(crate) fn trust_and_own(self, environment: &Environment) -> Trust {
        let mut trust = self.trust(environment);
        let own = plugin::own_key(environment);
        match own {
            Ok(key) => drop(trust.native_keys.insert(key)),
            Err(error) => say(&format!("blitz: your own plugins are not trusted: {error}")),
        }
        trust
    }
}

fn parse_digest(text: &str) -> Result<String, &'static str> {
    let is_digest = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| text.to_ascii_lowercase()).ok_or("a SHA-256 has 64 hexadecimal digits")
}
