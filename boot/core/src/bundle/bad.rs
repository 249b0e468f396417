//! What can be wrong with a bundle, each with what to do about it. Texts read after "failed to use the bundle: ".

use super::{Channel, Digest, Glibc, Target};

/// A bundle that is not used, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// Somebody else signed it, or the bytes are not those that were signed.
    #[error(
        "the signature of {what} is not made by the key {key} over these bytes: look who writes to the store, and publish \
         again with that key, or give the machines the key that signed it"
    )]
    Signature {
        /// Manifest or pointer.
        what: &'static str,
        /// The key that was asked for, in base64.
        key: String,
    },
    /// It has more bytes than it may.
    #[error("{what} has more than {max} bytes: it is none of ours; look who writes to the store")]
    TooLarge {
        /// Manifest, pointer, or a file by its name.
        what: String,
        /// The limit.
        max: u64,
    },
    /// It is not what we write.
    #[error(
        "{what} is not in the form that blitz writes ({why}): publish it again with this version"
    )]
    Form {
        /// Manifest or pointer.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A later blitz wrote it.
    #[error("{what} has version {found}, this blitz reads version {known}: update blitz-boot")]
    Version {
        /// Manifest or pointer.
        what: &'static str,
        /// What it says.
        found: u64,
        /// What is known.
        known: u64,
    },
    /// A word of the manifest cannot be used.
    #[error("{what} cannot be {value:?}: {rule}")]
    Word {
        /// Which word.
        what: &'static str,
        /// What it is, cut off when it is long.
        value: String,
        /// What it has to be.
        rule: &'static str,
    },
    /// Two files of one name.
    #[error("the bundle has two files named {0:?}: rename one")]
    Twice(String),
    /// There is no program in it.
    #[error(
        "the bundle has no program 'blitz' with mode 0755: give the binary as its file 'blitz'"
    )]
    NoProgram,
    /// Too many files.
    #[error(
        "the bundle has {count} files, {max} are allowed: leave plugins out, and publish those with 'blitz plugin publish'"
    )]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A program of another kind of machine.
    #[error(
        "{file:?} is built for {found}, the bundle is for {wanted}: build it with 'cargo build --release --target {wanted}'"
    )]
    OtherMachine {
        /// Which file.
        file: String,
        /// What it is for.
        found: String,
        /// What was asked for.
        wanted: Target,
    },
    /// It is no program for Linux.
    #[error("{file:?} is no program or library for Linux ({why}): give the file that cargo built")]
    NoElf {
        /// Which file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The program brings its own C library.
    #[error(
        "{0:?} is linked statically: such a program cannot load native plugins; build it for a target that ends in -gnu"
    )]
    Static(String),
    /// It would not start on the oldest image.
    #[error(
        "{file:?} needs glibc {needs} (for {symbols}), and {max} is the newest that is allowed, as Amazon Linux 2023 has \
         2.34: build it on such a system or as boot/files/README.md says, or allow {needs} and give up every image with an \
         older one"
    )]
    NewGlibc {
        /// Which file.
        file: String,
        /// What it needs.
        needs: Glibc,
        /// Of what, as far as it is known.
        symbols: String,
        /// What is allowed.
        max: Glibc,
    },
    /// Another target than ours.
    #[error("{what} is for {found}, not for {wanted}: publish a bundle for {wanted}")]
    OtherTarget {
        /// Manifest or pointer.
        what: &'static str,
        /// What it is for.
        found: Target,
        /// What was asked for.
        wanted: Target,
    },
    /// Another channel than the one that was asked for.
    #[error(
        "the pointer is of channel {found}, not of {wanted}: somebody copied it; promote a bundle to {wanted}"
    )]
    OtherChannel {
        /// What it says.
        found: Channel,
        /// What was asked for.
        wanted: Channel,
    },
    /// Somebody shows an old pointer again.
    #[error(
        "the pointer has serial {found}, and {floor} is the least that is taken: an old one is shown again; look who \
         writes to the store, and promote anew (to go back, too)"
    )]
    OldSerial {
        /// What it says.
        found: u64,
        /// The least.
        floor: u64,
    },
    /// Serials are used up, or somebody wrote nonsense.
    #[error("a serial cannot be {found}: they go from 1 to {max}")]
    Serial {
        /// What it is.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// Another manifest under this name.
    #[error(
        "the manifest has the digest {found}, and bundle {wanted} was asked for: look who writes to the store, and publish \
         it again"
    )]
    OtherBundle {
        /// What it has.
        found: Digest,
        /// What was asked for.
        wanted: Digest,
    },
    /// Another content under this name.
    #[error(
        "file {file:?} has {found_bytes} bytes of digest {found}, and the manifest says {bytes} of {wanted}: look who \
         writes to the store, and publish it again"
    )]
    OtherFile {
        /// Which file.
        file: String,
        /// What it has.
        found: Digest,
        /// How many bytes it has.
        found_bytes: u64,
        /// What the manifest says.
        wanted: Digest,
        /// And how many bytes.
        bytes: u64,
    },
    /// Not the text of a digest.
    #[error("no digest: a SHA-256 has 64 digits of 0-9 and a-f")]
    NoDigest,
    /// Not the name of a target.
    #[error(
        "no target that blitz is built for: {0:?}; there are x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu"
    )]
    UnknownTarget(String),
    /// Not the name of a channel.
    #[error("no channel: {0:?}; there are 'stable' and 'canary'")]
    UnknownChannel(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_to_do() {
        let file = || "blitz".to_owned();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let all = [
            BadBundle::Signature { what: "the manifest", key: "11qYAYKx=".to_owned() },
            BadBundle::TooLarge { what: file(), max: 1 << 30 },
            BadBundle::Form { what: "the pointer", why: "it has other spaces".to_owned() },
            BadBundle::Version { what: "the pointer", found: 2, known: 1 },
            BadBundle::Word {
                what: "a file's name",
                value: "../x".to_owned(),
                rule: "it has no path",
            },
            BadBundle::Twice(file()),
            BadBundle::NoProgram,
            BadBundle::TooMany { count: 65, max: 64 },
            BadBundle::OtherMachine {
                file: file(),
                found: "machine 243 of elf.h".to_owned(),
                wanted: Target::Aarch64,
            },
            BadBundle::NoElf {
                file: file(),
                why: "it is neither a program nor a library".to_owned(),
            },
            BadBundle::Static(file()),
            BadBundle::NewGlibc {
                file: file(),
                needs: Glibc { major: 2, minor: 35 },
                symbols: "hypot".to_owned(),
                max: Glibc::OF_IMAGES,
            },
            BadBundle::OtherTarget {
                what: "the pointer",
                found: Target::Aarch64,
                wanted: Target::X86_64,
            },
            BadBundle::OtherChannel { found: Channel::Canary, wanted: Channel::Stable },
            BadBundle::OldSerial { found: 4, floor: 5 },
            BadBundle::Serial { found: 0, max: 9 },
            BadBundle::OtherBundle { found: one, wanted: two },
            BadBundle::OtherFile {
                file: file(),
                found: one,
                found_bytes: 1,
                wanted: two,
                bytes: 2,
            },
            BadBundle::NoDigest,
            BadBundle::UnknownTarget("riscv64".to_owned()),
            BadBundle::UnknownChannel("nightly".to_owned()),
        ];
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(texts.join("\n"));
    }
}
