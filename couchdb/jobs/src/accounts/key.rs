//! `key:<id>`: an API key. The key itself is told once and is in no document.
//!
//! A key as text is `blitz_<id>_<secret>`: 10 characters by which it is found, and 43 of 256 random bits in base64url. What it
//! begins with is for people and for scanners of secrets: `blitz_[0-9a-z]{10}_[0-9A-Za-z_-]{43}`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// What a key begins with.
const PREFIX: &str = "blitz_";

/// Characters of an id: 36^10, and who guesses one has nothing yet.
const ID_CHARS: usize = 10;

/// Characters of 256 bits in base64url.
const SECRET_CHARS: usize = 43;

/// The digits of an id.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The id of a key: no secret.
pub type KeyId = String;

/// A key as it is told once.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    id: KeyId,
    text: String,
}

impl fmt::Debug for Secret {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, hidden)", self.id)
    }
}

impl Secret {
    /// Of these random bits.
    #[must_use]
    pub fn new(random: [u8; 48]) -> Self {
        let (id, secret) = random.split_at(16);
        let mut number = id.iter().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
        let id: String = (0..ID_CHARS)
            .map(|_| {
                let digit = usize::try_from(number % 36).unwrap_or(0);
                number /= 36;
                char::from(DIGITS[digit])
            })
            .collect();
        let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        Self { id, text }
    }

    /// One that somebody shows; `None` when it is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_at_checked(ID_CHARS)?;
        let secret = secret.strip_prefix('_')?;
        let is_secret = secret.len() == SECRET_CHARS && URL_SAFE_NO_PAD.decode(secret).is_ok();
        (Self::is_id(id) && is_secret).then(|| Self { id: id.to_owned(), text: text.to_owned() })
    }

    /// Whether a text can be the id of a key.
    #[must_use]
    pub fn is_id(text: &str) -> bool {
        text.len() == ID_CHARS && text.bytes().all(|b| DIGITS.contains(&b))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as text: a secret.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the store has of it, in hexadecimal: the hash of the whole key under a key of the gateways, so that who reads the
    /// store cannot even try keys. 256 random bits need no slow hash.
    #[must_use]
    pub fn hash(&self, pepper: &[u8; 32]) -> String {
        blake3::keyed_hash(pepper, self.text.as_bytes()).to_hex().to_string()
    }

    /// Whether it is the key of this document. Takes as long for every wrong one.
    #[must_use]
    pub fn is(&self, key: &Key, pepper: &[u8; 32]) -> bool {
        let own = blake3::keyed_hash(pepper, self.text.as_bytes());
        // blake3 compares its hashes in constant time.
        blake3::Hash::from_hex(&key.hash).is_ok_and(|hash| hash == own) && key.id == self.id
    }
}

/// `key:<id>`. Never changes: who wants another scope makes another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Always `key`.
    pub kind: KeyKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: String,
    /// Which user of the tenant has it, as [`super::is_name`] says.
    pub user: String,
    /// What people call it.
    #[serde(default)]
    pub label: String,
    /// [`Secret::hash`].
    pub hash: String,
    /// What it may be used for.
    #[serde(default)]
    pub scopes: Scopes,
    /// When it was made, for people. Milliseconds since 1970.
    pub created_at_ms: u64,
    /// When it is over, by the clock of the gateway that is asked. Milliseconds since 1970; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<u64>,
}

/// What a key may be used for; an empty list is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// The names of plugins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<String>,
    /// The names of regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Submissions in a minute at one gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    /// Whether it may make and revoke keys of its tenant, and see and end the jobs of its other users.
    #[serde(default)]
    pub is_admin: bool,
    /// Whether it may publish plugins of its tenant, and take them back. An admin key may.
    #[serde(default)]
    pub may_publish: bool,
}

/// The `kind` of a [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// The only one.
    Key,
}

