//! What an operator wants: `fleet.toml`, one file a fleet.
//!
//! ```
//! let fleet = blitz_boot_core::fleet::Fleet::parse(
//!     r#"
//!     name = "main"
//!
//!     [[region]]
//!     name = "virginia"
//!     place = "us-east-1"
//!     max = 20
//!     spot = true
//!     launch-template = "blitz-engine"
//! "#,
//! )?;
//! assert_eq!(fleet.regions[0].slots, 100);
//! # Ok::<(), blitz_boot_core::fleet::BadFleet>(())
//! ```

use std::collections::BTreeSet;

use serde::Deserialize;

/// A fleet: the engines of one or several regions that one operator runs. Its name stands in the tag
/// [`TAG_FLEET`](crate::instance::TAG_FLEET) of its instances.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Lower-case letters, digits and dashes, a letter first, up to [`NAME_CHARS_MAX`]. Who gives a fleet another name leaves
    /// its machines to nobody: they carry the old one.
    pub name: String,
    /// What is wanted of each region, 1 to [`REGIONS_MAX`] of them.
    #[serde(rename = "region", default)]
    pub regions: Vec<FleetRegion>,
}

/// What is wanted of one region.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FleetRegion {
    /// The blitz region: lower-case letters, digits and dashes, a letter first, up to [`NAME_CHARS_MAX`].
    pub name: String,
    /// Where its machines are, in the provider's words: of EC2 the AWS region. Up to [`PLACE_CHARS_MAX`].
    pub place: String,
    /// Jobs that one engine runs at a time, as `--slots` of `blitz engine` and of user data; its machines are as large as that
    /// needs. 1 to [`SLOTS_MAX`], and as there 100 if not given.
    #[serde(default = "slots")]
    pub slots: u32,
    /// The fewest engines, also when nothing is to be done; 0 if not given, which lets the region fall to none.
    #[serde(default)]
    pub min: u32,
    /// The most machines, whatever waits: those that boot or drain, or have lost their engine, are counted too, for they are
    /// paid. 0 to [`ENGINES_MAX`]; 0 takes the region's engines down: all are drained, also those that have jobs, and none is
    /// launched.
    pub max: u32,
    /// Engines beyond what the waiting jobs need, ready for the next ones; 0 if not given.
    #[serde(default)]
    pub warm: u32,
    /// Machines that the provider may take back are launched first; others when it has none, or a quota of the
    /// account lets no more.
    #[serde(default)]
    pub spot: bool,
    /// How long nothing may be drained after a launch or a drain, in seconds, up to [`COOL_DOWN_S_MAX`]: queues go up and down
    /// faster than machines boot. 300 if not given.
    #[serde(default = "cool_down_s")]
    pub cool_down_s: u64,
    /// An instance without an engine so long after its launch is an orphan, in seconds, 1 to [`REGISTRATION_S_MAX`]. 300 if not
    /// given.
    #[serde(default = "registration_s")]
    pub registration_s: u64,
    /// The launch template of EC2, by name; its `$Latest` version is launched, which is what the last update of its stack made.
    #[serde(default)]
    pub launch_template: Option<String>,
}

/// Characters of a fleet's or a region's name: they stand in tags, paths and documents' ids.
pub const NAME_CHARS_MAX: usize = 32;
/// Regions of a fleet: more than any provider has.
pub const REGIONS_MAX: usize = 100;
/// Machines of a region: ten pages of a listing, and more than a cluster's feeds carry. A slip of the keyboard is to be
/// refused and not to be paid.
pub const ENGINES_MAX: u32 = 10_000;
/// Slots of an engine: more than one process runs well.
pub const SLOTS_MAX: u32 = 1_000;
/// Seconds of a cool-down: a day, after which machines leave by themselves.
pub const COOL_DOWN_S_MAX: u64 = 86_400;
/// Seconds until an engine must have registered: two hours of a machine that does nothing are paid for each failed boot.
pub const REGISTRATION_S_MAX: u64 = 7_200;
/// Characters of a place.
pub const PLACE_CHARS_MAX: usize = 64;
/// Characters of a launch template's name, as EC2 has it.
pub const TEMPLATE_CHARS_MAX: usize = 128;
/// Bytes of the file: [`REGIONS_MAX`] regions with all keys and much comment.
pub const FILE_BYTES_MAX: usize = 256 << 10;

/// What is wrong with a `fleet.toml`, all of it: a line for each, which names key, value, limit and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct BadFleet {
    /// The lines.
    pub problems: Vec<String>,
}

