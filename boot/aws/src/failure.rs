//! Everything that can end a command early, and its exit code; one table with that of `blitz`:
//!
//! | code | meaning |
//! |---|---|
//! | 1 | failed on this machine: a file, an output |
//! | 2 | usage; a fleet file that cannot be read, or wants what nobody has |
//! | 122 | refused by AWS: credentials, a right, a quota, no room, or asked too often; something else is there already |
//! | 125 | AWS or the store cannot be reached, does not answer, or the store refuses |

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use blitz_boot_core::bundle::{BadBundle, Channel, Digest, KeyFileError};
use blitz_boot_core::home::HomeError;
use blitz_boot_core::iam::BadScope;
use blitz_boot_core::netns::{self, machine};
use blitz_boot_core::provider::ProviderError;
use blitz_boot_core::round::Unseen;
use blitz_boot_core::user_data::value::BadValue;
use blitz_boot_core::user_data::{BadBoot, NotOfEc2};

use crate::{s3, shelf};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The words; the text is clap's, whole. Also help that was asked for.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// The fleet file cannot be read.
    #[error("read the fleet file {}: {cause}", path.display())]
    FleetFile { path: PathBuf, cause: String },
    /// AWS.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] s3::Error),
    /// Where bundles lie.
    #[error(transparent)]
    Shelf(#[from] shelf::Error),
    /// A bundle, or the pointer of a channel.
    #[error(transparent)]
    Bundle(#[from] BadBundle),
    /// The key that signs.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Nothing is there under a key.
    #[error(
        "there is no {0}: make the bundle with 'blitz-boot bundle', and publish it before it is promoted"
    )]
    NotPublished(String),
    /// A file of a bundle that is not what was signed.
    #[error(
        "{key}, the file {file} of the bundle, is not what was signed: look who writes there, take it away, and publish again"
    )]
    Damaged { file: String, key: String },
    /// A channel that was never moved.
    #[error("channel {0} points at nothing: move it with 'blitz-boot promote'")]
    NoPointer(Channel),
    /// A channel that had no other bundle.
    #[error(
        "channel {channel} pointed at no other bundle than {bundle} before: name one with 'blitz-boot promote'"
    )]
    NothingBefore { channel: Channel, bundle: Digest },
    /// A word of user data.
    #[error(transparent)]
    Value(#[from] BadValue),
    /// User data that cannot be.
    #[error(transparent)]
    Boot(#[from] BadBoot),
    /// A flag that says nothing of this kind of machine.
    #[error("{flag} is not for --provider {provider}: leave it out, or name the provider")]
    Foreign { flag: &'static str, provider: &'static str },
    /// A file that is to be user data.
    #[error(
        "'{}' is no user data of EC2: {cause}: give what 'blitz-boot user-data --provider ec2' printed",
        path.display()
    )]
    UserData { path: PathBuf, cause: NotOfEc2 },
    /// A policy that cannot be.
    #[error(transparent)]
    Scope(BadScope),
    /// A flag that is missing.
    #[error("{0}")]
    Usage(&'static str),
    /// A file.
    #[error("read '{}': {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// No store was named.
    #[error("which store? give --store http://HOST:PORT or set BLITZ_STORE")]
    NoStore,
    /// The address of the store.
    #[error(transparent)]
    StoreAddress(blitz_couchdb::Error),
    /// The store, or what it lacks.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A round that could not look, and left the region alone.
    #[error("region {region} is left alone: {cause}")]
    Unseen { region: String, cause: Unseen },
    /// A round in which something failed; each has its line.
    #[error("{failed} of what was to be done in region {region} failed")]
    Round { region: String, failed: usize },
    /// Namespaces of this machine.
    #[error(transparent)]
    Namespaces(#[from] netns::Unavailable),
    /// One of them, from inside.
    #[error(transparent)]
    Machine(#[from] machine::Error),
    /// Some places answered, others did not; each has its line on stderr.
    #[error("{failed} of {places} places did not answer; what stands above is not the whole fleet")]
    Part { failed: usize, places: usize, worst: ProviderError },
    /// What was asked for cannot be written.
    #[error("write to stdout: {0}")]
    Output(io::Error),
    /// The runtime of this program.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

impl Failure {
    /// The row of the table.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Clap(error) => u8::try_from(error.exit_code()).unwrap_or(USAGE),
            Self::FleetFile { .. }
            | Self::Value(_)
            | Self::Boot(_)
            | Self::Scope(_)
            | Self::Usage(_)
            | Self::Foreign { .. }
            | Self::UserData { .. }
            | Self::NoStore
            | Self::StoreAddress(_)
            | Self::Home(HomeError::NoRegion(_) | HomeError::Elsewhere { .. }) => USAGE,
            Self::Home(HomeError::Store(_)) | Self::Unseen { cause: Unseen::Engines(_), .. } => {
                UNREACHABLE
            }
            Self::Unseen { cause: Unseen::Machines(error), .. } => of_provider(error),
            Self::Shelf(shelf::Error::Bucket(s3::Error::Aws(error))) => of_provider(error),
            Self::Shelf(
                shelf::Error::Bucket(_) | shelf::Error::Changed(_) | shelf::Error::Exists(_),
            ) => REFUSED,
            Self::Shelf(shelf::Error::TooLarge(_) | shelf::Error::Io { .. })
            | Self::Bundle(_)
            | Self::Key(_)
            | Self::NotPublished(_)
            | Self::Damaged { .. }
            | Self::NoPointer(_)
            | Self::NothingBefore { .. }
            | Self::File { .. }
            | Self::Namespaces(_)
            | Self::Machine(_)
            | Self::Round { .. } => FAILED,
            Self::Provider(error) | Self::Part { worst: error, .. } => of_provider(error),
            Self::Bucket(s3::Error::Aws(error)) => of_provider(error),
            Self::Bucket(_) => REFUSED,
            Self::Output(_) | Self::Start(_) => FAILED,
        })
    }
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 122;
const UNREACHABLE: u8 = 125;

fn of_provider(error: &ProviderError) -> u8 {
    match error {
        ProviderError::Invalid(_) => USAGE,
        ProviderError::NoCapacity(_)
        | ProviderError::Quota(_)
        | ProviderError::Throttled(_)
        | ProviderError::Denied(_) => REFUSED,
        ProviderError::Unknown(_) => UNREACHABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_codes_of_the_table() {
        let text = || "x".to_owned();
        let unseen = |cause| Failure::Unseen { region: text(), cause };
        let gone = || s3::Error::Changed { bucket: text(), key: text() };
        for (failure, code) in [
            (Failure::FleetFile { path: PathBuf::new(), cause: text() }, 2),
            (Failure::Provider(ProviderError::Invalid(text())), 2),
            (Failure::Provider(ProviderError::Denied(text())), 122),
            (Failure::Provider(ProviderError::Quota(text())), 122),
            (Failure::Provider(ProviderError::Unknown(text())), 125),
            (Failure::Part { failed: 1, places: 2, worst: ProviderError::Unknown(text()) }, 125),
            (unseen(Unseen::Machines(ProviderError::Denied(text()))), 122),
            (unseen(Unseen::Machines(ProviderError::Unknown(text()))), 125),
            (unseen(Unseen::Engines(text())), 125),
            (Failure::Bucket(gone()), 122),
            (Failure::Bucket(ProviderError::Unknown(text()).into()), 125),
            (Failure::Output(io::ErrorKind::StorageFull.into()), 1),
        ] {
            assert_eq!(failure.code(), ExitCode::from(code), "{failure:?}");
        }
    }
}
