//! Unit tests of plugins: the whole way from a command line to what the user sees, without a host.
//!
//! ```
//! use blitz_plugin::testing::{self, FakeHost};
//! # use blitz_plugin::{Call, Failure, Host, Plugin};
//! # struct Greet;
//! # impl Plugin for Greet {
//! #     fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
//! #         if host.pause(std::time::Duration::from_secs(1)) {
//! #             return Err(Failure::new(3, "told to stop"));
//! #         }
//! #         writeln!(host.stdout(), "hello {} from {}", call.args.value("NAME").unwrap_or_default(), call.region)?;
//! #         Ok(0)
//! #     }
//! # }
//!
//! let ran = testing::run!(Greet, ["Ada"]);
//! assert_eq!((ran.status, ran.stdout().as_str()), (0, "hello Ada from testing\n"));
//!
//! // The parser is the one of the command line: what it refuses never reaches the plugin.
//! let ran = testing::run!(Greet, ["--nope"]);
//! assert_eq!(ran.status, 2);
//!
//! // What the host does is said beforehand.
//! let ran = testing::run!(Greet, ["Ada"], FakeHost::default().cancelled_after(std::time::Duration::ZERO));
//! assert_eq!((ran.status, ran.stderr().as_str()), (3, "greet: told to stop\n"));
//! ```
//!
//! Read in this order: [`run!`](macro@run) makes a run and [`Ran`] holds it, [`FakeHost`] is its host (`lends` as plugins see
//! it), [`CannedAnswer`] an HTTP answer, [`FakePath`] a way of probes, [`FakeLoad`] a load test, [`Recorder`] a stream.
//!
//! What a test here cannot show: that the component is small and quick enough, and that the engine's policy lets it
//! go where it wants to go. `blitz plugin test` runs the component itself.

mod host;
mod lends;
mod answer;
mod recorder;
mod path;
mod load;
#[cfg(test)]
mod tests;

use blitz_contract::Manifest;
use blitz_contract::arguments::Declared;
use serde_json::Value;

pub use crate::run_plugin as run;
pub use answer::CannedAnswer;
pub use host::FakeHost;
pub use load::FakeLoad;
pub use path::FakePath;
pub use recorder::Recorder;

use crate::plugin::{Plugin, RawCall, dispatch};

/// Runs a plugin with the `plugin.toml` beside the crate's `Cargo.toml`, as the host would; gives a
/// [`Ran`](crate::testing::Ran).
///
/// `run!(Plugin, ["argument", ..])`, and the host as a third argument where the test needs more than
/// `FakeHost::default()`. Known as `blitz_plugin::testing::run!`.
#[doc(hidden)]
#[macro_export]
macro_rules! run_plugin {
    ($plugin:ty, $args:expr $(,)?) => {
        $crate::testing::run!($plugin, $args, $crate::testing::FakeHost::default())
    };
    ($plugin:ty, $args:expr, $host:expr $(,)?) => {{
        let mut host: $crate::testing::FakeHost = $host;
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.toml"));
        let status = $crate::testing::run::<$plugin>(manifest, &$args, &mut host);
        $crate::testing::Ran { status, host }
    }};
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit status of the command.
    pub status: u8,
    /// Everything that the plugin gave and asked for.
    pub host: FakeHost,
}

impl Ran {
    /// Standard output as text.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.host.stdout_text()
    }

    /// Standard error as text.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.host.stderr_text()
    }

    /// The records of one kind, in order.
    #[must_use]
    pub fn records(&self, kind: &str) -> Vec<&Value> {
        self.host.records(kind)
    }
}

/// Runs a plugin as the host would, with the text of its `plugin.toml`; gives its exit status.
///
/// The plugin has the rights that the manifest asks for, unless [`FakeHost::granted`] says otherwise.
///
/// # Panics
///
/// When the manifest is not valid.
pub fn run<P: Plugin>(manifest: &str, args: &[&str], host: &mut FakeHost) -> u8 {
    let manifest =
        Manifest::from_toml(manifest).unwrap_or_else(|error| panic!("plugin.toml: {error}"));
    host.granted.get_or_insert_with(|| manifest.capabilities.clone());
    let call = RawCall {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        region: host.region.clone(),
        deadline: host.time,
    };
    let declared: Vec<Declared<'_>> = manifest.arguments.iter().map(Into::into).collect();
    dispatch::<P>(&manifest.name, &declared, call, host)
}
