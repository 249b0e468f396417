//! What was asked: the create-only document `<job>:spec`, and `<job>:cancel` beside it.

use std::time::Duration;

use blitz_contract::{Limits, Retry};
use serde::{Deserialize, Serialize};

use crate::id::JobId;

/// The job as the gateway admitted it. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Always `spec`.
    pub kind: SpecKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The id, again, so that a document can be checked against its place.
    pub job: JobId,
    /// What all tasks of one command line share.
    pub run: String,
    /// The ids of all tasks of the run, this one among them: a run that was half submitted can be seen.
    pub tasks: Vec<JobId>,
    /// Who asked; absent: the operator, who has no tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// On which terms it was admitted: engines hold the job to them.
    #[serde(default)]
    pub terms: Terms,
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The sha256 of the component in hexadecimal: the engine runs these bytes and no others.
    pub sha256: String,
    /// The epoch of the region's home for which it was admitted, see [`crate::region::Region::home_epoch`].
    #[serde(default = "first_epoch")]
    pub home_epoch: u32,
    /// As the user typed them; a word with a secret in it is masked, and is in `sealed`.
    pub args: Vec<String>,
    /// The words with secrets, for engines of the region alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Sealed>,
    /// Whether a second engine may run it.
    pub retry: Retry,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// How long it may take, waiting included, in milliseconds.
    pub timeout_ms: u64,
    /// How long it may wait for an engine, in milliseconds.
    pub queue_timeout_ms: u64,
    /// The user's inputs, in the order in which their bytes stand in the `in` documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// When the gateway admitted it: for people and the order of lists; nothing is decided by it. Milliseconds
    /// since 1970.
    pub created_at_ms: u64,
}

fn first_epoch() -> u32 {
    1
}

/// What the gateway has admitted beside the plugin's own limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The user of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The id of the key that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id of the request by which it came: what gateway, engine and audit call it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Virtual users of a load test, over all tasks of the run: whichever of them begin, they divide its plan exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_users: Option<u64>,
    /// Requests in a second of a load test, over all tasks of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_rate_per_s: Option<u64>,
    /// How long the load tests of this task may last, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<u64>,
    /// Bytes that this task may say; beside what its plugin asks for the smaller counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// The targets that a load test may have beside those of the engine's own policy, each with what proves that it may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
}

/// What proves that a tenant may load a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The host, as URLs name it; with a port where it is not the scheme's own.
    pub host: String,
    /// What must be found there while the test runs. Absent: an operator has said so, and nothing is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// A word of the command line that only engines of the region can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which of `args`, from 0.
    pub word: usize,
    /// The id of the region's key that it is sealed to.
    pub key: String,
    /// The sealed text, in base64.
    pub sealed: String,
}

/// The `kind` of a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecKind {
    /// The only one.
    Spec,
}

/// One input: a file of the user's machine, or stdin as `-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// As the command line named it.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// The content in base64 when it is small enough to stand in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Otherwise the numbers of its `in` documents: the first, and how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<(u32, u32)>,
}

/// A piece of a large input, `<job>:in.<n>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputPiece {
    /// Always `in`.
    pub kind: InputKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// At most [`INPUT_PIECE_BYTES`], in base64.
    pub base64: String,
}

/// The `kind` of a piece of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// The only one.
    In,
}

/// All inputs of one job together, in bytes: what a person attaches to a command. A store's document limit
/// (8,000,000 bytes) does not bind it, since larger inputs are cut into pieces.
pub const INPUTS_BYTES_MAX: usize = 32 << 20;

/// Inputs of up to this many bytes together stand in the spec itself: one write less.
pub const INPUTS_INLINE_BYTES_MAX: usize = 64 << 10;

/// Bytes in one piece of a large input: far below the store's document limit, few enough writes.
pub const INPUT_PIECE_BYTES: usize = 512 << 10;

/// Somebody wants the job to stop: the create-only document `<job>:cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Always `cancel`.
    pub kind: CancelKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The job.
    pub job: JobId,
}

/// The `kind` of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelKind {
    /// The only one.
    Cancel,
}

impl Cancel {
    /// The document that cancels `job`. Two of them are equal: cancelling twice is cancelling.
    #[must_use]
    pub fn new(job: JobId) -> Self {
        Self { kind: CancelKind::Cancel, blitz: crate::BUILD.to_owned(), job }
    }
}

impl Spec {
    /// How long the job may take, waiting included.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// How many tasks of its run are in its region: each goes to another engine.
    #[must_use]
    pub fn tasks_in_region(&self) -> usize {
        self.tasks.iter().filter(|task| task.region() == self.job.region()).count()
    }

    /// How long it may wait for an engine.
    #[must_use]
    pub fn queue_timeout(&self) -> Duration {
        Duration::from_millis(self.queue_timeout_ms)
    }
}

#[cfg(test)]
impl Spec {
    /// A job of a plugin with the digest `abc`, with the usual time-outs.
    pub(crate) fn sample(job: &JobId, retry: Retry) -> Self {
        Self {
            kind: SpecKind::Spec,
            blitz: crate::BUILD.to_owned(),
            job: job.clone(),
            run: "r".to_owned(),
            tasks: vec![job.clone()],
            plugin: "p".to_owned(),
            version: "0.1.0".to_owned(),
            sha256: "abc".to_owned(),
            home_epoch: 1,
            args: Vec::new(),
            retry,
            limits: Limits::default(),
            timeout_ms: 60_000,
            queue_timeout_ms: 10_000,
            tenant: None,
            terms: Terms::default(),
            sealed: Vec::new(),
            inputs: Vec::new(),
            created_at_ms: 0,
        }
    }
}
