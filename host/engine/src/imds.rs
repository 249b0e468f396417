//! What an instance of EC2 is told of itself: who and where it is, the signed proof of that, and that its machine is about
//! to be taken away.
//!
//! Only version 2 of the service is spoken: each question shows a token that was fetched by a PUT, so that no server that
//! merely forwards a GET gives anything away. `exchange` is one question with all its limits, `notice` what a notice
//! means for the jobs that run (pure), and `watch` the asking for notices for as long as the engine lives.
//!
//! No proxy is asked and no redirect followed: whoever answers elsewhere is not this machine.
//!
//! Source: EC2 User Guide, "Access instance metadata for an EC2 instance" and "Instance metadata categories".

mod exchange;
mod notice;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use blitz_jobs::engine::{MACHINE_CHARS_MAX, Machine};
use blitz_jobs::join::is_engine;
use http::HeaderValue;
use tokio::time::Instant;

use crate::patience::Patience;
use crate::token::Proof;
use exchange::{Answer, Failed, Place};

pub(crate) use watch::watch;

/// Where the service of EC2 is, on every instance.
pub const ADDRESS: &str = "http://169.254.169.254";

/// All its well-known endpoints, as host and port: no job may reach them.
pub const ENDPOINTS: [(&str, u16); 2] = [("169.254.169.254", 80), ("fd00:ec2::254", 80)];

/// A machine that boots may have no network yet; one that has none after this long is on no EC2, as a rule.
const BOOT_MAX: Duration = Duration::from_secs(10);

/// How long a token is asked for: the longest there is, so that it is fetched four times a day.
const TOKEN_TTL: Duration = Duration::from_secs(6 * 3600);

/// The longest token in bytes: those of EC2 have 56.
const TOKEN_BYTES_MAX: usize = 512;

/// Questions for one document: with the token that is there, and with a new one where that is not taken.
const GET_TRIES: u32 = 2;

/// Tags that are read: EC2 allows an instance 50.
const TAGS_MAX: usize = 50;

/// Only tags of this beginning are read, each of which is a question of its own.
const TAGS: &str = "blitz:";

/// The longest value of a tag, in characters: that of EC2.
const TAG_CHARS_MAX: usize = 256;

/// The longest part of foreign words in an error, in characters.
const QUOTED_CHARS_MAX: usize = 40;

/// Why the metadata of the instance is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of such a service.
    #[error("{0:?} is no address of instance metadata: use http://HOST or http://HOST:PORT")]
    BadUrl(String),
    /// Nobody answered in time.
    #[error(
        "no instance metadata at {url} within {} s ({reason}): leave --imds away on machines that are not of EC2, or give \
         --id; in a container, the instance's hop limit for metadata must be 2",
        waited.as_secs()
    )]
    Absent {
        /// Who was asked.
        url: String,
        /// For how long.
        waited: Duration,
        /// What came of the last try.
        reason: String,
    },
    /// It gives no tokens: it is version 1, or switched off.
    #[error(
        "the instance metadata at {url} gives no tokens (it answers {status}): blitz speaks IMDSv2 alone; switch it on \
         (aws ec2 modify-instance-metadata-options --http-endpoint enabled --http-tokens required)"
    )]
    NeedsTokens {
        /// Who was asked.
        url: String,
        /// What it answers to who asks for one.
        status: u16,
    },
    /// Something answered, and not as the service does.
    #[error("the instance metadata at {url}{path} {what}")]
    Wrong {
        /// Who was asked.
        url: String,
        /// For what.
        path: String,
        /// What came instead.
        what: String,
    },
}

/// The service, and the token that it gave.
#[derive(Debug, Clone)]
pub struct Imds {
    place: Place,
    token: Option<Token>,
}

#[derive(Debug, Clone)]
struct Token {
    value: HeaderValue,
    renew_at: Instant,
}

/// An instance, as it is told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `i-...`.
    pub id: String,
    /// AWS's name of its region.
    pub region: String,
    /// Its zone, type and life cycle.
    pub machine: Machine,
    /// Its tags that begin with `blitz:`; none where the instance's tags are not in its metadata.
    pub tags: BTreeMap<String, String>,
}

