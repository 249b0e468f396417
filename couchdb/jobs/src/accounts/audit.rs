//! `audit:<tenant>:<ulid>`: what was done, by whom and from where. Created once, never changed, and deleted by nobody of ours.
//!
//! Ids sort by time within a tenant, so that the newest entries of one are a range of `_all_docs` and need no view. What
//! becomes of a job stands beside its submission: the submission of a run has the ULID of its first task, and the end of a
//! task the ULID of the task with `.ended` behind it. Every gateway that hears an end writes the same document, and all but
//! the first are told of a conflict.
//!
//! *That no admitted job is missing* follows from two documents and not from one: a spec, which is acknowledged before the
//! caller is answered, has tenant, user, key, request and masked arguments itself; the entry is written right behind it,
//! and adds from where it came. Who kills a gateway between the two finds the job in its spec and in the entry of its end.

use blitz_contract::Exit;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::id::JobId;
use crate::run::Run;
use crate::spec::Spec;

/// The tenant in ids of what the operator did, who has none. No tenant can be called so.
pub const OPERATOR: &str = "-";

/// Characters of one text of an entry: a reason, a path, a target. More says no more to who reads.
pub const TEXT_CHARS_MAX: usize = 300;

/// Bytes of all arguments of one entry: an entry stays small beside its job, whose spec has them whole.
pub const ARGS_BYTES_MAX: usize = 2048;

/// Words of one list of an entry: as many tasks as a run may have.
pub const WORDS_MAX: usize = 100;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Always `audit`.
    pub kind: AuditKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// When, by the clock of the gateway; of an end, when its job was admitted and how long it ran. Milliseconds since 1970.
    pub at_ms: u64,
    /// The gateway that was asked. An end has none: it is the same whoever writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The id of the request, as the caller was told it and as logs have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Who.
    pub who: Who,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What.
    pub deed: Deed,
}

/// The `kind` of an [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// The only one.
    Audit,
}

/// Who did it. Without a tenant: the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The user of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The id of the key that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Deed {
    /// Jobs were admitted.
    Submit {
        /// The run.
        run: String,
        /// Its jobs.
        jobs: Vec<String>,
        /// The plugin's name.
        plugin: String,
        /// Its version.
        version: String,
        /// The regions.
        regions: Vec<String>,
        /// The command line, with `***` for secrets.
        args: Vec<String>,
        /// The hosts and URLs that it names.
        targets: Vec<String>,
    },
    /// A request was refused.
    Refuse {
        /// Which: `jobs.submit` and the like.
        action: String,
        /// The path that was asked for.
        path: String,
        /// The status of the answer.
        status: u16,
        /// The code of the refusal.
        error: String,
        /// The sentence that the caller got.
        reason: String,
        /// The plugin, where one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plugin: Option<String>,
        /// The regions, as they were named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        regions: Vec<String>,
        /// The command line, with `***` for secrets.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Refusals of the tenant before this one that have no entry: they came too fast.
        #[serde(default, skip_serializing_if = "is_zero")]
        left_out: u64,
    },
    /// Something else was changed: a key, a plan, a plugin, a target, a token of an engine.
    Change {
        /// What was done to what: `jobs.cancel`, `keys.create`.
        action: String,
        /// The path of the request, which names it.
        path: String,
        /// The status of the answer.
        status: u16,
        /// Of what, where the path does not say it: the name of a tenant, the id of a key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    /// A job has ended.
    Ended {
        /// The job.
        job: String,
        /// Its run.
        run: String,
        /// The plugin's name.
        plugin: String,
        /// Its version.
        version: String,
        /// How: `done`, `failed`, `cancelled`, `expired`, `lost`, `poison`.
        state: String,
        /// The status of the plugin.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u8>,
        /// Why there is no status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The engine that ran it, or had it last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engine: Option<String>,
        /// How long it ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Who {
    /// Who asked for a job.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let (user, key) = (spec.terms.user.clone(), spec.terms.key.clone());
        Self { tenant: spec.tenant.clone(), user, key }
    }

    /// The tenant as it stands in ids.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or(OPERATOR)
    }
}

impl Entry {
    /// The end of a job, the same whoever hears of it; `None` while it has none.
    #[must_use]
    pub fn of_end(spec: &SpecFacts, run: &Run) -> Option<(String, Self)> {
        if !run.is_final() {
            return None;
        }
        let end = run.end();
        let (status, stopped) = match end.map(|end| &end.exit) {
            Some(Exit::Status(status)) => (Some(*status), None),
            Some(Exit::Stopped(stopped)) => (None, Some(stopped.to_string())),
            None => (None, None),
        };
        let reason = stopped.or_else(|| run.reason().map(str::to_owned));
        let duration_ms = end.map(|end| end.duration_ms);
        let SpecFacts { job, run: of_run, plugin, version, who, request, created_at_ms } = spec;
        let entry = Self {
            kind: AuditKind::Audit,
            blitz: crate::BUILD.to_owned(),
            at_ms: created_at_ms.saturating_add(duration_ms.unwrap_or(0)),
            gateway: None,
            request: request.clone(),
            who: who.clone(),
            from: None,
            deed: Deed::Ended {
                job: job.to_string(),
                run: of_run.clone(),
                plugin: plugin.clone(),
                version: version.clone(),
                state: run.state().to_owned(),
                status,
                reason: reason.map(|reason| text(&reason)),
                engine: run.claim().map(|claim| claim.engine.clone()),
                duration_ms,
            },
        };
        let (place, tenant) = (ulid_of(job), who.tenant());
        Some((format!("audit:{tenant}:{place}.ended"), entry))
    }
}

/// What an entry of a job's end needs of its spec, which may be a thousand times as large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFacts {
    /// The job.
    pub job: JobId,
    run: String,
    plugin: String,
    version: String,
    who: Who,
    request: Option<String>,
    created_at_ms: u64,
}

