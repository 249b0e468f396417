//! `_bulk_docs`: many documents in one commit.

use super::{
    admit::admit,
    call::{Call, Received},
    heavy, local,
    refusal::{Refusal, allow},
    reply::{self, Handled},
    security, users, validate,
    write::{self, Origin},
};
use crate::{
    document::{
        draft::Draft,
        object::{self, Members},
    },
    replicator::documents::REPLICATOR,
    revision::Revision,
    store::{
        database::{Database, random_id},
        edit::{self, Edit, Kind, Outcome},
        local::{Local, put},
    },
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};

/// How many documents one request may have: they share one transaction, and others wait for it.
const DOCS_MAX: usize = 100_000;

/// A row of the request.
enum Row {
    Edit(Edit),
    Local(Local),
}

/// How a row went.
enum Done {
    Refused { id: String, made: Option<String>, refusal: Refusal },
    Edit { id: String, outcome: Outcome },
    Local { id: String, revision: u64 },
}

/// `_bulk_docs`.
pub(crate) async fn bulk_docs(call: &Call, database: &Arc<Database>) -> Handled {
    allow(&call.method, &["POST"])?;
    call.need_json()?;
    let received = call.json_body().await?;
    let limit = call.store().options().document_bytes_max;
    let size = received.bytes.len();
    let (rows, origin) = match heavy::run(size, move || read(&received, limit)).await? {
        Asked::Rows(rows, origin) => (rows, origin),
        Asked::AllOrNothing(rows) => {
            return Ok(reply::json(StatusCode::EXPECTATION_FAILED, &rows));
        }
    };
    let done = apply(call, database, rows).await?;
    let replica = origin == Origin::Replica;
    let answers: Vec<Value> = done.into_iter().filter_map(|done| answer(done, replica)).collect();
    let below = write::is_below_quorum(call);
    let status = if below { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok(reply::json(status, &Value::from(answers)))
}

/// What a request turns out to ask for.
enum Asked {
    Rows(Vec<Row>, Origin),
    /// CouchDB refuses this old option for every row; these are the refusals.
    AllOrNothing(Value),
}

fn read(received: &Received, limit: usize) -> Result<Asked, Refusal> {
    let members = object::members(received.text()?)?
        .ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))?;
    let docs = members
        .get("docs")
        .ok_or_else(|| Refusal::bad_request("POST body must include `docs` parameter."))?;
    let docs = object::elements(docs)
        .ok_or_else(|| Refusal::bad_request("`docs` parameter must be an array."))?;
    if docs.len() > DOCS_MAX {
        let reason = format!("`docs` has {} documents, at most {DOCS_MAX} are taken", docs.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", reason));
    }
    let origin = origin(&members)?;
    if members.read("all_or_nothing") == Some(true) {
        return Ok(Asked::AllOrNothing(all_or_nothing(&docs)));
    }
    let rows = docs.iter().map(|doc| row(doc.get(), origin, limit)).collect::<Result<_, _>>()?;
    Ok(Asked::Rows(rows, origin))
}

fn origin(members: &Members<'_>) -> Result<Origin, Refusal> {
    match (members.get("new_edits"), members.read("new_edits")) {
        (None, _) | (_, Some(true)) => Ok(Origin::Bulk),
        (_, Some(false)) => Ok(Origin::Replica),
        _ => Err(Refusal::bad_request("`new_edits` is true or false")),
    }
}

fn row(text: &str, origin: Origin, limit: usize) -> Result<Row, Refusal> {
    let mut draft = Draft::from_checked(text, true)?;
    let id = draft.id.take().unwrap_or_else(random_id);
    if id.starts_with("_local/") {
        return local::from_draft(draft, id, limit).map(Row::Local);
    }
    write::edit(draft, id, origin, limit).map(Row::Edit)
}

async fn apply(
    call: &Call,
    database: &Arc<Database>,
    rows: Vec<Row>,
) -> Result<Vec<Done>, Refusal> {
    let mut made = Made::new(are_looked_at(call, database, &rows).await?);
    let rows = admitted(call, database, rows).await?;
    let database = Arc::clone(database);
    let done = call
        .store()
        .write(move |transaction| {
            let mut done = Vec::with_capacity(rows.len());
            for row in rows {
                done.push(match row {
                    Err((id, made, refusal)) => Done::Refused { id, made, refusal },
                    Ok(Row::Edit(one)) => {
                        let id = one.id.clone();
                        let outcome = if made.is_followed_by(&one) {
                            Outcome::Conflict
                        } else {
                            edit::apply(transaction, &database, one)?
                        };
                        made.hear(&id, &outcome);
                        Done::Edit { id, outcome }
                    }
                    Ok(Row::Local(local)) => {
                        put(transaction, &database, &local)?;
                        Done::Local { id: local.id, revision: local.revision }
                    }
                });
            }
            Ok(done)
        })
        .await?;
    Ok(done)
}

