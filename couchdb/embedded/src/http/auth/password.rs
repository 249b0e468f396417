//! How passwords are stored and checked: CouchDB's schemes, of which new ones get the strongest.

use crate::{document::object::Members, revision::hex, store::database::random_id};
use ring::{digest, pbkdf2};
use std::num::NonZeroU32;

/// How often a new password is hashed; CouchDB 3.5's own.
pub(crate) const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("is not zero");

/// More iterations than this are not checked: about five seconds of a core for each attempt.
const ITERATIONS_MAX: u32 = 10_000_000;

/// What `pbkdf2` without a count means.
const ITERATIONS_UNTOLD: u64 = 10_000;

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// An administrator's, as the configuration has it.
    Plain(String),
    /// SHA-1 of password and salt, in hexadecimal. CouchDB before 1.3.
    Simple(String),
    /// PBKDF2.
    Derived {
        prf: Prf,
        iterations: NonZeroU32,
        /// In hexadecimal.
        key: String,
        /// What is derived is not the password but its `Simple` form.
        over_simple: bool,
    },
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stored::Plain(_) => "Plain",
            Stored::Simple(_) => "Simple",
            Stored::Derived { .. } => "Derived",
        })
    }
}

/// The hash inside PBKDF2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prf {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// Why nobody can log in with what is stored. The texts are CouchDB's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("PRF is invalid")]
    Prf,
    #[error("Iteration count is too low for this server")]
    TooFew,
    #[error("Iteration count is too high for this server")]
    TooMany,
    /// No password was ever set.
    #[error("Name or password is incorrect.")]
    NoPassword,
}

impl Stored {
    /// Reads it from a document of `_users`.
    pub(crate) fn read(document: &Members<'_>) -> Result<Stored, Unusable> {
        let text = |name| document.read::<String>(name);
        let scheme = text("password_scheme");
        let over_simple = match scheme.as_deref() {
            None | Some("simple") => {
                return text("password_sha").map(Stored::Simple).ok_or(Unusable::NoPassword);
            }
            Some("pbkdf2") => false,
            Some("simple+pbkdf2") => true,
            Some(_) => return Err(Unusable::NoPassword),
        };
        let prf = match text("pbkdf2_prf").as_deref() {
            None | Some("sha") => Prf::Sha1,
            Some("sha256") => Prf::Sha256,
            Some("sha384") => Prf::Sha384,
            Some("sha512") => Prf::Sha512,
            Some(_) => return Err(Unusable::Prf),
        };
        let told = document.read::<u64>("iterations").unwrap_or(ITERATIONS_UNTOLD);
        let iterations = u32::try_from(told).map_err(|_| Unusable::TooMany)?;
        if iterations > ITERATIONS_MAX {
            return Err(Unusable::TooMany);
        }
        let iterations = NonZeroU32::new(iterations).ok_or(Unusable::TooFew)?;
        let key = text("derived_key").ok_or(Unusable::NoPassword)?;
        Ok(Stored::Derived { prf, iterations, key, over_simple })
    }

    /// Whether this is the password. Takes the time of a new one, whatever the scheme, if it is not.
    pub(crate) fn is_of(&self, password: &[u8], salt: &str) -> bool {
        let (right, done) = match self {
            Stored::Plain(wanted) => (same(password, wanted.as_bytes()), 0),
            Stored::Simple(wanted) => {
                (same(simple(password, salt).as_bytes(), wanted.as_bytes()), 0)
            }
            Stored::Derived { prf, iterations, key, over_simple } => {
                let legacy;
                let password = if *over_simple {
                    legacy = simple(password, salt);
                    legacy.as_bytes()
                } else {
                    password
                };
                let derived = derive(*prf, *iterations, password, salt);
                (same(derived.as_bytes(), key.as_bytes()), iterations.get())
            }
        };
        if !right && let Some(rest) = NonZeroU32::new(ITERATIONS.get().saturating_sub(done)) {
            std::hint::black_box(derive(Prf::Sha256, rest, password, salt));
        }
        right
    }

    /// What tells it from others.
    pub(crate) fn identity(&self) -> &[u8] {
        match self {
            Stored::Plain(text) | Stored::Simple(text) | Stored::Derived { key: text, .. } => {
                text.as_bytes()
            }
        }
    }
}

/// What a new password is stored as: its salt and its key.
pub(crate) fn hash(password: &str, salt: Option<String>) -> (String, String) {
    let salt = salt.unwrap_or_else(random_id);
    let key = derive(Prf::Sha256, ITERATIONS, password.as_bytes(), &salt);
    (salt, key)
}

