//! Engines in network namespaces of this machine: a provider whose machines are there at once and have what instances of EC2
//! have, an address of their own and metadata at 169.254.169.254, so that engines on them have the same command line:
//! `blitz engine --imds ...`.
//!
//! An instance is a process, as in [`process`](crate::process), which keeps the records; around it is a namespace (`space`),
//! and in that a [`machine`], which is the service of metadata and the parent of the engine. Ids begin with `netns-`, and not
//! with `i-`: a region may have engines of EC2 too, and rounds must not take those for theirs.
//!
//! *Addresses:* each namespace has one of a private [`Prefix`], and the host the prefix's first one, in all of them. There is
//! no translation of addresses: what an engine reaches is the host, and what the host forwards. A store or gateway of this
//! machine listens at all addresses, or at that one (`ip address add 10.213.0.1/32 dev lo` lets it do so before there is an
//! engine), and engines are given `--store http://10.213.0.1:5984`.
//!
//! *What is left behind* by whoever was killed: a record is written before the namespace is made, and removed after it, so the
//! next listing finds both. A machine that was killed leaves its engine, which ends with the namespace.

pub mod machine;
mod prefix;
mod routes;
mod space;

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::instance::{Instance, InstanceId};
use crate::process::{Around, Processes};
use crate::provider::{LaunchRequest, Provider, ProviderError};

pub use prefix::{BadPrefix, Prefix};
use space::Space;

/// What ids begin with.
const ID: &str = "netns-";

/// The instances of one fleet for one region.
#[derive(Debug, Clone)]
pub struct Namespaces {
    processes: Processes,
    spaces: Spaces,
}

/// What is wanted of them.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where records are; it is made.
    pub directory: PathBuf,
    /// The fleet.
    pub fleet: String,
    /// The provider's region, as machines are told it.
    pub place: String,
    /// The addresses.
    pub prefix: Prefix,
    /// The program that becomes a machine, and its first words; behind them stand the arguments of [`machine::run`].
    pub machine: Vec<String>,
    /// The engine's program and its arguments; `{id}` and `{region}` in them are replaced.
    pub command: Vec<String>,
}

/// Why this process makes no namespaces.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// It has no right to.
    #[error(
        "--provider netns takes root, to make network namespaces: run it as root, or use --provider process"
    )]
    NotRoot,
    /// The program that makes them.
    #[error("--provider netns runs 'ip' of iproute2: {0}: install it, or use --provider process")]
    NoIp(io::Error),
}

impl Namespaces {
    /// Those of this configuration; nothing is made yet.
    ///
    /// # Errors
    ///
    /// [`Unavailable`].
    pub fn new(config: Config) -> Result<Self, Unavailable> {
        if !rustix::process::geteuid().is_root() {
            return Err(Unavailable::NotRoot);
        }
        let ip = Command::new("ip").arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).status();
        ip.map_err(Unavailable::NoIp)?;
        let Config { directory, fleet, place, prefix, machine, command } = config;
        let record = directory.join("{id}.json").to_string_lossy().into_owned();
        let enter = ["ip", "netns", "exec", &space::name(&fleet, "{id}")].map(str::to_owned);
        let words = [&enter[..], &machine, &[record, place], &command].concat();
        let processes = Processes::new(directory, fleet.clone(), words).with_ids(ID);
        Ok(Self { processes, spaces: Spaces { fleet, prefix } })
    }

    /// Gives a spot instance notice that it is taken back at this time, in milliseconds since 1970: its metadata says so from
    /// now on, and the first listing after that time ends it. EC2 gives two minutes.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Invalid`] when there is no such instance, or it is not spot.
    pub fn interrupt(&self, id: &InstanceId, at_ms: u64) -> Result<(), ProviderError> {
        self.processes.interrupt(id, at_ms)
    }

    /// The name of an instance's namespace, for `ip netns`.
    #[must_use]
    pub fn namespace(&self, id: &InstanceId) -> String {
        space::name(&self.spaces.fleet, &id.0)
    }
}

impl Provider for Namespaces {
    async fn list(&self) -> Result<Vec<Instance>, ProviderError> {
        self.processes.list_with(&self.spaces).await
    }

    fn names(&self, engine: &str) -> bool {
        self.processes.names(engine)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Vec<InstanceId>, ProviderError> {
        self.processes.launch_with(request, &self.spaces).await
    }

    async fn tag(
        &self,
        id: &InstanceId,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), ProviderError> {
        self.processes.tag(id, name, value).await
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ProviderError> {
        self.processes.terminate(id).await
    }
}

/// The namespaces around processes.
#[derive(Debug, Clone)]
struct Spaces {
    fleet: String,
    prefix: Prefix,
}

impl Around for Spaces {
    async fn make(&self, id: &InstanceId) -> Result<(), ProviderError> {
        Space::new(&self.fleet, id).make(&self.prefix).await
    }

    async fn clear(&self, id: &InstanceId) -> Result<(), ProviderError> {
        Space::new(&self.fleet, id).remove().await
    }
}

#[cfg(test)]
mod tests;
