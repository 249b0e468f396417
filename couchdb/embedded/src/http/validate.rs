//! `validate_doc_update`: functions of a database's design documents that let each edit through or not.
//!
//! They run before the edit comes to the writer, which therefore never waits for JavaScript. Why that is
//! sound is said in [`preview`](crate::store::preview).

use super::{call::Call, design, refusal::Refusal, write};
use crate::{
    document::object,
    script::{Design, ScriptError},
    sequence::Sequence,
    store::{
        Store,
        database::Database,
        edit::{Edit, Kind},
        list::{Detail, End, Range},
        preview::{Preview, Seen},
    },
};
use http::StatusCode;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How many edits of one request are looked at in one read; their documents are in memory.
const EDITS_AT_ONCE: usize = 100;

/// The longest text of a thrown reason that a client gets, in bytes.
const REASON_BYTES_MAX: usize = 64 << 10;

/// The validate functions of all databases, as last read.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    /// By the time at which the database was made, which no two share.
    known: Mutex<HashMap<i64, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    /// `State::designs` from before the functions were read.
    designs: Sequence,
    functions: Arc<[Arc<Design>]>,
}

impl Validators {
    /// The functions of a database: two locks and a look at a map, unless a design document changed.
    async fn of(&self, store: &Store, database: &Database) -> Result<Arc<[Arc<Design>]>, Refusal> {
        let designs = database.state().designs;
        let key = database.started_us;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known
            && known.designs == designs
        {
            return Ok(known.functions);
        }
        let functions: Arc<[Arc<Design>]> = read(store, database).await?.into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(&key) {
            // Only here it grows: a good moment to forget the databases that are gone.
            let here: Vec<i64> = store.catalog().all().iter().map(|one| one.started_us).collect();
            known.retain(|key, _| here.contains(key));
        }
        known.insert(key, Known { designs, functions: Arc::clone(&functions) });
        Ok(functions)
    }
}

/// Reads the validate functions of all living design documents.
async fn read(store: &Store, database: &Database) -> Result<Vec<Arc<Design>>, Refusal> {
    let mut low = End::At(String::from("_design/"));
    let mut functions = Vec::new();
    loop {
        // `0` comes after `/`.
        let high = End::Beside(String::from("_design0"));
        let range = Range { low, high, descending: false };
        let detail = Detail { documents: true, ..Detail::default() };
        let page = store.range(database, range, 0, u64::MAX, detail).await?;
        for text in page.rows.iter().filter_map(|row| row.document.as_deref()) {
            let members = object::members(text)?;
            let function = members.and_then(|m| m.read::<String>("validate_doc_update"));
            if let Some(function) = function {
                let design =
                    Design { library: Some(text.into()), functions: vec![function.into()] };
                functions.push(Arc::new(design));
            }
        }
        match page.rows.last() {
            Some(last) if page.more => low = End::Beside(last.id.clone()),
            _ => return Ok(functions),
        }
    }
}

/// Whether a database has validate functions.
pub(crate) async fn is_validated(call: &Call, database: &Database) -> Result<bool, Refusal> {
    Ok(!call.server.validators.of(call.store(), database).await?.is_empty())
}

/// Lets edits through, or says of each why not. The order stays; those that were refused before stay
/// refused.
pub(crate) async fn validate(
    call: &Call,
    database: &Arc<Database>,
    edits: Vec<Result<Edit, Refusal>>,
) -> Result<Vec<Result<Edit, Refusal>>, Refusal> {
    let validators = call.server.validators.of(call.store(), database).await?;
    let mut judged = Vec::with_capacity(edits.len());
    let mut waiting = Vec::new();
    for edit in edits {
        match edit {
            Ok(edit) if edit.id.starts_with("_design/") => {
                judged.push(match design::check(&call.server.scripts, &edit).await {
                    Ok(()) => Ok(edit),
                    Err(refusal) => Err(refusal),
                });
            }
            Ok(edit) if !validators.is_empty() => {
                waiting.push((judged.len(), edit));
                // Its place, until it is judged.
                judged.push(Err(Refusal::conflict()));
                if waiting.len() >= EDITS_AT_ONCE {
                    judge(call, database, &validators, &mut waiting, &mut judged).await?;
                }
            }
            other => judged.push(other),
        }
    }
    judge(call, database, &validators, &mut waiting, &mut judged).await?;
    Ok(judged)
}

