//! What an operator wants: `fleet.toml`, one file a fleet.

use serde::Deserialize;

/// A fleet: the engines of one or several regions that one operator runs. Its name stands in the tag
/// [`TAG_FLEET`](crate::instance::TAG_FLEET) of its instances.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Lower-case letters, digits and dashes, up to [`NAME_CHARS_MAX`].
    pub name: String,
    /// What is wanted of each region.
    #[serde(rename = "region")]
    pub regions: Vec<FleetRegion>,
}

/// Characters of a fleet's name: it stands in tags, paths and client tokens.
pub const NAME_CHARS_MAX: usize = 32;

/// What is wanted of one region.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FleetRegion {
    /// The blitz region.
    pub name: String,
    /// Where its machines are, in the provider's words: of EC2 the AWS region.
    pub place: String,
    /// Jobs that one engine runs at a time; its machines are as large as that needs.
    #[serde(default = "slots")]
    pub slots: u32,
    /// The fewest engines, also when nothing is to be done.
    #[serde(default)]
    pub min: u32,
    /// The most engines, whatever waits.
    pub max: u32,
    /// Engines beyond what the waiting jobs need, ready for the next ones.
    #[serde(default)]
    pub warm: u32,
    /// Machines that the provider may take back are launched first; others when it has none.
    #[serde(default)]
    pub spot: bool,
    /// How long nothing may be drained after a launch or a drain, in seconds: queues go up and down faster than machines boot.
    #[serde(default = "cool_down_s")]
    pub cool_down_s: u64,
    /// An instance without an engine so long after its launch is an orphan, in seconds.
    #[serde(default = "registration_s")]
    pub registration_s: u64,
    /// The launch template of EC2, by name; its `$Default` version is launched.
    #[serde(default)]
    pub launch_template: Option<String>,
}

fn slots() -> u32 {
    4
}

/// Five minutes.
fn cool_down_s() -> u64 {
    300
}

/// Five minutes: a boot takes one, and a slow one two.
fn registration_s() -> u64 {
    300
}
