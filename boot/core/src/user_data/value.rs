//! Words that go into user data: each is checked when it is made, and then has no character that means anything to a shell, to
//! YAML or to systemd.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use url::{Host, Url};

/// A word that cannot stand in user data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be {value:?}: {rule}")]
pub struct BadValue {
    /// Which word.
    pub what: &'static str,
    /// What it is, cut off when it is long; without the password, where there is one.
    pub value: String,
    /// What it has to be.
    pub rule: &'static str,
}

/// Characters of a foreign word in a message.
const SHOWN_CHARS: usize = 80;

fn bad(what: &'static str, value: &str, rule: &'static str) -> BadValue {
    BadValue { what, value: value.chars().take(SHOWN_CHARS).collect(), rule }
}

/// A word that is a text and nothing else.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $is:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl FromStr for $name {
            type Err = BadValue;

            fn from_str(text: &str) -> Result<Self, BadValue> {
                let is: fn(&str) -> bool = $is;
                match is(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(bad($what, text, $rule)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

word!(
    /// A region of blitz.
    RegionName,
    "a region",
    "it has 1 to 32 of a-z, 0-9 and '-', a letter first, and is not 'all' or 'any'",
    |text| {
        (1..=32).contains(&text.len())
            && !matches!(text, "all" | "any")
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(is_lower)
    }
);

word!(
    /// A region of AWS, which is where a bucket is.
    AwsRegion,
    "a region of AWS",
    "it is a word like eu-west-1",
    |text| {
        (4..=32).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.contains('-')
            && text.bytes().all(is_lower)
    }
);

word!(
    /// An account of AWS.
    Account,
    "an account of AWS",
    "it has 12 digits",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
);

word!(
    /// A bucket of S3, by the rules for its name.
    Bucket,
    "a bucket",
    "it has 3 to 63 of a-z, 0-9, '.' and '-', a letter or digit at both ends",
    |text| {
        let at_ends = |byte: Option<u8>| byte.is_some_and(|b| b != b'-' && b != b'.');
        (3..=63).contains(&text.len())
            && text.bytes().all(|b| is_lower(b) || b == b'.')
            && !text.contains("..")
            && at_ends(text.bytes().next())
            && at_ends(text.bytes().last())
    }
);

word!(
    /// Where the objects of bundles lie in a bucket.
    Prefix,
    "a prefix",
    "it has up to 200 characters: words of letters, digits, '.', '_' and '-' with '/' between them",
    |text| {
        let is_word = |word: &str| {
            !matches!(word, "" | "." | "..") && word.bytes().all(is_plain)
        };
        text.len() <= 200 && text.split('/').all(is_word)
    }
);

word!(
    /// The name of an engine.
    EngineName,
    "an engine's name",
    "it has 1 to 64 letters, digits and '.', '_', '-', a letter or digit first",
    |text| {
        (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(is_plain)
    }
);

word!(
    /// A word of an engine's command line.
    EngineWord,
    "a word for the engine",
    "it has 1 to 255 letters, digits and any of . _ - : / * @ = + , [ ]",
    |text| {
        let is_part = |b: u8| is_plain(b) || b":/*@=+,[]".contains(&b);
        (1..=255).contains(&text.len()) && text.bytes().all(is_part)
    }
);

/// Flags of `blitz engine` that user data give, or by which it would not be theirs.
const OWN_FLAGS: [&str; 14] = [
    "--region",
    "--join",
    "--join-token-file",
    "--keep-token",
    "--imds",
    "--ec2-document",
    "--ec2-signature",
    "--id",
    "--slots",
    "--store",
    "--clusters",
    "--cluster",
    "--trust-key",
    "--trust-native-key",
];

/// More flags of `blitz engine`, as they are: the engine itself knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineFlags(Vec<EngineWord>);

impl EngineFlags {
    /// These words; none is one too.
    ///
    /// # Errors
    ///
    /// [`BadValue`] for a flag that user data have themselves, and where the first word is none.
    pub fn new(words: Vec<EngineWord>) -> Result<Self, BadValue> {
        for (at, EngineWord(word)) in words.iter().enumerate() {
            let name = word.split('=').next().unwrap_or_default();
            let is_long = name.len() > 2 && name.starts_with("--");
            let rule = match is_long {
                true if OWN_FLAGS.contains(&name) => "the user data say that themselves",
                false if at == 0 || word.starts_with('-') => "it begins with '--'",
                _ => continue,
            };
            return Err(bad("a flag for the engine", word, rule));
        }
        Ok(Self(words))
    }

    /// How many words.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for EngineFlags {
    /// Each word with a space before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

/// Characters of an address.
const URL_CHARS_MAX: usize = 255;

/// An address without anything that is secret in it, and without `/` at the end.
fn address(what: &'static str, text: &str) -> Result<(String, Url), BadValue> {
    let rule = "it is http://HOST or https://HOST, with a port and a path at most, of up to 255 plain characters";
    let url = Url::parse(text).map_err(|_| bad(what, text, rule))?;
    if !url.username().is_empty() || url.password().is_some() {
        let rule =
            "user data is no place for a name or password, whoever is on the machine reads it";
        return Err(bad(what, &format!("{}://***@...", url.scheme()), rule));
    }
    let printed = url.as_str().trim_end_matches('/').to_owned();
    let is_part = |b: u8| is_plain(b) || matches!(b, b':' | b'/' | b'~' | b'[' | b']');
    let is_right = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && printed.len() <= URL_CHARS_MAX
        && printed.bytes().all(is_part)
        && text.bytes().all(is_part);
    match is_right {
        true => Ok((printed, url)),
        false => Err(bad(what, text, rule)),
    }
}

/// A gateway that gives engines their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayUrl(String);

impl FromStr for GatewayUrl {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        address("a gateway", text).map(|(printed, _)| Self(printed))
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where objects are fetched from: with TLS, or inside one's own network.
///
/// What is fetched is signed, so TLS is not what it is trusted by. But who can hold back an answer on its way can hold back a new
/// pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl FromStr for BaseUrl {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let what = "an address to fetch from";
        let (printed, url) = address(what, text)?;
        let is_own = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => is_own(address.into()),
            Some(Host::Ipv6(address)) => is_own(address.into()),
            None => false,
        };
        match url.scheme() == "https" || is_own {
            true => Ok(Self(printed)),
            false => Err(bad(what, text, "without https it is a loopback or private address")),
        }
    }
}

fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => it.is_loopback() || it.is_private() || it.is_link_local(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local(),
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest life of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life(Duration);

impl Life {
    /// A day: an engine that nobody ends costs no more than that, and one that is needed is launched anew.
    pub const DEFAULT: Self = Self(Duration::from_hours(24));

    /// Less, and machines would do nothing but boot.
    const MIN: Duration = Duration::from_mins(10);

    /// More, and it would be no net.
    const MAX: Duration = Duration::from_hours(30 * 24);

    /// A life of so long.
    ///
    /// # Errors
    ///
    /// [`BadValue`] below ten minutes and above thirty days.
    pub fn new(duration: Duration) -> Result<Self, BadValue> {
        match (Self::MIN..=Self::MAX).contains(&duration) {
            true => Ok(Self(duration)),
            false => {
                let seconds = format!("{} s", duration.as_secs());
                Err(bad("the longest life of a machine", &seconds, "it is 10 minutes to 30 days"))
            }
        }
    }

    /// In whole seconds.
    pub(super) fn seconds(self) -> u64 {
        self.0.as_secs()
    }
}

#[cfg(test)]
mod tests;
