//! What a channel points at: the one thing that changes, so it is signed, and counts up.
//!
//! Who can write to the store cannot make one, but can show an old one again. So a machine is told the least serial that
//! it may take, and going back to an older bundle is a new pointer with a higher serial.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::manifest::read_json;
use super::{BadBundle, Digest, PublicKey, SIGNATURE_BYTES, SigningKey, Target};

/// What it is called in messages.
const WHAT: &str = "the pointer";

/// The form that is written and read.
const VERSION: u64 = 1;

/// Bytes of a signed pointer: ours have 350.
pub const POINTER_BYTES_MAX: u64 = 4096;

/// The highest serial: a shell on any machine counts so far, and so does JSON.
pub const SERIAL_MAX: u64 = 999_999_999_999_999;

/// A way by which bundles reach machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// What machines boot.
    Stable,
    /// What a few machines try first.
    Canary,
}

impl Channel {
    /// Its name in keys and flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Channel {
    type Err = BadBundle;

    fn from_str(text: &str) -> Result<Self, BadBundle> {
        let unknown = || BadBundle::UnknownChannel(text.chars().take(32).collect());
        let all = [Self::Stable, Self::Canary];
        all.into_iter().find(|channel| channel.name() == text).ok_or_else(unknown)
    }
}

/// What a channel points at, for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// Of which channel.
    pub channel: Channel,
    /// For which machines.
    pub target: Target,
    /// Higher than those of all earlier pointers of this channel and target; 1 to [`SERIAL_MAX`].
    pub serial: u64,
    /// The bundle.
    pub bundle: Digest,
    /// When it was made, for people: nothing is decided by it. Milliseconds since 1970.
    pub at_ms: u64,
}

/// What a pointer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Of this channel.
    pub channel: Channel,
    /// For this target.
    pub target: Target,
    /// No older than this; 1 takes any.
    pub serial_min: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "blitz_channel")]
    _version: u64,
    channel: Channel,
    target: Target,
    serial: u64,
    bundle: Digest,
    at_ms: u64,
}

impl Pointer {
    /// The pointer that follows on the serial `last`; of the first of a channel that is 0.
    ///
    /// # Errors
    ///
    /// [`BadBundle::Serial`] when there are no more.
    pub fn after(
        last: u64,
        (channel, target): (Channel, Target),
        bundle: Digest,
        at_ms: u64,
    ) -> Result<Self, BadBundle> {
        let serial = last.saturating_add(1);
        let pointer = Self { channel, target, serial, bundle, at_ms };
        pointer.check_serial()?;
        Ok(pointer)
    }

    fn check_serial(&self) -> Result<(), BadBundle> {
        match self.serial {
            1..=SERIAL_MAX => Ok(()),
            found => Err(BadBundle::Serial { found, max: SERIAL_MAX }),
        }
    }

    /// Its one text: JSON, a fact a line.
    fn to_text(&self) -> String {
        let Self { channel, target, serial, bundle, at_ms } = self;
        format!(
            "{{\"blitz_channel\":{VERSION},\n\"channel\":\"{channel}\",\n\"target\":\"{target}\",\n\"serial\":{serial},\n\
             \"bundle\":\"{bundle}\",\n\"at_ms\":{at_ms}}}\n"
        )
    }

    /// The object of a channel: the pointer, and its signature in base64 as the last line.
    #[must_use]
    pub fn to_object(&self, key: &SigningKey) -> Vec<u8> {
        let text = self.to_text();
        let signature = STANDARD.encode(key.sign(text.as_bytes()));
        format!("{text}{signature}\n").into_bytes()
    }