/// As long as a check of somebody who is known, for one who is not.
pub(crate) fn pretend(password: &[u8]) {
    std::hint::black_box(derive(Prf::Sha256, ITERATIONS, password, "0123456789abcdef"));
}

fn simple(password: &[u8], salt: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(password);
    context.update(salt.as_bytes());
    hex(context.finish().as_ref())
}

fn derive(prf: Prf, iterations: NonZeroU32, password: &[u8], salt: &str) -> String {
    let (algorithm, length) = match prf {
        Prf::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, 20),
        Prf::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
        Prf::Sha384 => (pbkdf2::PBKDF2_HMAC_SHA384, 48),
        Prf::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
    };
    let mut key = vec![0; length];
    pbkdf2::derive(algorithm, iterations, salt.as_bytes(), password, &mut key);
    hex(&key)
}

/// Compares without telling by its time where the first difference is.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let pairs = wanted.iter().enumerate();
    let differences = pairs.fold(0, |differences, (index, byte)| {
        differences | (byte ^ given.get(index).copied().unwrap_or(!byte))
    });
    std::hint::black_box(differences) == 0 && given.len() == wanted.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::object;

    fn read(text: &str) -> Result<Stored, Unusable> {
        Stored::read(&object::members(text).unwrap().unwrap())
    }

    /// The keys are those of `couch_passwords_tests.erl` and of RFC 6070.
    #[test]
    fn every_scheme_of_couchdb_is_checked() {
        let pbkdf2 = |prf: &str, iterations: u32, key: &str| {
            format!(
                r#"{{"password_scheme":"pbkdf2",{prf}"iterations":{iterations},"derived_key":"{key}"}}"#
            )
        };
        for (document, password, salt) in [
            (pbkdf2("", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"), "password", "salt"),
            (pbkdf2("", 4096, "4b007901b765489abead49d926f721d065a429c1"), "password", "salt"),
            (
                pbkdf2(
                    r#""pbkdf2_prf":"sha256","#,
                    4096,
                    "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
                ),
                "password",
                "salt",
            ),
            // sha1("password" + "salt").
            (
                String::from(r#"{"password_sha":"c88e9c67041a74e0357befdff93f87dde0904214"}"#),
                "password",
                "salt",
            ),
        ] {
            let stored = read(&document).unwrap();
            assert!(stored.is_of(password.as_bytes(), salt), "{document}");
            assert!(!stored.is_of(b"passwore", salt), "{document}");
        }
        let legacy = simple(b"pw", "s");
        let key = derive(Prf::Sha256, NonZeroU32::new(5).unwrap(), legacy.as_bytes(), "s");
        let both = format!(
            r#"{{"password_scheme":"simple+pbkdf2","pbkdf2_prf":"sha256","iterations":5,"derived_key":"{key}"}}"#
        );
        assert!(read(&both).unwrap().is_of(b"pw", "s"));
    }

    #[test]
    fn what_cannot_be_checked_says_why() {
        for (document, why) in [
            ("{}", Unusable::NoPassword),
            (r#"{"password_scheme":"bcrypt"}"#, Unusable::NoPassword),
            (r#"{"password_scheme":"pbkdf2"}"#, Unusable::NoPassword),
            (r#"{"password_scheme":"pbkdf2","pbkdf2_prf":"md5"}"#, Unusable::Prf),
            (r#"{"password_scheme":"pbkdf2","iterations":0}"#, Unusable::TooFew),
            (r#"{"password_scheme":"pbkdf2","iterations":1000000000}"#, Unusable::TooMany),
        ] {
            assert_eq!(read(document), Err(why), "{document}");
        }
    }

    #[test]
    fn a_new_password_is_stored_as_couchdb_does() {
        let (salt, key) = hash("pw", None);
        assert_eq!((salt.len(), key.len()), (32, 64));
        let stored =
            Stored::Derived { prf: Prf::Sha256, iterations: ITERATIONS, key, over_simple: false };
        assert!(stored.is_of(b"pw", &salt));
        assert!(!format!("{stored:?}").contains(&salt));
    }

    #[test]
    fn only_equal_bytes_are_the_same() {
        for (given, wanted, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("ab", "a", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(same(given.as_bytes(), wanted.as_bytes()), is, "{given} {wanted}");
        }
    }
}
