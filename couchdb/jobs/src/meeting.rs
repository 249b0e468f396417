//! `<job>:ready` and `<job>:go`: how the tasks of one run begin together, where their plugin needs it (a load test).
//!
//! An engine that has all that its task needs writes its ready, once. Who is there when the time has come is decided by
//! the keeper, see [`crate::gather`]: the go in the database of the run's first task is the decision, and those of
//! the other tasks are copies of what stands there. Both are create-only, and never deleted. No two clocks are
//! compared: everybody begins so long after hearing the go.

use std::sync::Arc;
use std::time::Duration;

use blitz_couchdb::{Database, Error, Put, PutOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claim::CLAIM_TIMEOUT;
use crate::id::{DocumentId, Incarnation, JobId};
use crate::read;
use crate::run::Claim;

/// The document `<job>:ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Always `ready`.
    pub kind: ReadyKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The job.
    pub job: JobId,
    /// Which attempt waits.
    pub attempt: u32,
    /// The engine's instance id.
    pub engine: String,
    /// Which start of that engine.
    pub incarnation: Incarnation,
}

/// The `kind` of a ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyKind {
    /// The only one.
    Ready,
}

impl Ready {
    /// The word of who has this claim.
    #[must_use]
    pub fn new(job: JobId, claim: &Claim) -> Self {
        Self {
            kind: ReadyKind::Ready,
            blitz: crate::BUILD.to_owned(),
            job,
            attempt: claim.attempt,
            engine: claim.engine.clone(),
            incarnation: claim.incarnation.clone(),
        }
    }

    /// Creates it: whether it stands, or that of an earlier attempt. Doing it again is harmless.
    ///
    /// # Errors
    ///
    /// What the store answers; after [`Error::Timeout`] it may be stored.
    pub async fn write(&self, jobs: &Database) -> Result<Stands, Error> {
        let id = DocumentId::Ready(self.job.clone()).to_string();
        let options = PutOptions { quorum: None, timeout: Some(CLAIM_TIMEOUT) };
        match jobs.put(&id, None, self, options).await? {
            // Fewer copies than a majority took it, and will give it to the others.
            Put::Created(_) | Put::Accepted(_) => return Ok(Stands::Own),
            Put::Conflict => {}
        }
        // With an earlier try of ours, or with another attempt.
        let found = jobs.get::<Value>(&id).await?;
        let found = found.and_then(|found| read::document::<Self>(&id, found.body));
        Ok(match found {
            Some(found) if found == *self => Stands::Own,
            found => Stands::Others(found.map(|found| found.engine)),
        })
    }
}

/// Whose ready stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// This one.
    Own,
    /// That of another attempt, on this engine; or one that cannot be read.
    Others(Option<String>),
}

/// The document `<job>:go`. It does not name the job that it stands at: the one of the first task decides for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Go {
    /// Always `go`.
    pub kind: GoKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The tasks that begin, in the order of the run: a task's share is its place here.
    pub members: Vec<JobId>,
    /// The other tasks of the run.
    #[serde(default)]
    pub missing: Vec<JobId>,
    /// They begin so long after hearing it, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Nobody begins, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The `kind` of a go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoKind {
    /// The only one.
    Go,
}

impl Go {
    /// These begin, so long after they hear it.
    #[must_use]
    pub fn begin(members: Vec<JobId>, missing: Vec<JobId>, delay: Duration) -> Self {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let blitz = crate::BUILD.to_owned();
        Self { kind: GoKind::Go, blitz, members, missing, delay_ms, refused: None }
    }

    /// Nobody begins.
    #[must_use]
    pub fn refuse(missing: Vec<JobId>, reason: String) -> Self {
        Self { refused: Some(reason), ..Self::begin(Vec::new(), missing, Duration::ZERO) }
    }

    /// How long after hearing it the members begin.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// The place of a task among those that begin.
    #[must_use]
    pub fn place(&self, job: &JobId) -> Option<usize> {
        self.members.iter().position(|member| member == job)
    }

    /// Reads the go of a job, if it is there. One that cannot be read is one: nobody can write another.
    ///
    /// # Errors
    ///
    /// What the store answers.
    pub async fn read(jobs: &Database, job: &JobId) -> Result<Option<Arc<Self>>, Error> {
        let id = DocumentId::Go(job.clone()).to_string();
        let found = jobs.get::<Value>(&id).await?;
        Ok(found.map(|found| Arc::new(Self::of(&id, found.body))))
    }

    /// What a go says, whatever stands in it.
    pub(crate) fn of(id: &str, body: Value) -> Self {
        read::document(id, body).unwrap_or_else(|| {
            let reason = format!("{id} cannot be read by blitz {}", crate::BUILD);
            Self::refuse(Vec::new(), reason)
        })
    }

    /// Creates the go of a job; what stands there then: this one, or one that was there before. `None` when the store
    /// did not say, and it is to be tried again.
    pub async fn write(self: Arc<Self>, jobs: &Database, job: &JobId) -> Option<Arc<Self>> {
        let id = DocumentId::Go(job.clone()).to_string();
        let options = PutOptions { quorum: None, timeout: Some(CLAIM_TIMEOUT) };
        match jobs.put(&id, None, self.as_ref(), options).await {
            Ok(Put::Created(_)) => return Some(self),
            // Fewer copies than a majority may have taken it, beside another: what is read stands.
            Ok(Put::Accepted(_) | Put::Conflict) => {}
            Err(error) => tracing::warn!(id, %error, "no clear answer to a go, looking for it"),
        }
        let found = Self::read(jobs, job).await;
        found.inspect_err(|error| tracing::warn!(id, %error, "cannot read a go")).ok().flatten()
    }
}
