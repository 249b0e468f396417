//! How an engine comes into the store: it shows an issuer a one-time join token or who it is, and gets a token for ten
//! minutes, which it renews at half its life.
//!
//! The token is put into a [`Bearer`] that the store's clients share: whatever they ask next is asked with the newest one.
//! It can be kept in a file of the engine's own, with the nonce that renews it on the second line, so that a restart goes on
//! with it: a join token serves once.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blitz_couchdb::{Bearer, Client};
use blitz_jobs::sealing::{PrivateKey, RegionKeys};
use serde::Deserialize;
use serde_json::{Value, json};

/// The first wait after an issuer that did not answer.
const AGAIN_MIN: Duration = Duration::from_secs(1);

/// The longest: an issuer that is back is found within it, and a hundred engines ask it 3 times a second.
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// The longest life that an issuer is believed, so that no answer makes an engine sleep for ever.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What an engine shows to join.
#[derive(Clone)]
pub enum Proof {
    /// A one-time join token.
    JoinToken(String),
    /// The identity document of an EC2 instance as its metadata has it, and its signature in base64.
    Ec2 {
        /// Byte by byte.
        document: String,
        /// `/latest/dynamic/instance-identity/signature`.
        signature: String,
    },
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JoinToken(_) => "JoinToken(hidden)",
            Self::Ec2 { .. } => "Ec2(hidden)",
        })
    }
}

/// Who wants to join what, and where.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The issuers, in the order in which they are asked: that of the region's home, then those of its hubs.
    pub issuers: Vec<Client>,
    /// The region.
    pub region: String,
    /// The engine's instance id.
    pub engine: String,
    /// What it shows; absent where a kept token is all that it has.
    pub proof: Option<Proof>,
    /// Where the token is kept over a restart.
    pub file: Option<PathBuf>,
    /// Where the private keys go that issuers hand out with tokens. They are kept in no file.
    pub region_keys: RegionKeys,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// An issuer said no; asking again is no use.
    #[error("join region {region} at {issuer}: {reason}")]
    Refused {
        /// The region.
        region: String,
        /// Its address.
        issuer: String,
        /// Its words.
        reason: String,
    },
    /// None answered.
    #[error("join region {region}: {reason}")]
    Unreachable {
        /// The region.
        region: String,
        /// What the last one said, or the way there.
        reason: String,
    },
    /// Nothing to show.
    #[error(
        "join region {0}: give a join token (BLITZ_JOIN_TOKEN or --join-token-file; 'blitz region token' makes \
         one), or --imds on an instance of EC2"
    )]
    NothingToShow(String),
    /// The file of the kept token.
    #[error("keep the token in '{}': {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No random bytes.
    #[error("join: the system gives no random numbers")]
    Random,
}

/// The right to enter, as long as it is kept.
pub struct Membership {
    joining: Joining,
    bearer: Bearer,
    token: String,
    /// What it joined with, and renews with: issuers are told, and stores are not.
    nonce: String,
    life: Duration,
    /// The address of the store, as the issuer says.
    pub store: String,
}

impl fmt::Debug for Membership {
    /// Without the token and what renews it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { joining, store, life, .. } = self;
        let mut shown = f.debug_struct("Membership");
        shown.field("joining", joining).field("store", store).field("life", life);
        shown.finish_non_exhaustive()
    }
}

/// An issuer's answer.
#[derive(Deserialize)]
struct Given {
    token: String,
    expires_in_s: u64,
    store: String,
    #[serde(default)]
    engine: Option<String>,
    /// Private keys of the region, where the issuer has them.
    #[serde(default)]
    region_keys: Vec<String>,
    /// By its own name, whatever word was asked with.
    #[serde(default)]
    region: String,
}

