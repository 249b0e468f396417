//! Who has which job: heard from the store itself, on a feed of its own, and kept with the times of this program.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blitz_couchdb::{Database, FollowOptions};
use serde_json::Value;
use tokio::time::Instant;

/// The feed's sign of life: after three times as long without one it connects again.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// One state of a job's run. States between two hearings are not told by a feed.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) at: Instant,
    pub(crate) revision: String,
    pub(crate) state: String,
    pub(crate) engine: String,
    pub(crate) incarnation: String,
    pub(crate) attempt: u64,
    pub(crate) reason: String,
}

/// A claim that is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) job: String,
    pub(crate) incarnation: String,
    pub(crate) attempt: u64,
}

/// What was heard of all runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    steps: Arc<Mutex<BTreeMap<String, Vec<Step>>>>,
}

impl Claims {
    /// Follows the runs of a database until the runtime ends.
    pub(crate) fn follow(database: Database) -> Self {
        let claims = Self::default();
        let hears = claims.clone();
        tokio::spawn(async move {
            let mut feed = database.follow_for_ever(FollowOptions {
                include_docs: true,
                heartbeat: HEARTBEAT,
                ..FollowOptions::default()
            });
            loop {
                let change = feed.next().await;
                if let Some(job) = change.id.strip_suffix(":run")
                    && let Ok(Some(document)) = change.document::<Value>()
                {
                    hears.hear(job, document.revision.as_str(), &document.body["run"]);
                }
            }
        });
        claims
    }

    fn hear(&self, job: &str, revision: &str, run: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let claim = if run["claim"].is_object() { &run["claim"] } else { &run["last"] };
        let step = Step {
            at: Instant::now(),
            revision: revision.to_owned(),
            state: text(&run["state"]),
            engine: text(&claim["engine"]),
            incarnation: text(&claim["incarnation"]),
            attempt: claim["attempt"].as_u64().unwrap_or(0),
            reason: text(&run["reason"]),
        };
        let mut steps = self.lock();
        let steps = steps.entry(job.to_owned()).or_default();
        // A feed may repeat itself.
        if steps.iter().all(|known| known.revision != revision) {
            steps.push(step);
        }
    }

    /// All that was heard so far, by the job's id.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<Step>> {
        self.lock().clone()
    }

    /// The live claims of each engine, by its instance id.
    pub(crate) fn live(&self) -> HashMap<String, Vec<Hold>> {
        let mut live: HashMap<String, Vec<Hold>> = HashMap::new();
        for (job, steps) in self.lock().iter() {
            if let Some(step) = steps.last().filter(|step| step.state == "claimed") {
                let (incarnation, attempt) = (step.incarnation.clone(), step.attempt);
                let hold = Hold { job: job.clone(), incarnation, attempt };
                live.entry(step.engine.clone()).or_default().push(hold);
            }
        }
        live
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<Step>>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