/// Whether the rows of a request are looked at beside what was there before it, and not only one after the
/// other: the same requests as in CouchDB. There is more to such a row than its place in the tree, and what the
/// request itself makes was not there when that was judged.
async fn are_looked_at(call: &Call, database: &Database, rows: &[Row]) -> Result<bool, Refusal> {
    let is_special = |row: &Row| match row {
        Row::Edit(Edit { id, kind: Kind::Update { attachments, .. } }) => {
            !attachments.is_empty() || id.starts_with("_design/")
        }
        Row::Edit(Edit { id, .. }) => id.starts_with("_design/"),
        Row::Local(_) => false,
    };
    let is_of_system = users::is_users(&database.name) || database.name == REPLICATOR;
    Ok(is_of_system
        || rows.iter().any(is_special)
        || validate::is_validated(call, database).await?)
}

/// The revisions that a request has made, by document: where rows are looked at before, none may follow them. In
/// all other requests rows of one document follow each other as if they came alone.
struct Made(Option<HashMap<String, Vec<Revision>>>);

impl Made {
    fn new(are_looked_at: bool) -> Self {
        Self(are_looked_at.then(HashMap::new))
    }

    fn is_followed_by(&self, edit: &Edit) -> bool {
        let made = self.0.as_ref().and_then(|made| made.get(&edit.id));
        let (Some(made), Kind::Update { parent, .. }) = (made, &edit.kind) else { return false };
        // Without a parent it would begin a deleted document again, which it was not before.
        parent.first().is_none_or(|parent| made.contains(parent))
    }

    fn hear(&mut self, id: &str, outcome: &Outcome) {
        if let (Some(made), Outcome::Stored(revision)) = (&mut self.0, outcome) {
            made.entry(id.to_owned()).or_default().push(revision.clone());
        }
    }
}

/// An edit that may not be made: its id, the revision when it was made elsewhere, and why.
type Refused = (String, Option<String>, Refusal);

/// The rows, those with edits that may not be made as their refusals.
async fn admitted(
    call: &Call,
    database: &Arc<Database>,
    rows: Vec<Row>,
) -> Result<Vec<Result<Row, Refused>>, Refusal> {
    let (mut edits, mut places) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        match row {
            Row::Edit(edit) => {
                let made = match &edit.kind {
                    Kind::Merge { path, .. } => path.first().map(ToString::to_string),
                    _ => None,
                };
                places.push(Err((edit.id.clone(), made)));
                edits.push(edit);
            }
            Row::Local(local) => places.push(Ok(local)),
        }
    }
    let mut edits = admit(call, database, edits).await?.into_iter();
    let rows = places.into_iter().filter_map(|place| match place {
        Ok(local) => Some(match security::may_write_local(call, database) {
            Ok(()) => Ok(Row::Local(local)),
            Err(refusal) => Err((local.id, None, refusal)),
        }),
        Err((id, made)) => {
            edits.next().map(|edit| edit.map(Row::Edit).map_err(|refusal| (id, made, refusal)))
        }
    });
    Ok(rows.collect())
}

/// The row of the answer; a replica hears only of what was refused.
fn answer(done: Done, replica: bool) -> Option<Value> {
    let (id, revision) = match done {
        Done::Refused { id, made: None, refusal } => (id, Err(refusal)),
        Done::Refused { id, made: Some(made), refusal } => {
            let Refusal { error, reason, .. } = refusal;
            return Some(json!({"id": id, "rev": made, "error": error, "reason": reason}));
        }
        Done::Local { id, revision } => (id, Ok(format!("0-{revision}"))),
        Done::Edit { id, outcome } => {
            let revision = write::stored(outcome, &id).map(|revision| revision.to_string());
            (id, revision)
        }
    };
    match revision {
        Ok(_) if replica => None,
        Ok(revision) => Some(json!({"ok": true, "id": id, "rev": revision})),
        Err(refusal) => Some(json!({"id": id, "error": refusal.error, "reason": refusal.reason})),
    }
}

fn all_or_nothing(docs: &[&serde_json::value::RawValue]) -> Value {
    let refused = |doc: &&serde_json::value::RawValue| {
        let id = object::members(doc.get()).ok().flatten();
        let id = id.and_then(|members| members.read::<String>("_id"));
        let reason = "all_or_nothing is not supported";
        json!({"id": id, "rev": "0-", "error": "not_implemented", "reason": reason})
    };
    docs.iter().map(refused).collect()
}
