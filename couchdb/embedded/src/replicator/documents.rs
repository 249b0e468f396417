//! The documents of `_replicator`: each is a replication that starts, restarts and stops with it.
//!
//! A document is written only at its end: `completed`, or `failed` when it can never be done. How a
//! running one fares is told by `_scheduler`.

use super::{
    clock,
    jobs::{Done, NotAdded, Origin},
    task::{BadTask, Task, fingerprint},
};
use crate::{
    document::{
        attachment::{Attachment, Content, Given},
        object,
    },
    error::StoreError,
    feed::{change::Change, filter::Filter, hub::Committed},
    http::call::Server,
    sequence::Sequence,
    store::{
        database::Database,
        edit::{self, Edit, Kind},
        list::{ChangesRange, Detail},
        read::{Found, Opened, Which},
    },
    user::{Holds, User},
};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::SystemTime};
use tokio::sync::watch;

/// The database of replications.
pub(crate) const REPLICATOR: &str = "_replicator";

/// Follows the documents.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    followed: Option<Followed>,
}

#[derive(Debug)]
struct Followed {
    database: Arc<Database>,
    feed: watch::Receiver<Committed>,
    position: Sequence,
}

impl Documents {
    /// Waits for a change; for ever when there is no database.
    pub(crate) async fn changed(&mut self) {
        match &mut self.followed {
            // The sender lives in the database that is held here.
            Some(followed) => followed.feed.changed().await.unwrap_or_default(),
            None => std::future::pending().await,
        }
    }

    /// Finds the database, if it is not followed already, and reads it from the beginning; else what could not be read before.
    pub(crate) async fn look(&mut self, server: &Arc<Server>) {
        let current = server.store.catalog().get(REPLICATOR);
        let known = self.followed.as_ref().map(|followed| followed.database.key);
        if current.as_ref().map(|database| database.key) == known {
            return self.read(server).await;
        }
        // What an earlier database of this name asked for is over.
        server.replicator.jobs.remove_documents(None);
        self.followed = current.map(|database| {
            let feed = database.feed.follow();
            Followed { database, feed, position: 0 }
        });
        self.read(server).await;
    }

    /// Reads what has changed and acts on it. What cannot be read now is left for the next time.
    pub(crate) async fn read(&mut self, server: &Arc<Server>) {
        let Some(followed) = &mut self.followed else { return };
        let committed = *followed.feed.borrow_and_update();
        if committed.deleted {
            self.followed = None;
            server.replicator.jobs.remove_documents(None);
            return;
        }
        let filter = Arc::new(Filter::All);
        let detail = Detail { documents: true, ..Detail::default() };
        let database = Arc::clone(&followed.database);
        let until = committed.sequence;
        while followed.position < until {
            let position = followed.position;
            let range = ChangesRange { position, until, descending: false, limit: u64::MAX };
            let page = server.store.changes(&database, range, Arc::clone(&filter), detail).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "the documents of replications could not be read, trying again");
                    return;
                }
            };
            for change in &page.changes {
                changed(server, &database, change).await;
            }
            followed.position = page.position;
            if !page.more {
                break;
            }
        }
    }

    /// Writes down that the replication of a document is done, unless the document asks for another one by now.
    pub(crate) async fn completed(&self, server: &Arc<Server>, document: &str, done: &Done) {
        let Some(followed) = &self.followed else { return };
        let mut stats = done.progress.read().to_json();
        stats["start_time"] = json!(clock::iso8601(done.added));
        let members = json!({
            "_replication_state": "completed",
            "_replication_state_time": clock::iso8601(SystemTime::now()),
            "_replication_stats": stats,
        });
        let asks = |found: &Found| {
            let body = serde_json::from_str::<Map<String, Value>>(&found.body.text);
            body.is_ok_and(|body| fingerprint(&body) == done.fingerprint)
        };
        write(server, &followed.database, document, &members, asks).await;
    }
}

/// What a document asks for.
#[derive(Debug)]
enum Wish {
    /// Nothing (any more): it is deleted, or its replication is over.
    Nothing,
    Replicate(Box<Task>),
    /// It can never be done.
    Fail(BadTask),
}

