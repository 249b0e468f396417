//! Where bytes go: standard output, or a file on the user's machine.

use blitz_plugin::Host;

use crate::exit::Problem;

/// A destination that the command line named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sink {
    Stdout,
    /// On the user's machine.
    File(String),
    /// `/dev/null`: dropped here, so that a large body does not travel to be dropped there.
    Nowhere,
}

impl Sink {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "-" => Self::Stdout,
            "/dev/null" => Self::Nowhere,
            _ => Self::File(name.to_owned()),
        }
    }

    /// Writes, and shows it at once.
    pub(crate) fn write(&self, bytes: &[u8], host: &mut dyn Host) -> Result<(), Problem> {
        match self {
            Self::Stdout => {
                let stdout = host.stdout();
                stdout
                    .write_all(bytes)
                    .and_then(|()| stdout.flush())
                    .map_err(|error| Problem::writing(&error))
            }
            Self::File(name) => {
                host.write_output(name, bytes).map_err(|error| Problem::writing(&error))
            }
            Self::Nowhere => Ok(()),
        }
    }

    /// Makes an empty file when nothing was written to it.
    pub(crate) fn finish(&self, written_bytes: u64, host: &mut dyn Host) -> Result<(), Problem> {
        match self {
            Self::File(_) if written_bytes == 0 => self.write(b"", host),
            _ => Ok(()),
        }
    }
}