impl Imds {
    /// The service at this address. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`Error::BadUrl`].
    pub fn new(url: &str) -> Result<Self, Error> {
        let place = Place::parse(url).ok_or_else(|| Error::BadUrl(url.to_owned()))?;
        Ok(Self { place, token: None })
    }

    /// Where it is: the host without brackets, and the port.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, u16) {
        (&self.place.host, self.place.port)
    }

    /// Who this machine is. The service may come up after the engine: it is waited for 10 s.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn instance(&mut self) -> Result<Instance, Error> {
        let until = Instant::now() + BOOT_MAX;
        self.come(until).await?;
        let id = self.word("/latest/meta-data/instance-id", until).await?;
        if !is_engine(&id) {
            return Err(self.wrong("/latest/meta-data/instance-id", &not_a("an instance id", &id)));
        }
        let region = self.word("/latest/meta-data/placement/region", until).await?;
        let zone = self.word("/latest/meta-data/placement/availability-zone", until).await?;
        let instance_type = self.word("/latest/meta-data/instance-type", until).await?;
        let cycle = self.ask("/latest/meta-data/instance-life-cycle", until).await?;
        let is_spot = cycle.is_some_and(|cycle| cycle.trim() == "spot");
        let machine = Machine { provider: "ec2".to_owned(), instance_type, zone, is_spot };
        let tags = self.tags(until).await?;
        Ok(Instance { id, region, machine: machine.cut(), tags })
    }

    /// The proof of who it is: the document, byte by byte, and its signature.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn proof(&mut self) -> Result<Proof, Error> {
        let until = Instant::now() + BOOT_MAX;
        let document = self.must("/latest/dynamic/instance-identity/document", until).await?;
        let signature = self.must("/latest/dynamic/instance-identity/signature", until).await?;
        Ok(Proof::Ec2 { document, signature })
    }

    /// The tags of blitz; none where the service does not tell tags.
    async fn tags(&mut self, until: Instant) -> Result<BTreeMap<String, String>, Error> {
        let mut tags = BTreeMap::new();
        let Some(names) = self.ask("/latest/meta-data/tags/instance", until).await? else {
            return Ok(tags);
        };
        // A name that cannot stand in a path as it is, is none of ours.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        let ours = names.lines().map(str::trim).filter(|name| name.starts_with(TAGS));
        for name in ours.filter(|name| name.bytes().all(fits)).take(TAGS_MAX) {
            let path = format!("/latest/meta-data/tags/instance/{name}");
            // It may have been taken off meanwhile.
            if let Some(value) = self.ask(&path, until).await? {
                let value = value.chars().filter(|c| !c.is_control()).take(TAG_CHARS_MAX);
                tags.insert(name.to_owned(), value.collect());
            }
        }
        Ok(tags)
    }

    /// Waits until it gives a token.
    async fn come(&mut self, until: Instant) -> Result<(), Error> {
        self.again(until, async |imds: &mut Self| imds.token().await.map(drop)).await
    }

    /// One word of a document that is always there.
    async fn word(&mut self, path: &str, until: Instant) -> Result<String, Error> {
        let text = self.must(path, until).await?;
        let word = text.trim();
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if word.is_empty() || word.len() > 2 * MACHINE_CHARS_MAX || !word.bytes().all(fits) {
            return Err(self.wrong(path, &not_a("a word", word)));
        }
        Ok(word.to_owned())
    }

    /// A document that is always there.
    async fn must(&mut self, path: &str, until: Instant) -> Result<String, Error> {
        let found = self.ask(path, until).await?;
        found.ok_or_else(|| self.wrong(path, "is not there"))
    }

    /// A document, if it is there. Who does not answer is asked again.
    async fn ask(&mut self, path: &str, until: Instant) -> Result<Option<String>, Error> {
        self.again(until, async |imds: &mut Self| imds.get(path).await).await
    }

    async fn again<T>(
        &mut self,
        until: Instant,
        mut asks: impl AsyncFnMut(&mut Self) -> Result<T, NotTold>,
    ) -> Result<T, Error> {
        let mut patience = Patience::default();
        loop {
            let reason = match asks(self).await {
                Ok(told) => return Ok(told),
                Err(NotTold::Never(error)) => return Err(error),
                Err(NotTold::NotNow(reason)) => reason,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let url = self.place.url.clone();
                return Err(Error::Absent { url, waited: BOOT_MAX, reason });
            }
            tokio::time::sleep(patience.wait().min(left)).await;
        }
    }

    /// A document as it stands now, if it is there.
    async fn get(&mut self, path: &str) -> Result<Option<String>, NotTold> {
        for _ in 0..GET_TRIES {
            let token = self.token().await?;
            let answer = exchange::get(&self.place, path, token).await;
            match answer.map_err(|failed| self.failed(path, failed))? {
                Answer { status: 200, text, .. } => return Ok(Some(text)),
                Answer { status: 404, .. } => return Ok(None),
                // The token is over before its time: the service was restarted.
                Answer { status: 401, .. } => self.token = None,
                Answer { status: status @ 500.., .. } => {
                    return Err(NotTold::NotNow(format!("{path}: it answers {status}")));
                }
                Answer { status, .. } => {
                    let what = format!("answers {status}");
                    return Err(NotTold::Never(self.wrong(path, &what)));
                }
            }
        }
        Err(NotTold::NotNow(format!("{path}: it takes no token")))
    }

    /// A token that holds for the next question.
    async fn token(&mut self) -> Result<HeaderValue, NotTold> {
        if let Some(token) = self.token.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.value.clone());
        }
        self.token = None;
        let asked = Instant::now();
        let answer = exchange::put_token(&self.place, TOKEN_TTL).await;
        let answer = answer.map_err(|failed| self.failed(exchange::TOKEN, failed))?;
        match answer.status {
            200 => {}
            status @ (403..=405 | 501) => {
                let url = self.place.url.clone();
                return Err(NotTold::Never(Error::NeedsTokens { url, status }));
            }
            status @ 500.. => {
                return Err(NotTold::NotNow(format!("{}: it answers {status}", exchange::TOKEN)));
            }
            status => {
                let what = format!("answers {status}");
                return Err(NotTold::Never(self.wrong(exchange::TOKEN, &what)));
            }
        }
        let text = answer.text.trim();
        let is_token = (1..=TOKEN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        let value = HeaderValue::from_str(text).ok().filter(|_| is_token);
        let Some(mut value) = value else {
            let what = "gives no token, but something else";
            return Err(NotTold::Never(self.wrong(exchange::TOKEN, what)));
        };
        value.set_sensitive(true);
        let life = answer.ttl.unwrap_or(TOKEN_TTL).min(TOKEN_TTL);
        self.token = Some(Token { value: value.clone(), renew_at: asked + life * 9 / 10 });
        Ok(value)
    }

    fn wrong(&self, path: &str, what: &str) -> Error {
        let (path, what) = (path.to_owned(), what.to_owned());
        Error::Wrong { url: self.place.url.clone(), path, what }
    }

    fn failed(&self, path: &str, failed: Failed) -> NotTold {
        match failed {
            Failed::NoAnswer(reason) => NotTold::NotNow(reason),
            Failed::NoText => NotTold::Never(self.wrong(path, "answers otherwise than in text")),
            Failed::TooLong => {
                let what = format!("answers more than {} bytes", exchange::ANSWER_BYTES_MAX);
                NotTold::Never(self.wrong(path, &what))
            }
        }
    }
}

impl std::fmt::Display for Instance {
    /// `m7g.large in eu-central-1a, spot, blitz:fleet=web`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { instance_type, zone, is_spot, .. } = &self.machine;
        write!(f, "{instance_type} in {zone}")?;
        if *is_spot {
            f.write_str(", spot")?;
        }
        self.tags.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    /// Asking again may help.
    #[error("{0}")]
    NotNow(String),
    /// It does not.
    #[error(transparent)]
    Never(Error),
}

/// What came instead of this.
fn not_a(wanted: &str, found: &str) -> String {
    let quoted: String = found.chars().take(QUOTED_CHARS_MAX).collect();
    format!("says {quoted:?}, which is not {wanted}")
}

#[cfg(test)]
mod tests;