async fn changed(server: &Arc<Server>, database: &Arc<Database>, change: &Change) {
    if change.id.starts_with("_design/") {
        return;
    }
    let jobs = &server.replicator.jobs;
    let reason = match wish(change, server.store.uuid()) {
        Wish::Nothing => {
            jobs.remove_documents(Some(&change.id));
            return;
        }
        Wish::Fail(bad) => bad.to_string(),
        Wish::Replicate(task) => {
            let before = jobs.of_document(&change.id);
            if before.is_some_and(|before| before != task.id.full()) {
                jobs.remove_documents(Some(&change.id));
            }
            let origin = Origin::Document(change.id.to_string());
            match jobs.add(*task, origin, None, SystemTime::now()) {
                Ok(()) => {
                    server.replicator.wake();
                    return;
                }
                Err(taken @ NotAdded::Taken { .. }) => {
                    format!("{taken}, triggered by document `{}`", change.id)
                }
                Err(many @ NotAdded::TooMany) => many.to_string(),
            }
        }
    };
    jobs.remove_documents(Some(&change.id));
    let members = json!({
        "_replication_state": "failed",
        "_replication_state_time": clock::iso8601(SystemTime::now()),
        "_replication_state_reason": reason,
    });
    let is_this = |found: &Found| change.leaves.first() == Some(&found.revision.to_string());
    write(server, database, &change.id, &members, is_this).await;
}

fn wish(change: &Change, uuid: &str) -> Wish {
    let Value::Object(document) = change.value() else { return Wish::Nothing };
    let state = document.get("_replication_state").and_then(Value::as_str);
    if change.deleted || matches!(state, Some("completed" | "failed")) {
        return Wish::Nothing;
    }
    match Task::parse(document, Arc::new(user(document)), uuid) {
        Ok(task) => Wish::Replicate(Box::new(task)),
        Err(bad) => Wish::Fail(bad),
    }
}

/// For whom local databases are opened: `user_ctx`, which the [`door`](super::door) has checked.
/// Without one it is nobody.
fn user(document: &Map<String, Value>) -> User {
    let context = document.get("user_ctx");
    let name = context.and_then(|context| context.get("name")?.as_str()).map(str::to_owned);
    let roles = context.and_then(|context| context.get("roles")?.as_array());
    let roles = roles.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    User { name, roles: roles.collect(), proof: None, holds: Holds::Always }
}

/// Replaces the `_replication_` members of a document, if it still is one that they are true of. One that was changed in the
/// meantime stays as it is: its change comes next.
async fn write(
    server: &Arc<Server>,
    database: &Arc<Database>,
    id: &str,
    members: &Value,
    is_of: impl Fn(&Found) -> bool,
) {
    match try_write(server, database, id, members, is_of).await {
        Ok(()) | Err(StoreError::DatabaseGone | StoreError::Closed) => {}
        Err(error) => tracing::error!(id, %error, "the state of a replication was not written"),
    }
}

async fn try_write(
    server: &Arc<Server>,
    database: &Arc<Database>,
    id: &str,
    members: &Value,
    is_of: impl Fn(&Found) -> bool,
) -> Result<(), StoreError> {
    let found = server.store.document(database, id.to_owned(), Which::Winner, false).await?;
    let Some(Opened::Found(found)) = found.and_then(|found| found.revisions.into_iter().next())
    else {
        return Ok(());
    };
    if found.deleted || !is_of(&found) {
        return Ok(());
    }
    let text = with_state(&found.body.text, members);
    let attachments = found.body.attachments.iter().map(stub).collect();
    let parent = vec![found.revision.clone()];
    let update = Kind::Update { parent, unknown_parent: false, deleted: false, text, attachments };
    let kind = Kind::IfWinner { winner: Some(found.revision.clone()), then: Box::new(update) };
    let (database, one) = (Arc::clone(database), Edit { id: id.to_owned(), kind });
    server.store.write(move |tx| edit::apply(tx, &database, one).map(drop)).await
}

fn stub(attachment: &Attachment) -> Given {
    let Attachment { name, revpos, digest, .. } = attachment;
    let content = Content::Stub { digest: Some(digest.clone()) };
    Given { name: name.clone(), revpos: Some(*revpos), content }
}

