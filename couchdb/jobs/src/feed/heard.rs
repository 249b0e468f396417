//! What is heard of jobs: the events that engines and keepers live on.

use std::sync::Arc;

use blitz_couchdb::{Revision, Sequence};
use serde_json::Value;

use crate::guards::Guards;
use crate::id::{DocumentId, JobId};
use crate::meeting::{Go, Ready};
use crate::read;
use crate::run::{Run, RunDocument};
use crate::spec::{Cancel, Spec};
use crate::writing::{Found, Leaves};

/// One thing heard. Hearing it again changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A job is asked for.
    Spec(Arc<Spec>),
    /// Its run has this state: the leaf that counts.
    Run(JobId, Revision, Run),
    /// Its run has these leaves beside the one that counts; that one may be among them where the job has ended.
    Losers(JobId, Vec<Revision>),
    /// Its run cannot be read by this version, and no end of it is known. Engines leave it alone.
    Unreadable(JobId, Revision),
    /// Its run was deleted: as if nobody had ever claimed it.
    NoRun(JobId),
    /// Somebody cancelled it.
    Cancel(JobId),
    /// Its engine waits for the other tasks of the run.
    Ready(Arc<Ready>),
    /// Who of its run begins.
    Go(JobId, Arc<Go>),
    /// The database of this name is gone, or another has its name: everything heard of it is void. What the other
    /// one has is told after this.
    Replaced(String),
    /// Everything up to here was told before this. At most one in [`super::PLACE_EVERY`].
    Place(Place),
}

/// How far a follower has told of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The database's name.
    pub database: String,
    /// How far.
    pub since: Sequence,
    /// Which database of this name.
    pub instance_start_time: String,
    /// So many of the listings that were asked for were told before this, see [`super::Relist`].
    pub listed: u64,
}

impl Heard {
    /// What a document says; `None` for one that is none of the contest's.
    pub(super) fn of(id: DocumentId, revision: Revision, doc: Value) -> Option<Self> {
        let text = id.to_string();
        match id {
            DocumentId::Spec(job) => {
                let spec: Arc<Spec> = Arc::new(read::document(&text, doc)?);
                if spec.job == job {
                    return Some(Self::Spec(spec));
                }
                tracing::warn!(id = text, "a spec that names another job, ignored");
                None
            }
            DocumentId::Run(job) => Some(match read::document::<RunDocument>(&text, doc) {
                Some(document) => Self::Run(job, revision, document.run),
                None => Self::Unreadable(job, revision),
            }),
            // Whatever else it says: somebody wants the job to stop, and that is the safe side.
            DocumentId::Cancel(job) => {
                if read::document::<Cancel>(&text, doc).is_none() {
                    tracing::warn!(id = text, "taken for a cancel all the same");
                }
                Some(Self::Cancel(job))
            }
            DocumentId::Ready(job) => {
                let ready: Arc<Ready> = Arc::new(read::document(&text, doc)?);
                if ready.job == job {
                    return Some(Self::Ready(ready));
                }
                tracing::warn!(id = text, "a ready that names another job, ignored");
                None
            }
            DocumentId::Go(job) => Some(Self::Go(job, Arc::new(Go::of(&text, doc)))),
            DocumentId::Start(_) | DocumentId::Input(..) | DocumentId::Output(..) => None,
        }
    }

    /// What it means that a document was deleted. A spec, a cancel, a ready or a go that is gone takes nothing back: who heard of
    /// it goes on, and who lists later does not see it.
    pub(super) fn of_deleted(id: DocumentId) -> Option<Self> {
        match id {
            DocumentId::Run(job) => Some(Self::NoRun(job)),
            _ => None,
        }
    }

    /// What the leaves of a run say.
    pub(crate) fn of_leaves(job: JobId, leaves: &Leaves) -> Vec<Self> {
        match leaves.found(Guards::default()) {
            Found::Nothing => vec![Self::NoRun(job)],
            Found::Unreadable(revision) => vec![Self::Unreadable(job, revision.clone())],
            Found::Run(counts, run) => {
                let losers: Vec<Revision> = leaves.losers(Guards::default()).cloned().collect();
                let losers = (!losers.is_empty()).then(|| Self::Losers(job.clone(), losers));
                [Self::Run(job, counts.clone(), run.clone())].into_iter().chain(losers).collect()
            }
        }
    }

    /// The job that it is about.
    pub(super) fn job(&self) -> Option<&JobId> {
        match self {
            Self::Spec(spec) => Some(&spec.job),
            Self::Ready(ready) => Some(&ready.job),
            Self::Go(job, _)
            | Self::Run(job, ..)
            | Self::Losers(job, _)
            | Self::Unreadable(job, _)
            | Self::NoRun(job)
            | Self::Cancel(job) => Some(job),
            Self::Replaced(_) | Self::Place(_) => None,
        }
    }

    /// Whether it is the end of a run.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Run(_, _, run) if run.is_final())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Any JSON, and often something near to what is read.
    fn some_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z0-9]{0,33}".prop_map(Value::from),
            prop_oneof!["run", "spec", "cancel", "claimed", "open", "lost", "done"]
                .prop_map(Value::from),
        ];
        let key = prop_oneof![
            "kind",
            "blitz",
            "run",
            "state",
            "claim",
            "last",
            "attempt",
            "engine",
            "incarnation",
            "silent",
            "epoch",
            "reason",
            "end",
            "job",
            "tasks",
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(key.clone(), inner, 0..8)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_document_is_heard_as_something_or_passed_over(doc in some_json()) {
            let job = JobId::new("japan", 1);
            let revision: Revision = "1-a".parse().unwrap();
            let of = |id| Heard::of(id, revision.clone(), doc.clone());
            let run = of(DocumentId::Run(job.clone())).unwrap();
            prop_assert!(matches!(run, Heard::Run(..) | Heard::Unreadable(..)), "{run:?}");
            prop_assert_eq!(of(DocumentId::Cancel(job.clone())), Some(Heard::Cancel(job.clone())));
            prop_assert!(of(DocumentId::Spec(job.clone())).is_none());
            prop_assert!(of(DocumentId::Ready(job.clone())).is_none());
            let go = of(DocumentId::Go(job.clone()));
            let Some(Heard::Go(_, go)) = go else { panic!("{go:?}") };
            prop_assert!(go.refused.is_some());
            prop_assert!(of(DocumentId::Start(job)).is_none());
        }
    }

    #[test]
    fn a_run_of_a_later_version_with_more_in_it_is_read() {
        let job = JobId::new("japan", 1);
        let doc = json!({"kind": "run", "blitz": "9.0.0", "more": {}, "run": {"state": "open",
            "reason": "x", "more": 1, "last": {"epoch": 1, "attempt": 2, "engine": "e",
            "incarnation": "02".repeat(16), "more": []}}});
        let heard = Heard::of(DocumentId::Run(job), "2-a".parse().unwrap(), doc);
        let Some(Heard::Run(_, _, run)) = heard else { panic!("{heard:?}") };
        assert_eq!((run.state(), run.claim().unwrap().attempt), ("open", 2));
    }
}