impl Membership {
    /// Joins: with the token that is kept, if there is one that is still good for that; else with the proof. Tries until an
    /// issuer says yes or no.
    ///
    /// # Errors
    ///
    /// [`NoToken`] when all issuers that answer say no, or there is nothing to show.
    pub async fn join(joining: Joining, bearer: Bearer) -> Result<Self, NoToken> {
        let kept = joining.file.as_deref().and_then(|path| fs::read_to_string(path).ok());
        let kept = kept.and_then(|text| {
            let (token, nonce) = text.split_once('\n')?;
            Some((token.trim().to_owned(), nonce.trim().to_owned()))
        });
        let nonce = hex(&random::<32>()?);
        let mut wait = AGAIN_MIN;
        loop {
            let mut refused = None;
            if let Some((token, nonce)) = &kept {
                let body = json!({"token": token, "nonce": nonce});
                match joining.ask("/v1/join/renew", &body).await {
                    // That of another engine, which stood here before.
                    Ok(given) if given.engine.as_ref().is_some_and(|id| *id != joining.engine) => {}
                    Ok(given) => return Self::begin(joining, bearer, nonce, given),
                    Err(error @ NoToken::Refused { .. }) => refused = Some(error),
                    Err(error) => {
                        wait = pause(wait, &error).await?;
                        continue;
                    }
                }
            }
            let Some(body) = joining.body(&nonce) else {
                return Err(refused.unwrap_or(NoToken::NothingToShow(joining.region)));
            };
            match joining.ask("/v1/join", &body).await {
                Ok(given) => return Self::begin(joining, bearer, &nonce, given),
                Err(error @ NoToken::Unreachable { .. }) => wait = pause(wait, &error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    fn begin(joining: Joining, bearer: Bearer, nonce: &str, given: Given) -> Result<Self, NoToken> {
        let (token, life, store) = (String::new(), Duration::ZERO, given.store.clone());
        let nonce = nonce.to_owned();
        let mut membership = Self { joining, bearer, token, nonce, life, store };
        membership.take(given)?;
        Ok(membership)
    }

    fn take(&mut self, given: Given) -> Result<(), NoToken> {
        self.bearer.set(&given.token).map_err(|error| NoToken::Unreachable {
            region: self.joining.region.clone(),
            reason: error.to_string(),
        })?;
        for key in &given.region_keys {
            match PrivateKey::read(key) {
                Ok(key) => self.joining.region_keys.add(&given.region, key),
                Err(error) => tracing::warn!(%error, "the issuer gives a key that is none"),
            }
        }
        self.life = Duration::from_secs(given.expires_in_s).min(LIFE_MAX);
        self.token = given.token;
        let Some(path) = &self.joining.file else { return Ok(()) };
        write(path, &format!("{}\n{}\n", self.token, self.nonce))
            .map_err(|source| NoToken::File { path: path.clone(), source })
    }

    /// Renews for as long as it is polled. Returns when the right was taken back: the store refuses the engine from the
    /// end of its last token on.
    ///
    /// An issuer that does not answer is asked again, also after the end of the token: an engine that was cut off comes
    /// back by itself.
    pub async fn keep(mut self) -> NoToken {
        loop {
            let half = match jitter(self.life / 2) {
                Ok(half) => half,
                Err(error) => return error,
            };
            tokio::time::sleep(half).await;
            let mut wait = AGAIN_MIN;
            loop {
                let body = json!({"token": self.token, "nonce": self.nonce});
                let given = match self.joining.ask("/v1/join/renew", &body).await {
                    Ok(given) => given,
                    Err(error @ NoToken::Unreachable { .. }) => {
                        match pause(wait, &error).await {
                            Ok(next) => wait = next,
                            Err(error) => return error,
                        }
                        continue;
                    }
                    Err(error) => return error,
                };
                if let Err(error) = self.take(given) {
                    // It is in the bearer: only a restart would miss it.
                    tracing::warn!(%error, "the new token is not kept");
                }
                break;
            }
        }
    }
}

impl Joining {
    /// The request to join; `None` when there is nothing to show.
    fn body(&self, nonce: &str) -> Option<Value> {
        let mut body = json!({"region": self.region, "engine": self.engine, "nonce": nonce});
        match self.proof.as_ref()? {
            Proof::JoinToken(token) => body["join_token"] = json!(token),
            Proof::Ec2 { document, signature } => {
                body["ec2"] = json!({"document": document, "signature": signature});
            }
        }
        Some(body)
    }

    /// Asks the issuers in turn: the first yes counts, and a no where none says yes. One that cannot be reached leaves it
    /// open, unless another says no.
    async fn ask(&self, path: &'static str, body: &Value) -> Result<Given, NoToken> {
        let region = || self.region.clone();
        let mut failed = NoToken::Unreachable {
            region: region(),
            reason: "no issuer is named (--join URL)".to_owned(),
        };
        for issuer in &self.issuers {
            let unreachable = |reason| NoToken::Unreachable { region: region(), reason };
            let address = issuer.address();
            let error = match issuer.post_beside(path, body).await {
                Ok((200, said)) => match serde_json::from_value::<Given>(said) {
                    Ok(given) => return Ok(given),
                    // Its words may be quoted in the error, and keys are among them.
                    Err(_) => {
                        unreachable(format!("{address} answers otherwise than an issuer does"))
                    }
                },
                Ok((status, said)) => {
                    let reason = said["reason"].as_str().unwrap_or("no reason given").to_owned();
                    match status {
                        400..=428 => NoToken::Refused {
                            region: region(),
                            issuer: address.to_owned(),
                            reason,
                        },
                        _ => unreachable(format!("{address}: {reason}")),
                    }
                }
                Err(error) => unreachable(error.to_string()),
            };
            if !matches!(failed, NoToken::Refused { .. }) {
                failed = error;
            }
        }
        Err(failed)
    }
}

/// Waits before the next try; gives the wait after that.
async fn pause(wait: Duration, error: &NoToken) -> Result<Duration, NoToken> {
    tracing::warn!(%error, again_in_s = wait.as_secs(), "no token yet");
    tokio::time::sleep(jitter(wait)?).await;
    Ok((wait * 2).min(AGAIN_MAX))
}

/// Between nine and eleven tenths of it: a hundred engines that started together do not ask together.
fn jitter(wait: Duration) -> Result<Duration, NoToken> {
    let share = u32::from(u16::from_be_bytes(random()?));
    Ok(wait * 9 / 10 + wait / 5 * share / u32::from(u16::MAX))
}

fn random<const N: usize>() -> Result<[u8; N], NoToken> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoToken::Random)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Replaces the file as a whole, for its owner alone.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(token.as_bytes())?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_about_as_long_as_it_is_asked_for() {
        for _ in 0..100 {
            let wait = jitter(Duration::from_secs(300)).unwrap();
            assert!((270..=330).contains(&wait.as_secs()), "{wait:?}");
        }
        assert_eq!(jitter(Duration::ZERO).unwrap(), Duration::ZERO);
    }

    #[test]
    fn a_kept_token_is_its_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        for token in ["first", "second"] {
            write(&path, token).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), token);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_shown_stays_out_of_logs() {
        let joining = Joining {
            issuers: Vec::new(),
            region: "japan".to_owned(),
            engine: "e1".to_owned(),
            proof: Some(Proof::JoinToken("blitz-join-secret".to_owned())),
            file: None,
            region_keys: RegionKeys::default(),
        };
        assert!(!format!("{joining:?}").contains("secret"));
        assert_eq!(joining.body("n").unwrap()["join_token"], "blitz-join-secret");
    }
}