/// The text of a document with these members in the place of its `_replication_` ones. All others stay
/// as they were written.
fn with_state(text: &str, members: &Value) -> String {
    let mut kept = Map::new();
    kept.extend(members.as_object().cloned().unwrap_or_default());
    let state = Value::Object(kept).to_string();
    let before = object::members(text).ok().flatten();
    let mut written = String::from("{");
    for (name, value) in before.iter().flat_map(|members| &members.0) {
        if !name.starts_with("_replication_") {
            written.push_str(&Value::from(name.as_ref()).to_string());
            written.push(':');
            written.push_str(value.get());
            written.push(',');
        }
    }
    written.push_str(state.strip_prefix('{').unwrap_or("}"));
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::{Options, Storage},
        revision::Revision,
        store::{Store, databases, edit::Outcome},
    };
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn a_state_takes_the_place_of_the_one_before_and_leaves_the_rest() {
        let before = r#"{"source":"a","n":12345678901234567890123,"_replication_state":"x"}"#;
        let after = with_state(before, &json!({"_replication_state": "failed"}));
        let wanted = r#"{"source":"a","n":12345678901234567890123,"_replication_state":"failed"}"#;
        assert_eq!(after, wanted);
        assert_eq!(
            with_state("{}", &json!({"_replication_state": 1})),
            r#"{"_replication_state":1}"#
        );
    }

    #[test]
    fn what_a_document_wants_depends_on_its_state() {
        let wanted = |document: Value, deleted: bool| {
            let text = Some(document.to_string().into());
            wish(&Change::new(1, "d", deleted, vec![String::from("1-a")], text), "uuid")
        };
        let document =
            |state: Value| json!({"source": "a", "target": "b", "_replication_state": state});
        assert!(matches!(wanted(document(Value::Null), false), Wish::Replicate(_)));
        assert!(matches!(wanted(document(json!("error")), false), Wish::Replicate(_)));
        assert!(matches!(wanted(document(json!("completed")), false), Wish::Nothing));
        assert!(matches!(wanted(document(json!("failed")), false), Wish::Nothing));
        assert!(matches!(wanted(document(Value::Null), true), Wish::Nothing));
        assert!(matches!(wanted(json!({"source": "a"}), false), Wish::Fail(BadTask::Missing)));
    }
    /// A server that nobody serves, with an empty database of replications.
    async fn server() -> (Arc<Server>, Arc<Database>) {
        let store = Store::open(Storage::Memory, Options::default()).unwrap();
        store.write(|tx| databases::create(tx, String::from(REPLICATOR), 1)).await.unwrap();
        let database = store.catalog().get(REPLICATOR).unwrap();
        (Arc::new(Server::new(store, CancellationToken::new())), database)
    }

    /// The document "d" over what it was.
    async fn put(server: &Server, database: &Arc<Database>, parent: Vec<Revision>, text: Value) {
        let (text, attachments) = (text.to_string(), Vec::new());
        let kind =
            Kind::Update { parent, unknown_parent: false, deleted: false, text, attachments };
        let (database, one) = (Arc::clone(database), Edit { id: String::from("d"), kind });
        let outcome = server.store.write(move |tx| edit::apply(tx, &database, one)).await.unwrap();
        assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    }

    async fn winner(server: &Server, database: &Database) -> (Revision, Value) {
        let found = server.store.document(database, String::from("d"), Which::Winner, false).await;
        let Some(Opened::Found(found)) = found.unwrap().unwrap().revisions.pop() else {
            panic!("it is there")
        };
        (found.revision.clone(), serde_json::from_str(&found.body.text).unwrap())
    }

    #[tokio::test]
    async fn a_document_that_was_changed_before_its_end_was_written_down_is_not_done() {
        let (server, database) = server().await;
        let mut documents = Documents::default();
        documents.look(&server).await;
        let task = |target: &str| json!({"source": "a", "target": target});
        put(&server, &database, Vec::new(), task("b")).await;
        documents.read(&server).await;
        let jobs = &server.replicator.jobs;
        let ends = async |documents: &Documents| {
            let (instant, now) = (Instant::now(), SystemTime::now());
            let begun = jobs.begin(&server.stop, instant, now).pop().expect("a run");
            let done = jobs.ended(&begun.id, begun.run, Ok(Map::new()), instant, now).unwrap();
            documents.completed(&server, "d", &done).await;
        };
        // Written after the run began, and not read yet.
        let (first, _) = winner(&server, &database).await;
        put(&server, &database, vec![first], task("c")).await;
        ends(&documents).await;
        assert_eq!(winner(&server, &database).await.1, task("c"));
        documents.read(&server).await;
        ends(&documents).await;
        let (_, document) = winner(&server, &database).await;
        assert_eq!(
            (&document["target"], &document["_replication_state"]),
            (&json!("c"), &json!("completed"))
        );
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_read_in_the_next_round() {
        let (server, database) = server().await;
        put(&server, &database, Vec::new(), json!({"source": "a", "target": "b"})).await;
        // As after a read that failed: the feed has nothing new, and the position is before the document.
        let mut feed = database.feed.follow();
        feed.borrow_and_update();
        let followed = Followed { database: Arc::clone(&database), feed, position: 0 };
        let mut documents = Documents { followed: Some(followed) };
        documents.look(&server).await;
        assert!(server.replicator.jobs.of_document("d").is_some());
    }
}
