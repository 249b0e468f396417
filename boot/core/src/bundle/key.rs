//! Keys of publishers of bundles: the same form as those of publishers of plugins, a seed of Ed25519 in base64.
//!
//! The public key stands in the user data of every machine, as PEM: what signs is checked there by openssl.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::BadBundle;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Bytes of a public key and of a secret seed.
const KEY_BYTES: usize = 32;

/// What stands before the 32 bytes of a public key in its DER form, RFC 8410.
const DER_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Bytes of a key's file: ours has 45.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// A publisher's public key, written in base64.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

/// A text that is no key. It is not shown, as it may be a secret one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key: it has 32 bytes in base64, 44 characters with '=' at the end")]
pub struct BadKey;

impl PublicKey {
    /// As openssl reads it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let der = [&DER_HEAD[..], &self.0].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// Whether it signed these bytes.
    pub(super) fn check(
        &self,
        what: &'static str,
        bytes: &[u8],
        signature: &[u8],
    ) -> Result<(), BadBundle> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(bytes, signature)
            .map_err(|_| BadBundle::Signature { what, key: self.to_string() })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| BadKey)?;
        Ok(Self(bytes.try_into().map_err(|_| BadKey)?))
    }
}

/// A publisher's secret key.
pub struct SigningKey {
    seed: Zeroizing<[u8; KEY_BYTES]>,
    pair: Ed25519KeyPair,
}

/// Why a file has no key for us.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Somebody else may have read it.
    #[error(
        "the key '{}' is open to others (mode {mode:04o}): 'chmod 600' it, and make a new one if others may have read it",
        path.display()
    )]
    OpenToOthers {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not what was written.
    #[error("the file '{}' has no key of a publisher: it is a line of base64, as 'blitz-boot key' makes it", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error("make a key: the system gives no random numbers")]
    Random,
    /// The system.
    #[error("read or make the key '{}': {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SigningKey {
    /// A new one; nowhere kept.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Random`].
    pub fn generate() -> Result<Self, KeyFileError> {
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut *seed).map_err(|_| KeyFileError::Random)?;
        Self::from_seed(seed).map_err(|_| KeyFileError::Random)
    }

    fn from_seed(seed: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| BadKey)?;
        Ok(Self { seed, pair })
    }

    /// Makes a key and its file, for its owner alone. A file that is there stays as it is.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Io`], also when the file is there.
    pub fn make(path: &Path) -> Result<Self, KeyFileError> {
        let key = Self::generate()?;
        let io = |source| KeyFileError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        let text = Zeroizing::new(format!("{}\n", *key.secret_text()));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        Ok(key)
    }

    /// Reads what [`Self::make`] wrote.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::OpenToOthers { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        let broken = || KeyFileError::Broken { path: path.to_owned() };
        match file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(broken()),
            other => other.map_err(io)?,
        };
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| broken())?);
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(broken());
        }
        seed.copy_from_slice(&bytes);
        Self::from_seed(seed).map_err(|_| broken())
    }

    /// The text of its file.
    fn secret_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.seed))
    }

    /// The key that machines trust.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs.
    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(bytes).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("boot.key");
        let key = SigningKey::make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::read(&path).unwrap().public(), key.public());
        assert!(SigningKey::make(&path).is_err(), "what is there stays");
        assert!(!format!("{key:?}").contains(&*key.secret_text()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SigningKey::read(&path).unwrap_err().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in [&b"rubbish"[..], b"", b"AAAA", b"\xff\xff", &[b'A'; 4096]] {
            fs::write(&path, text).unwrap();
            let error = SigningKey::read(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Broken { .. }), "{error}");
        }
    }

    #[test]
    fn a_signature_is_good_for_its_bytes_and_key_alone() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let signature = key.sign(b"text");
        assert_eq!(key.public().check("it", b"text", &signature), Ok(()));
        for (who, bytes, signature) in [
            (&key, &b"texT"[..], &signature[..]),
            (&other, b"text", &signature),
            (&key, b"text", &signature[1..]),
            (&key, b"text", b""),
            (&key, b"text", &[0; 64]),
        ] {
            let error = who.public().check("it", bytes, signature).unwrap_err();
            assert!(matches!(error, BadBundle::Signature { what: "it", .. }), "{error}");
        }
        let text = key.public().to_string();
        assert_eq!(text.parse(), Ok(key.public()));
        assert_eq!("x".parse::<PublicKey>(), Err(BadKey));
    }

    #[test]
    fn openssl_agrees() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let key = SigningKey::generate().unwrap();
        fs::write(at("key.pem"), key.public().to_pem()).unwrap();
        fs::write(at("text"), b"text").unwrap();
        let says = |signature: &[u8]| {
            fs::write(at("sig"), signature).unwrap();
            let mut openssl = std::process::Command::new("openssl");
            openssl.args(["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem"]);
            openssl.args(["-in", "text", "-sigfile", "sig"]).current_dir(directory.path());
            openssl.output().unwrap()
        };
        let good = says(&key.sign(b"text"));
        assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
        assert!(!says(&key.sign(b"other")).status.success());
    }
}
