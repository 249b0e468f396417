//! The documents that users of each role try to write: one's own, and another's.

use blitz_jobs::JobId;
use blitz_jobs::roles::matrix::Operation;
use serde_json::{Value, json};

use super::server::User;

/// An incarnation, and another one.
const INCARNATION: &str = "0123456789abcdef0123456789abcdef";

/// One write, and what stands there before it.
pub(super) struct Paper {
    pub(super) id: String,
    pub(super) before: Option<Value>,
    pub(super) after: Value,
}

impl Paper {
    /// A run of a new job of this region.
    pub(super) fn run(region: &str, before: Option<&Value>, after: &Value) -> Self {
        let document = |run: &Value| json!({"kind": "run", "blitz": "0.1.0", "run": run});
        Self {
            id: format!("{}:run", JobId::new(region, 1)),
            before: before.map(document),
            after: document(after),
        }
    }

    /// The same for another job.
    pub(super) fn again(&self) -> Self {
        let (place, _) = self.id.rsplit_once("-1-").unwrap();
        Self {
            id: format!("{}:run", JobId::new(place, 1)),
            before: self.before.clone(),
            after: self.after.clone(),
        }
    }

    pub(super) fn path(&self) -> String {
        self.id.replace(':', "%3A")
    }
}

/// A state of a run in which this engine has, had or ended it.
pub(super) fn run(state: &str, engine: &str, attempt: u32) -> Value {
    let claim = json!({"epoch": 1, "attempt": attempt, "engine": engine,
        "incarnation": INCARNATION});
    match state {
        "open" => json!({"state": "open", "last": claim, "reason": "r"}),
        state => json!({"state": state, "claim": claim}),
    }
}

/// What `me` would write of this kind so that it is its own, and some that are another's, each at a place of its own.
pub(super) fn of(
    kind: &str,
    operation: Operation,
    region: &str,
    me: &User,
    other: &User,
) -> (Paper, Vec<Paper>) {
    let unique = JobId::new(region, 1);
    if kind == "run" {
        let of = |engine: &str, to: &str| {
            let (before, after) = match operation {
                Operation::Create => (None, run("claimed", engine, 1)),
                Operation::Change | Operation::Delete => {
                    (Some(run("claimed", engine, 1)), run(to, engine, 1))
                }
            };
            let paper = Paper::run(region, before.as_ref(), &after);
            if operation == Operation::Delete { deleted(paper) } else { paper }
        };
        return (of(&me.name, "done"), vec![of(&other.name, "done")]);
    }
    let write = |id: String, body: Value| {
        let mut after = body.clone();
        after["counter"] = json!(2);
        let before = (operation != Operation::Create).then_some(body);
        let paper = Paper { id, before, after };
        if operation == Operation::Delete { deleted(paper) } else { paper }
    };
    let by = |engine: &str| json!({"kind": kind, "blitz": "0.1.0", "engine": engine});
    let plain = || json!({"kind": kind, "blitz": "0.1.0"});
    let job = || JobId::new(region, 1);
    match kind {
        "spec" | "cancel" | "go" => (write(format!("{unique}:{kind}"), plain()), Vec::new()),
        "in" => (write(format!("{unique}:in.000001"), plain()), Vec::new()),
        "start" | "ready" => (
            write(format!("{unique}:{kind}"), by(&me.name)),
            vec![write(format!("{}:{kind}", job()), by(&other.name))],
        ),
        "out" => {
            let place = format!("out.0001.{INCARNATION}.0000000001");
            let elsewhere = JobId::new("elsewhere", 1);
            (
                write(format!("{unique}:{place}"), plain()),
                vec![write(format!("{elsewhere}:{place}"), plain())],
            )
        }
        "engine" | "beat" => own_document(kind, region, me, other, &write),
        "plugin" => {
            let signed = |mut body: Value| {
                body["signature"] = json!({"key": "k"});
                body
            };
            let own = write(format!("plugin:p:{unique}"), plain());
            // Whoever publishes a new one may be anybody.
            let others = match operation {
                Operation::Create => Vec::new(),
                _ => vec![write(format!("plugin:q:{unique}"), signed(plain()))],
            };
            (own, others)
        }
        // One word more, so that it reads as any of these.
        kind => (write(format!("{kind}:x-{unique}"), plain()), Vec::new()),
    }
}

/// The one document that an engine has of this kind.
fn own_document(
    kind: &str,
    region: &str,
    me: &User,
    other: &User,
    write: &dyn Fn(String, Value) -> Paper,
) -> (Paper, Vec<Paper>) {
    let body = |engine: &str, region: &str| json!({"kind": kind, "blitz": "0.1.0", "engine": engine, "region": region});
    let mut others = vec![
        write(format!("{kind}:{}", other.name), body(&other.name, region)),
        write(format!("{kind}:{}", me.name), body(&other.name, region)),
    ];
    if kind == "engine" {
        others.push(write(format!("{kind}:{}", me.name), body(&me.name, "elsewhere")));
    }
    (write(format!("{kind}:{}", me.name), body(&me.name, region)), others)
}

fn deleted(mut paper: Paper) -> Paper {
    paper.after = json!({"_deleted": true, "kind": paper.after["kind"]});
    paper
}