/// Judges the edits that wait and puts each into its place.
async fn judge(
    call: &Call,
    database: &Arc<Database>,
    validators: &[Arc<Design>],
    waiting: &mut Vec<(usize, Edit)>,
    judged: &mut [Result<Edit, Refusal>],
) -> Result<(), Refusal> {
    if waiting.is_empty() {
        return Ok(());
    }
    let (places, edits): (Vec<usize>, Vec<Edit>) = waiting.drain(..).unzip();
    let user: Box<str> = call.user.context(&database.name).to_string().into();
    let security = security(database);
    let seen = call.store().preview(database, edits).await?;
    // A cluster in trouble stores what lost a race; its tests want the writer to say that it did.
    let writer_refuses = call.server.trouble.copies() > 1;
    for (place, (edit, seen)) in places.into_iter().zip(seen) {
        judged[place] = match seen {
            Seen::Documents(preview) => {
                let is_first = preview.is_first;
                let verdict = judge_one(call, validators, preview, &user, &security).await;
                verdict.map(|()| if is_first { as_first(edit) } else { edit })
            }
            Seen::Refused(outcome) if !writer_refuses => {
                write::stored(outcome, &edit.id).map(|_| edit)
            }
            Seen::Refused(_) | Seen::Known => Ok(edit),
        };
    }
    Ok(())
}

/// An edit that was judged as the first of its document stays that: it may name a revision that somebody
/// else is just making.
fn as_first(edit: Edit) -> Edit {
    match edit.kind {
        Kind::Update { ref parent, .. } if !parent.is_empty() => {
            Edit { id: edit.id, kind: Kind::IfWinner { winner: None, then: Box::new(edit.kind) } }
        }
        kind => Edit { id: edit.id, kind },
    }
}

/// Asks the functions one after the other.
async fn judge_one(
    call: &Call,
    validators: &[Arc<Design>],
    Preview { new, old, .. }: Preview,
    user: &str,
    security: &str,
) -> Result<(), Refusal> {
    let old = old.unwrap_or_else(|| "null".into());
    for validator in validators {
        let arguments = [new.clone(), old.clone(), user.into(), security.into()];
        call.server.scripts.validate(validator, arguments).await.map_err(refusal)?;
    }
    Ok(())
}

/// `_security` as functions get it.
pub(crate) fn security(database: &Database) -> Box<str> {
    (*database.state().security()).into()
}

/// The answer to a client whose function failed, in CouchDB's words.
pub(crate) fn refusal(error: ScriptError) -> Refusal {
    let broken = StatusCode::INTERNAL_SERVER_ERROR;
    match error {
        ScriptError::Compilation { reason } => {
            Refusal::new(broken, "compilation_error", cut(reason))
        }
        ScriptError::Thrown { name, reason } => {
            let (status, error) = match name.as_str() {
                "forbidden" => (StatusCode::FORBIDDEN, "forbidden"),
                "unauthorized" => (StatusCode::UNAUTHORIZED, "unauthorized"),
                name => (broken, word(name)),
            };
            Refusal::new(status, error, cut(reason))
        }
        ScriptError::Limit(reason) => Refusal::new(broken, "os_process_error", reason),
        ScriptError::Closed => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "the interpreters of JavaScript have ended; restart the server",
        ),
    }
}

/// The words for what was thrown that tell a client something.
fn word(name: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "Error",
        "EvalError",
        "RangeError",
        "ReferenceError",
        "SyntaxError",
        "TypeError",
        "URIError",
        "compilation_error",
        "invalid_require_path",
        "not_found",
    ];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or("unknown_error")
}

fn cut(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX).rev().find(|&at| reason.is_char_boundary(at));
        reason.truncate(end.unwrap_or(0));
    }
    reason
}