    /// Reads the object of a channel, and holds it against what is expected.
    ///
    /// # Errors
    ///
    /// [`BadBundle`]; the signature is looked at before anything else.
    pub fn open(object: &[u8], key: &PublicKey, expected: Expected) -> Result<Self, BadBundle> {
        if u64::try_from(object.len()).is_ok_and(|length| length > POINTER_BYTES_MAX) {
            return Err(BadBundle::TooLarge { what: WHAT.to_owned(), max: POINTER_BYTES_MAX });
        }
        let unsigned = || BadBundle::Signature { what: WHAT, key: key.to_string() };
        let lines = object.strip_suffix(b"\n").ok_or_else(unsigned)?;
        let end = lines.iter().rposition(|byte| *byte == b'\n').ok_or_else(unsigned)? + 1;
        let (text, last) = lines.split_at(end);
        let signature = STANDARD.decode(last).map_err(|_| unsigned())?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(unsigned());
        }
        key.check(WHAT, text, &signature)?;
        let pointer = Self::parse(text)?;
        let Expected { channel, target, serial_min } = expected;
        if pointer.channel != channel {
            return Err(BadBundle::OtherChannel { found: pointer.channel, wanted: channel });
        }
        if pointer.target != target {
            let found = pointer.target;
            return Err(BadBundle::OtherTarget { what: WHAT, found, wanted: target });
        }
        if pointer.serial < serial_min {
            return Err(BadBundle::OldSerial { found: pointer.serial, floor: serial_min });
        }
        Ok(pointer)
    }

    fn parse(text: &[u8]) -> Result<Self, BadBundle> {
        let raw: Raw = read_json(WHAT, "blitz_channel", VERSION, text)?;
        let Raw { channel, target, serial, bundle, at_ms, .. } = raw;
        let pointer = Self { channel, target, serial, bundle, at_ms };
        pointer.check_serial()?;
        if pointer.to_text().as_bytes() != text {
            let why = "it has other spaces or another order".to_owned();
            return Err(BadBundle::Form { what: WHAT, why });
        }
        Ok(pointer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STABLE: (Channel, Target) = (Channel::Stable, Target::X86_64);

    fn expected(serial_min: u64) -> Expected {
        Expected { channel: Channel::Stable, target: Target::X86_64, serial_min }
    }

    fn pointer() -> Pointer {
        Pointer { serial: 7, ..Pointer::after(0, STABLE, Digest::of(b"x"), 12).unwrap() }
    }

    #[test]
    fn a_pointer_is_the_same_to_the_byte_and_comes_back() {
        let key = SigningKey::generate().unwrap();
        insta::assert_snapshot!(pointer().to_text());
        let object = pointer().to_object(&key);
        assert_eq!(Pointer::open(&object, &key.public(), expected(7)), Ok(pointer()));
        assert!(u64::try_from(object.len()).unwrap() < POINTER_BYTES_MAX / 8);
        let next = Pointer::after(pointer().serial, STABLE, Digest::of(b"older"), 13).unwrap();
        assert_eq!(next.serial, 8);
        let last = Pointer { serial: SERIAL_MAX, ..pointer() };
        let none = Pointer::after(last.serial, STABLE, Digest::of(b""), 0);
        assert!(matches!(none, Err(BadBundle::Serial { .. })));
    }

    #[test]
    fn what_is_not_the_pointer_that_is_wanted_is_refused_by_its_reason() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let open = |object: &[u8], serial| {
            Pointer::open(object, &key.public(), expected(serial)).unwrap_err()
        };
        let good = pointer().to_object(&key);
        let text = String::from_utf8(good.clone()).unwrap();
        let tampered = text.replace("\"serial\":7", "\"serial\":9");
        assert!(matches!(open(&pointer().to_object(&other), 1), BadBundle::Signature { .. }));
        assert!(matches!(open(tampered.as_bytes(), 1), BadBundle::Signature { .. }));
        let old = open(&good, 8);
        assert_eq!(old, BadBundle::OldSerial { found: 7, floor: 8 });
        let canary = Pointer { channel: Channel::Canary, ..pointer() }.to_object(&key);
        assert!(matches!(open(&canary, 1), BadBundle::OtherChannel { .. }));
        let arm = Pointer { target: Target::Aarch64, ..pointer() }.to_object(&key);
        assert!(matches!(open(&arm, 1), BadBundle::OtherTarget { .. }));
        assert!(matches!(open(&vec![b'\n'; 5000], 1), BadBundle::TooLarge { .. }));
        for bytes in [&b""[..], b"\n", b"x\n\n", b"\xff", b"{}\nAAAA\n"] {
            assert!(matches!(open(bytes, 1), BadBundle::Signature { .. }));
        }
    }

    #[test]
    fn what_we_signed_in_another_form_is_refused_too() {
        let key = SigningKey::generate().unwrap();
        let text = pointer().to_text();
        for (from, to, wants) in [
            ("\"blitz_channel\":1", "\"blitz_channel\":2", "version 2"),
            ("\"serial\":7", "\"serial\": 7", "other spaces"),
            ("\"serial\":7", "\"serial\":0", "serial cannot be 0"),
            ("\"serial\":7", "\"serial\":1000000000000000", "from 1 to"),
            ("\"serial\":7", "\"serial\":7,\n\"later\":1", "later"),
            ("stable", "nightly", "nightly"),
            ("\"serial\":7", "\"serial\":7,\"serial\":7", "serial"),
        ] {
            let text = text.replace(from, to);
            let object = format!("{text}{}\n", STANDARD.encode(key.sign(text.as_bytes())));
            let error = Pointer::open(object.as_bytes(), &key.public(), expected(1)).unwrap_err();
            assert!(error.to_string().contains(wants), "{to}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let key = SigningKey::generate().unwrap();
            prop_assert!(Pointer::open(&bytes, &key.public(), expected(1)).is_err());
            Pointer::parse(&bytes).ok();
        }

        #[test]
        fn no_changed_byte_passes(at in 0_usize..300, byte in any::<u8>()) {
            let key = SigningKey::generate().unwrap();
            let good = pointer().to_object(&key);
            let mut bytes = good.clone();
            let at = at % bytes.len();
            bytes[at] = byte;
            let opened = Pointer::open(&bytes, &key.public(), expected(1));
            prop_assert_eq!(opened.is_ok(), bytes == good);
        }
    }
}
