//! Regions: their document in the control database, their databases, and the words that users say for them.

use serde::{Deserialize, Serialize};

use crate::id::BadName;

/// The control database: plugins and regions. Engines read it, all clusters have it.
pub const CONTROL: &str = "blitz";

/// A region's document, `region:<name>` in the control database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Always `region`.
    pub kind: RegionKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The name in ids of jobs and names of databases.
    pub name: String,
    /// Other words for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Which cluster is its home: raised when the home moves. Claims carry it.
    #[serde(default = "first")]
    pub home_epoch: u32,
    /// The number of the database that takes new specs.
    #[serde(default = "first")]
    pub current: u32,
    /// The numbers of all its databases that may hold open jobs, `current` among them.
    #[serde(default = "only_first")]
    pub open: Vec<u32>,
}

/// The `kind` of a region's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionKind {
    /// The only one.
    Region,
}

fn first() -> u32 {
    1
}

fn only_first() -> Vec<u32> {
    vec![1]
}

impl Region {
    /// A new region with one database and the aliases that its name has from the start.
    ///
    /// # Errors
    ///
    /// [`BadName`] when the name cannot stand in the name of a database.
    pub fn new(name: &str) -> Result<Self, BadName> {
        if !is_name(name) {
            return Err(BadName::new(
                name,
                "a region name (a-z, 0-9 and -, a letter first, up to 32; not 'all' or 'any')",
            ));
        }
        let aliases = ALIASES
            .iter()
            .find(|(canonical, _)| *canonical == name)
            .map(|(_, aliases)| aliases.iter().map(|&alias| alias.to_owned()).collect())
            .unwrap_or_default();
        Ok(Self {
            kind: RegionKind::Region,
            blitz: crate::BUILD.to_owned(),
            name: name.to_owned(),
            aliases,
            home_epoch: first(),
            current: first(),
            open: only_first(),
        })
    }

    /// The id of its document.
    #[must_use]
    pub fn document_id(&self) -> String {
        format!("region:{}", self.name)
    }

    /// The databases that engines of the region follow.
    pub fn jobs_databases(&self) -> impl Iterator<Item = String> {
        self.open.iter().map(|n| format!("blitz-jobs-{}-{n}", self.name))
    }

    /// The databases that hold the region's output.
    pub fn output_databases(&self) -> impl Iterator<Item = String> {
        self.open.iter().map(|n| format!("blitz-out-{}-{n}", self.name))
    }

    /// Where the region's engines say that they are there.
    #[must_use]
    pub fn engines_database(&self) -> String {
        format!("blitz-engines-{}", self.name)
    }

    /// Where the region's engines beat while they hold jobs.
    #[must_use]
    pub fn beats_database(&self) -> String {
        beats_database(&self.name)
    }

    /// Whether the user's word means this region.
    #[must_use]
    pub fn is_called(&self, word: &str) -> bool {
        self.name == word || self.aliases.iter().any(|alias| alias == word)
    }
}

/// Where the engines of a region say that they are there.
#[must_use]
pub fn engines_database(region: &str) -> String {
    format!("blitz-engines-{region}")
}

/// Where the engines of a region beat while they hold jobs.
#[must_use]
pub fn beats_database(region: &str) -> String {
    format!("blitz-beats-{region}")
}

/// Whether a text can be a region's name: 1 to 32 of a-z, 0-9 and `-`, a letter first, and not a word that
/// means several regions.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && !matches!(name, "all" | "any")
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The words that a region of this name answers to from its first day: the names of 2011, the provider's,
/// and airports.
const ALIASES: &[(&str, &[&str])] = &[
    ("california", &["us-west-1", "us-ca", "sfo"]),
    ("virginia", &["us-east-1", "us-va", "iad"]),
    ("ireland", &["eu-west-1", "ie", "dub"]),
    ("singapore", &["ap-southeast-1", "sg", "sin"]),
    ("japan", &["ap-northeast-1", "jp", "tokyo", "nrt"]),
    ("oregon", &["us-west-2", "us-or", "pdx"]),
    ("frankfurt", &["eu-central-1"]),
    ("london", &["eu-west-2"]),
    ("sydney", &["ap-southeast-2"]),
    ("saopaulo", &["sa-east-1"]),
    ("mumbai", &["ap-south-1"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_knows_its_words_and_databases() {
        let japan = Region::new("japan").unwrap();
        assert!(japan.is_called("tokyo") && japan.is_called("japan") && !japan.is_called("jap"));
        assert_eq!(Vec::from_iter(japan.jobs_databases()), ["blitz-jobs-japan-1"]);
        assert_eq!(japan.document_id(), "region:japan");
    }

    #[test]
    fn a_name_can_stand_in_a_database_name() {
        for name in ["", "all", "any", "1a", "Japan", "a b", "a_b", "jap\u{e4}n", &"x".repeat(33)] {
            assert!(Region::new(name).is_err(), "{name}");
        }
    }
}
