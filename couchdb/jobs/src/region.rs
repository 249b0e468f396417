//! Regions: their document in the control database, their databases, and the words that users say for them.

mod merge;
mod sealing;

use serde::{Deserialize, Serialize};

use crate::accounts::{ACCOUNTS, AUDIT};
use crate::id::BadName;
use crate::sealing::SealingKey;

/// The control database: plugins, clusters and regions. Engines read it, all clusters have it.
pub const CONTROL: &str = "blitz";

/// A region's document, `region:<name>` in the control database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The cluster in which its jobs are claimed; absent where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Which home it is: raised by 2 when the home moves, or when it was wiped. Claims and specs carry it. Between two of
    /// them is the epoch of engines that went to a hub by themselves, see [`Failover::Safe`].
    #[serde(default = "first")]
    pub home_epoch: u32,
    /// The clusters that have copies of its databases, take its jobs when the home does not answer, and pass them on; the
    /// first is where [`Failover::Safe`] goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hubs: Vec<String>,
    /// Homes that it had and that did not answer when it moved away. What they hold is theirs alone until they answer
    /// again; then they become hubs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
    /// Where its engines are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Who may use it beside the operator, by the names of tenants; none is everybody. Gateways hide it from others, and its
    /// engines do not run what another tenant asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<String>,
    /// The public halves of its keys, oldest first; secrets of command lines are sealed to the newest that was not retired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealing: Vec<SealingKey>,
    /// Where its jobs may go, whoever asks: networks, addresses and hosts as `--allow-target` takes them; none is wherever its
    /// engines' own policy lets them. Gateways refuse what they see to be elsewhere, engines ask it of every connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// What its engines do when the home does not answer.
    #[serde(default)]
    pub failover: Failover,
    /// How often it gets new databases, and how long the former are kept; absent: it keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How many databases take new specs at the same time: `current` and those before it. More than one where engines
    /// times writes are more than one database's feeds can tell.
    #[serde(default = "first")]
    pub lanes: u32,
    /// The number of the newest database that takes new specs.
    #[serde(default = "first")]
    pub current: u32,
    /// The numbers of all its databases that may hold open jobs, `current` among them.
    #[serde(default = "only_first")]
    pub open: Vec<u32>,
}

/// Where something is, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// North of the equator, -90 to 90.
    pub latitude: f64,
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
}

/// What engines do when the home of their region does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failover {
    /// They wait, and the jobs with them.
    #[default]
    Never,
    /// After a while they go to the first hub and run there what may run twice.
    Safe,
}

/// How a region changes its databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// A database takes new specs for so long, in seconds.
    pub every_s: u64,
    /// It is kept for so long after it took the last one, in seconds, and longer while anything in it is open.
    pub keep_s: u64,
}

/// What a database of a region, or of all of them, is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatabaseKind {
    /// [`CONTROL`].
    Control,
    /// Specs and runs: what engines follow.
    Jobs,
    /// What jobs say.
    Output,
    /// That engines are there.
    Engines,
    /// That engines which hold jobs live. Never replicated.
    Beats,
    /// [`ACCOUNTS`].
    Accounts,
    /// [`AUDIT`].
    Audit,
}

impl DatabaseKind {
    /// What a database is for, by its name; `None` for one that is not of blitz.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let of_a_region = [
            ("blitz-jobs-", Self::Jobs),
            ("blitz-out-", Self::Output),
            ("blitz-engines-", Self::Engines),
            ("blitz-beats-", Self::Beats),
        ];
        let mut kinds = of_a_region.into_iter().filter(|(start, _)| name.starts_with(start));
        let of_all = [(CONTROL, Self::Control), (ACCOUNTS, Self::Accounts), (AUDIT, Self::Audit)];
        let of_all = || of_all.into_iter().find(|(of, _)| name == *of).map(|(_, kind)| kind);
        kinds.next().map(|(_, kind)| kind).or_else(of_all)
    }
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
            home: None,
            home_epoch: first(),
            hubs: Vec::new(),
            former: Vec::new(),
            place: None,
            access: Vec::new(),
            sealing: Vec::new(),
            targets: Vec::new(),
            failover: Failover::Never,
            rotation: None,
            lanes: first(),
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

    /// The numbers of the databases that take new specs, newest first: fewer than lanes where older ones are closed already.
    pub fn taking(&self) -> impl Iterator<Item = u32> {
        let lanes = self.lanes.max(1);
        let oldest = self.current.saturating_sub(lanes - 1).max(1);
        let older = self.open.iter().copied().filter(|n| (oldest..self.current).contains(n));
        let mut taking: Vec<u32> = older.chain([self.current]).collect();
        taking.sort_unstable();
        taking.dedup();
        taking.into_iter().rev()
    }

    /// The keys to which secrets may be sealed, newest first.
    pub fn sealing_keys(&self) -> impl Iterator<Item = &SealingKey> {
        self.sealing.iter().rev().filter(|key| !key.retired)
    }

    /// Whether a tenant may use it; no tenant is the operator, who may use all.
    #[must_use]
    pub fn lets_in(&self, tenant: Option<&str>) -> bool {
        let is_listed = |tenant| self.access.iter().any(|name| name == tenant);
        self.access.is_empty() || tenant.is_none_or(is_listed)
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
    fn a_document_of_the_first_version_is_read() {
        let text = r#"{"kind": "region", "blitz": "0.1.0", "name": "japan"}"#;
        let japan: Region = serde_json::from_str(text).unwrap();
        assert_eq!((japan.home_epoch, japan.lanes, japan.current), (1, 1, 1));
        assert_eq!((japan.home, japan.failover, japan.open), (None, Failover::Never, vec![1]));
    }

    #[test]
    fn a_list_of_tenants_keeps_others_out_and_never_the_operator() {
        let open = Region::new("lyon").unwrap();
        let closed = Region { access: vec!["acme".to_owned()], ..open.clone() };
        for (region, tenant, may) in [
            (&open, Some("other"), true),
            (&open, None, true),
            (&closed, Some("acme"), true),
            (&closed, Some("acm"), false),
            (&closed, Some(""), false),
            (&closed, None, true),
        ] {
            assert_eq!(region.lets_in(tenant), may, "{tenant:?}");
        }
    }

    #[test]
    fn new_specs_go_to_as_many_databases_as_there_are_lanes() {
        let open = (1..=5).collect();
        let mut japan = Region { current: 5, open, ..Region::new("japan").unwrap() };
        assert_eq!(Vec::from_iter(japan.taking()), [5]);
        japan.lanes = 3;
        assert_eq!(Vec::from_iter(japan.taking()), [5, 4, 3]);
        japan.lanes = 9;
        assert_eq!(japan.taking().count(), 5);
        japan.open = vec![4, 5];
        assert_eq!(
            Vec::from_iter(japan.taking()),
            [5, 4],
            "the others are dropped, or soon will be"
        );
    }

    #[test]
    fn a_name_can_stand_in_a_database_name() {
        for name in ["", "all", "any", "1a", "Japan", "a b", "a_b", "jap\u{e4}n", &"x".repeat(33)] {
            assert!(Region::new(name).is_err(), "{name}");
        }
    }
}