impl SpecFacts {
    /// Those of a spec.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        Self {
            job: spec.job.clone(),
            run: spec.run.clone(),
            plugin: spec.plugin.clone(),
            version: spec.version.clone(),
            who: Who::of(spec),
            request: spec.terms.request.clone(),
            created_at_ms: spec.created_at_ms,
        }
    }
}

/// The id of the entry of a run that was admitted: its submission is told once, however often it is written.
#[must_use]
pub fn submit_id(tenant: &str, run: &str) -> String {
    format!("audit:{tenant}:{run}")
}

/// A new id for something that happens now.
#[must_use]
pub fn new_id(tenant: &str) -> String {
    format!("audit:{tenant}:{}", new_ulid())
}

/// A new ULID, as ids of blitz have it.
#[must_use]
pub fn new_ulid() -> String {
    Ulid::generate().to_string().to_ascii_lowercase()
}

/// The ids of a tenant's entries from this time on: the lowest, and one above the highest.
#[must_use]
pub fn range(tenant: &str, since_ms: u64) -> (String, String) {
    let lowest = Ulid::from_parts(since_ms, 0).to_string().to_ascii_lowercase();
    (format!("audit:{tenant}:{lowest}"), format!("audit:{tenant};"))
}

/// The tenant that an entry's id names.
#[must_use]
pub fn tenant_of(id: &str) -> Option<&str> {
    id.strip_prefix("audit:")?.split_once(':').map(|(tenant, _)| tenant)
}

fn ulid_of(job: &JobId) -> &str {
    job.as_str().rsplit('-').next().unwrap_or(job.as_str())
}

/// A text as an entry keeps it.
#[must_use]
pub fn text(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

/// Words as an entry keeps them: the first ones, and how many are missing.
#[must_use]
pub fn words<'a>(all: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let (mut kept, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for word in all {
        let word = text(word);
        if left_out > 0 || kept.len() >= WORDS_MAX || bytes + word.len() > ARGS_BYTES_MAX {
            left_out += 1;
            continue;
        }
        bytes += word.len();
        kept.push(word);
    }
    if left_out > 0 {
        kept.push(format!("... and {left_out} more"));
    }
    kept
}

#[cfg(test)]
mod tests {
    use blitz_contract::{Retry, Stopped};
    use serde_json::json;

    use super::*;
    use crate::run::{Claim, End};
    use crate::spec::Terms;
    use crate::{Incarnation, Run};

    fn spec() -> Spec {
        let job = JobId::new("japan", 1);
        let terms = Terms { user: Some("ann".to_owned()), ..Terms::default() };
        Spec { tenant: Some("acme".to_owned()), terms, ..Spec::sample(&job, Retry::Safe) }
    }

    fn end(exit: Exit) -> End {
        End { exit, chunks: 0, bytes: 0, digest: String::new(), duration_ms: 5 }
    }

    #[test]
    fn an_end_is_the_same_document_whoever_hears_of_it_and_stands_behind_its_submission() {
        let spec = spec();
        let facts = SpecFacts::of(&spec);
        let claim = Claim::first(1, "e1", Incarnation::from_random([1; 16]));
        let done = Run::Done { claim: claim.clone(), end: end(Exit::Status(3)) };
        let (id, entry) = Entry::of_end(&facts, &done).unwrap();
        assert_eq!(Entry::of_end(&facts, &done), Some((id.clone(), entry.clone())));
        let submitted = submit_id("acme", ulid_of(&spec.job));
        assert!(submitted < id && id < range("acme", 0).1, "{submitted} {id}");
        assert_eq!(tenant_of(&id), Some("acme"));
        let entry = json!(entry);
        for (at, wanted) in [
            ("/deed/what", json!("ended")),
            ("/deed/status", json!(3)),
            ("/deed/engine", json!("e1")),
            ("/deed/state", json!("done")),
            ("/who/user", json!("ann")),
            ("/kind", json!("audit")),
        ] {
            assert_eq!(entry.pointer(at), Some(&wanted), "{at}");
        }
        assert_eq!(Entry::of_end(&facts, &Run::Claimed { claim: claim.clone() }), None);
        let stopped = Stopped::Limit("too much".to_owned());
        let failed = Run::Failed { claim, end: end(Exit::Stopped(stopped)) };
        let (other, entry) = Entry::of_end(&facts, &failed).unwrap();
        assert_eq!((other, json!(entry)["deed"]["reason"].clone()), (id, json!("too much")));
    }

    #[test]
    fn ids_sort_by_time_within_a_tenant_and_a_range_has_them() {
        let id = new_id("acme");
        let (low, high) = range("acme", 0);
        assert!(low < id && id < high);
        let now = Ulid::from_string(&id["audit:acme:".len()..]).unwrap().timestamp_ms();
        assert!(range("acme", now).0 <= id && id < range("acme", now + 1).0);
        assert!(!(low..high).contains(&new_id("acme-2")), "another tenant");
        assert_eq!(tenant_of(&new_id(OPERATOR)), Some(OPERATOR));
    }

    #[test]
    fn what_is_long_is_cut_and_it_is_said() {
        assert_eq!(words(["a", "b"]), ["a", "b"]);
        let long = "x".repeat(10 * ARGS_BYTES_MAX);
        let many: Vec<&str> = vec![&long; 50];
        let kept = words(many);
        let bytes: usize = kept.iter().map(String::len).sum();
        assert!(bytes < ARGS_BYTES_MAX + 50, "{bytes}");
        assert_eq!(kept.last().unwrap(), "... and 44 more");
        assert_eq!(words(vec!["a"; 500]).len(), WORDS_MAX + 1);
    }
}