impl Fleet {
    /// Reads and checks a `fleet.toml`.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it, at once.
    pub fn parse(text: &str) -> Result<Self, BadFleet> {
        if text.len() > FILE_BYTES_MAX {
            return Err(BadFleet::of(format!(
                "the file has {} bytes, and may have {FILE_BYTES_MAX}: make it several fleets",
                text.len()
            )));
        }
        let fleet: Self = toml::from_str(text).map_err(|error| {
            let text = error.to_string();
            BadFleet::of(format!(
                "{}\na fleet has a name and [[region]] tables; the keys of those are {}",
                text.trim_end(),
                REGION_KEYS.join(", ")
            ))
        })?;
        let problems = fleet.problems();
        if problems.is_empty() { Ok(fleet) } else { Err(BadFleet { problems }) }
    }

    /// The region of this name.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<&FleetRegion> {
        self.regions.iter().find(|region| region.name == name)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !is_name(&self.name) {
            problems.push(format!("name = {:?} {NAME_RULE}", cut(&self.name)));
        }
        if !(1..=REGIONS_MAX).contains(&self.regions.len()) {
            problems.push(format!(
                "there are {} [[region]] tables, and 1 to {REGIONS_MAX} may be: name each region in one of its own",
                self.regions.len()
            ));
        }
        let mut names = BTreeSet::new();
        for region in &self.regions {
            if !names.insert(&region.name) {
                problems.push(format!(
                    "region {0:?} is there twice: put both into one [[region]] table, or give one another name",
                    cut(&region.name)
                ));
            }
            region.check(&mut problems);
        }
        problems
    }
}

impl BadFleet {
    fn of(problem: String) -> Self {
        Self { problems: vec![problem] }
    }
}

impl FleetRegion {
    fn check(&self, problems: &mut Vec<String>) {
        let name = cut(&self.name);
        let mut wrong = |what: String| problems.push(format!("region {name:?}: {what}"));
        if !is_name(&self.name) {
            wrong(format!("name = {name:?} {NAME_RULE}"));
        } else if RESERVED.contains(&self.name.as_str()) {
            wrong(format!("name = {name:?} means several regions: give it a name of its own"));
        }
        if !is_word(&self.place, PLACE_CHARS_MAX, "-_.:/") {
            wrong(format!(
                "place = {:?} is no place of a provider, such as \"us-east-1\" (letters, digits and -_.:/, up to {PLACE_CHARS_MAX})",
                cut(&self.place)
            ));
        }
        let least = |key: &str, value: u64, least: u64, most: u64, next: &str| {
            (!(least..=most).contains(&value))
                .then(|| format!("{key} = {value} is not within {least} to {most}: {next}"))
        };
        let spread = "spread the jobs over several regions, or use smaller machines";
        let numbers = [
            least("slots", self.slots.into(), 1, SLOTS_MAX.into(), spread),
            least(
                "max",
                self.max.into(),
                0,
                ENGINES_MAX.into(),
                "make several regions; 0 drains all engines",
            ),
            least(
                "cool-down-s",
                self.cool_down_s,
                0,
                COOL_DOWN_S_MAX,
                "machines that nobody needs are paid for so long",
            ),
            least(
                "registration-s",
                self.registration_s,
                1,
                REGISTRATION_S_MAX,
                "300 is enough for a slow boot",
            ),
        ];
        numbers.into_iter().flatten().for_each(&mut wrong);
        if self.min > self.max {
            wrong(format!(
                "min = {} is above max = {}: lower one, or raise the other",
                self.min, self.max
            ));
        }
        if self.warm > self.max {
            wrong(format!(
                "warm = {} is above max = {}: lower one, or raise the other",
                self.warm, self.max
            ));
        }
        if let Some(template) = &self.launch_template
            && (template.len() < 3 || !is_word(template, TEMPLATE_CHARS_MAX, "()./_-"))
        {
            wrong(format!(
                "launch-template = {:?} is no name of a launch template (letters, digits and ()./_-, 3 to {TEMPLATE_CHARS_MAX}): name the one that the stack made",
                cut(template)
            ));
        }
    }
}

/// What may stand in a `[[region]]` table, for who wrote something else; the first three must.
const REGION_KEYS: [&str; 10] = [
    "name",
    "place",
    "max",
    "min",
    "warm",
    "slots",
    "spot",
    "cool-down-s",
    "registration-s",
    "launch-template",
];

/// Words of the command line that mean several regions.
const RESERVED: [&str; 2] = ["all", "any"];

const NAME_RULE: &str =
    "is no name: it may have a-z, 0-9 and -, a letter first, up to 32 characters: choose another";

/// As regions are named everywhere in blitz.
fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_word(text: &str, chars_max: usize, more: &str) -> bool {
    (1..=chars_max).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// As much of a value as a message shows.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

fn slots() -> u32 {
    100
}

/// Five minutes.
fn cool_down_s() -> u64 {
    300
}

/// Five minutes: a boot takes one, and a slow one two.
fn registration_s() -> u64 {
    300
}

#[cfg(test)]
mod tests;
