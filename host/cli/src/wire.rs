//! What the gateway's API v1 says and hears, as this client reads and writes it.
//!
//! An older client meets a newer gateway: unknown fields, events and states are passed over, never
//! refused. Paths and meanings are in the gateway's own documentation.
//!
//! `events` is what is told of a job while it lives.

pub(crate) mod events;

use blitz_contract::{Exit, Manifest};
use serde::{Deserialize, Serialize};

pub(crate) use events::{
    End, Event, Incomplete, JobState, Outage, Output, Restart, State, Unreachable,
};

/// `GET /v1/plugins/{name}`: the version of a plugin that a job would get.
#[derive(Debug, Deserialize)]
pub(crate) struct PluginInfo {
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) sha256: String,
    pub(crate) manifest: Manifest,
}

/// `POST /v1/jobs`: one command for one or several regions.
#[derive(Serialize)]
pub(crate) struct Submission<'a> {
    pub(crate) plugin: &'a str,
    /// The version whose manifest the arguments were checked against.
    pub(crate) version: &'a str,
    /// The file that it must be. A gateway that does not know this field refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<&'a str>,
    pub(crate) args: &'a [String],
    pub(crate) regions: &'a [String],
    /// Distinct engines in each region.
    pub(crate) engines: u32,
    pub(crate) inputs: Vec<Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue_timeout_ms: Option<u64>,
    pub(crate) detached: bool,
}

/// A file of the user's machine that goes with the job; `-` is stdin.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) base64: String,
}

/// The answer to a [`Submission`]: one job for each region and engine.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Submitted {
    pub(crate) run: String,
    pub(crate) plugin: String,
    pub(crate) version: String,
    pub(crate) jobs: Vec<SubmittedJob>,
    /// What of the request was read otherwise than it may have been meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// One job of a run.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct SubmittedJob {
    pub(crate) id: String,
    pub(crate) region: String,
    /// The word that the user typed for the region.
    #[serde(default)]
    pub(crate) asked: String,
}

/// A refusal's body.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Refusal {
    /// The code, as `unknown_region`.
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) reason: String,
    /// The known word that is nearest to the unknown one.
    #[serde(default)]
    pub(crate) suggestion: Option<String>,
    #[serde(default)]
    pub(crate) known: Vec<String>,
    /// When it may be asked again, from the header `Retry-After`.
    #[serde(skip)]
    pub(crate) retry_after: Option<std::time::Duration>,
}

/// `GET /v1/regions`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Regions {
    pub(crate) regions: Vec<Region>,
}

/// A region and who works in it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Region {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    #[serde(default)]
    pub(crate) engines: u64,
    #[serde(default)]
    pub(crate) slots: u64,
    /// The cluster in which its jobs are claimed; absent where there is only one.
    #[serde(default)]
    pub(crate) home: Option<String>,
    /// The clusters that have copies.
    #[serde(default)]
    pub(crate) hubs: Vec<String>,
    /// Since when its home does not answer.
    #[serde(default)]
    pub(crate) unreachable_since_ms: Option<u64>,
}

/// `GET /v1/engines`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Engines {
    pub(crate) engines: Vec<Engine>,
}

/// An engine that registered.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Engine {
    pub(crate) id: String,
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) build: String,
    #[serde(default)]
    pub(crate) slots: u64,
    /// `name@version` each.
    #[serde(default)]
    pub(crate) plugins: Vec<String>,
    /// The machine that it is on, where a provider tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<Machine>,
    #[serde(default)]
    pub(crate) seen_ms_ago: Option<u64>,
}

/// What a provider says of an engine's machine.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) instance_type: String,
    #[serde(default)]
    pub(crate) zone: String,
    #[serde(default)]
    pub(crate) is_spot: bool,
}

/// `GET /v1/plugins`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plugins {
    pub(crate) plugins: Vec<Plugin>,
}

/// One published version of a plugin.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) sha256: String,
    #[serde(default)]
    pub(crate) size_bytes: u64,
    #[serde(default)]
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    #[serde(default)]
    pub(crate) retry: String,
    #[serde(default)]
    pub(crate) carrier: String,
    /// The publisher's; absent for what is built in.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// The only regions that have it; none is all.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Why it was taken back, if it was.
    #[serde(default)]
    pub(crate) yanked: Option<String>,
    #[serde(default)]
    pub(crate) published_at_ms: Option<u64>,
    /// The regions that may run it.
    #[serde(default)]
    pub(crate) regions: Vec<RegionReady>,
}

/// Which engines of a region can run a version.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct RegionReady {
    pub(crate) name: String,
    pub(crate) engines: usize,
    pub(crate) ready: usize,
    #[serde(default)]
    pub(crate) refused: Vec<RefusedBy>,
}

/// An engine that does not run a version.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct RefusedBy {
    pub(crate) engine: String,
    pub(crate) reason: String,
}

/// `PUT /v1/plugins/{name}/{version}`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Published {
    /// False when the same release was there already.
    pub(crate) new: bool,
    #[serde(flatten)]
    pub(crate) plugin: Plugin,
}

/// The answer to a yank or a promotion.
#[derive(Debug, Deserialize)]
pub(crate) struct Marked {
    /// `name@version`.
    pub(crate) plugin: String,
    /// False when it was said before.
    pub(crate) new: bool,
}

/// `GET /v1/jobs`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
    /// The regions whose jobs are not among them, as no cluster of theirs answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unreachable: Vec<String>,
}

/// `GET /v1/jobs/{id}`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) run: String,
    pub(crate) region: String,
    pub(crate) plugin: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) exit: Option<Exit>,
    #[serde(default)]
    pub(crate) engine: Option<String>,
    #[serde(default)]
    pub(crate) created_at_ms: Option<u64>,
    #[serde(default)]
    pub(crate) duration_ms: Option<u64>,
}

/// `DELETE /v1/jobs/{id}`.
#[derive(Debug, Deserialize)]
pub(crate) struct Cancelled {
    pub(crate) state: String,
}

/// A join token that was made: a secret.
#[derive(Deserialize)]
pub(crate) struct JoinToken {
    pub(crate) join_token: String,
}

/// An engine whose right was taken back.
#[derive(Debug, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) engine: String,
    pub(crate) new: bool,
}