impl Scopes {
    /// Whether jobs of this plugin may be asked for.
    #[must_use]
    pub fn allow_plugin(&self, plugin: &str) -> bool {
        self.plugins.is_empty() || self.plugins.iter().any(|one| one == plugin)
    }

    /// Whether jobs in this region may be asked for.
    #[must_use]
    pub fn allow_region(&self, region: &str) -> bool {
        self.regions.is_empty() || self.regions.iter().any(|one| one == region)
    }

    /// Whether whoever has these may give those: never more than they have.
    #[must_use]
    pub fn contain(&self, other: &Self) -> bool {
        // An empty list is everything, and not nothing.
        let holds = |own: &[String], given: &[String]| {
            own.is_empty() || !given.is_empty() && given.iter().all(|one| own.contains(one))
        };
        let is_as_slow = match (self.rate_per_minute, other.rate_per_minute) {
            (None, _) => true,
            (Some(own), given) => given.is_some_and(|given| given <= own),
        };
        holds(&self.plugins, &other.plugins)
            && holds(&self.regions, &other.regions)
            && is_as_slow
            && (self.is_admin || !other.is_admin)
            && (self.is_admin || self.may_publish || !other.may_publish)
    }
}

impl Key {
    /// Whether it is over at this moment.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// The id of the document of this key.
    #[must_use]
    pub fn document_id(id: &str) -> String {
        format!("key:{id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gives_more_than_they_have() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let scopes = |plugins: &[&str], regions: &[&str], rate_per_minute, is_admin| Scopes {
            plugins: list(plugins),
            regions: list(regions),
            rate_per_minute,
            is_admin,
            may_publish: false,
        };
        let publishes = Scopes { may_publish: true, ..Scopes::default() };
        let all = Scopes { is_admin: true, ..Scopes::default() };
        let some = scopes(&["curl", "rush"], &["japan"], Some(10), true);
        for (has, gives, may) in [
            (&all, &some, true),
            (&all, &all, true),
            (&some, &all, false),
            (&some, &some, true),
            (&some, &scopes(&["curl"], &["japan"], Some(1), false), true),
            (&some, &scopes(&["whois"], &["japan"], Some(1), false), false),
            (&some, &scopes(&["curl"], &[], Some(1), false), false),
            (&some, &scopes(&["curl"], &["japan"], Some(11), false), false),
            (&some, &scopes(&["curl"], &["japan"], None, false), false),
            (&Scopes::default(), &all, false),
            (&Scopes::default(), &publishes, false),
            (&all, &publishes, true),
            (&publishes, &publishes, true),
        ] {
            assert_eq!(has.contain(gives), may, "{has:?} {gives:?}");
        }
        assert!(some.allow_plugin("curl") && !some.allow_plugin("whois") && all.allow_plugin("x"));
        assert!(some.allow_region("japan") && !some.allow_region("lyon") && all.allow_region("x"));
    }

    #[test]
    fn a_key_is_shown_and_known_again() {
        let secret = Secret::new(std::array::from_fn(|at| u8::try_from(at * 5).unwrap()));
        let text = secret.text();
        assert_eq!(text.len(), PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS);
        assert_eq!(Secret::read(text).as_ref(), Some(&secret));
        assert!(!format!("{secret:?}").contains(&text[20..]));
        for wrong in ["", "blitz_", &text[1..], &text[..text.len() - 1], &format!("{text}a")] {
            assert_eq!(Secret::read(wrong), None, "{wrong}");
        }
        let pepper = [7; 32];
        let key = Key {
            kind: KeyKind::Key,
            blitz: String::new(),
            id: secret.id().to_owned(),
            tenant: "acme".to_owned(),
            user: "ann".to_owned(),
            label: String::new(),
            hash: secret.hash(&pepper),
            scopes: Scopes::default(),
            created_at_ms: 0,
            expires_at_ms: None,
        };
        assert!(secret.is(&key, &pepper));
        assert!(!secret.is(&key, &[8; 32]));
        assert!(!Secret::new([9; 48]).is(&key, &pepper));
    }
}
