//! The model and the server side by side.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use blitz_couchdb::{BulkOutcome, ChangesQuery, Database, Put, PutOptions, Revision, Sequence};
use blitz_simulation::couchdb::{Answer, Cluster, Rev, Seq, Write};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::operation::Operation;

/// Places in the feed that are remembered, to go on from one of them.
const PLACES_MAX: usize = 16;

/// What a feed tells of a document: its id, the winner and whether it is a tombstone, and all leaves.
type Told = (u64, Option<Rev>, bool, BTreeSet<Rev>);

/// Both sides, and what is known of the revisions that they share.
pub(super) struct Pair {
    database: Database,
    model: Cluster<u64, u32>,
    /// The model's revisions and the server's, one to one.
    names: HashMap<Rev, Revision>,
    revs: HashMap<Revision, Rev>,
    /// What the server called a body over a parent: always the same.
    made: HashMap<(Option<Rev>, Option<u32>), Rev>,
    /// What a revision says that the server named.
    said: HashMap<Rev, Option<u32>>,
    places: Vec<(Seq, Sequence)>,
    sequence: u64,
    /// What this sequence did so far.
    log: Vec<String>,
    /// Whether the server is Apache CouchDB, in which the embedded store differs:
    ///
    /// - It learns more of the past of a revision that it has; the embedded store keeps what it was told first.
    /// - It takes a write that follows an unknown revision where the document is not there; the embedded store does
    ///   what it does with a validation function.
    /// - It tells of a document again when a past revision of it gets a body.
    pub(super) is_apache: bool,
    /// Its documents.
    pub(super) ids: Vec<u64>,
    pub(super) past: Past,
    pub(super) totals: Totals,
}

/// The revisions of each document of a sequence, with what each follows.
#[derive(Default)]
pub(super) struct Past(Vec<(u64, Rev, Option<Rev>)>);

impl Past {
    fn note(&mut self, id: u64, rev: Rev, follows: Option<Rev>) {
        if !self.0.iter().any(|(of, known, _)| (*of, *known) == (id, rev)) {
            self.0.push((id, rev, follows));
        }
    }

    pub(super) fn of(&self, id: u64) -> Vec<Rev> {
        self.0.iter().filter(|(of, ..)| *of == id).map(|(_, rev, _)| *rev).collect()
    }

    /// The revision and its past, newest first.
    pub(super) fn path(&self, id: u64, rev: Rev) -> Vec<Rev> {
        let mut path = vec![rev];
        let follows = |rev: Rev| self.0.iter().find(|(of, known, _)| (*of, *known) == (id, rev));
        while let Some((.., Some(before))) = path.last().and_then(|last| follows(*last)) {
            path.push(*before);
        }
        path
    }
}

impl Pair {
    pub(super) fn new(database: Database, is_apache: bool) -> Self {
        Self {
            database,
            model: if is_apache { Cluster::single() } else { Cluster::single().validating() },
            names: HashMap::new(),
            revs: HashMap::new(),
            made: HashMap::new(),
            said: HashMap::new(),
            places: vec![(Seq::default(), Sequence::zero())],
            sequence: 0,
            log: Vec::new(),
            is_apache,
            ids: Vec::new(),
            past: Past::default(),
            totals: Totals::default(),
        }
    }

    /// Begins a sequence with documents of its own.
    pub(super) fn begin(&mut self, sequence: u64, documents: usize) {
        let documents = u64::try_from(documents).unwrap_or(1);
        self.ids = (0..documents).map(|document| sequence * documents + document).collect();
        self.sequence = sequence;
        self.log.clear();
        self.past = Past::default();
        self.totals.sequences += 1;
    }

    /// What the model has, the winner first.
    pub(super) fn leaves(&self, id: u64) -> Vec<Rev> {
        self.bodies(id).into_iter().map(|(rev, _)| rev).collect()
    }

    /// What a revision says, `None` for a tombstone. One that is made up says what its name decides: a revision has
    /// one body.
    pub(super) fn body(&self, rev: Rev) -> Option<u32> {
        let made_up = u32::try_from(rev.hash % 4).ok().filter(|body| *body < 3);
        self.said.get(&rev).copied().unwrap_or(made_up)
    }

    fn bodies(&self, id: u64) -> Vec<(Rev, Option<u32>)> {
        let leaves = self.model.leaves(0, &id, 1, |_| 0).answer().expect("it is up");
        leaves.iter().map(|leaf| (leaf.rev, leaf.body.copied())).collect()
    }

    /// Does it on both sides, and compares what is told of it and what has changed.
    pub(super) async fn perform(&mut self, operation: Operation) {
        self.log.push(format!("{operation:?}"));
        self.totals.operations += 1;
        match operation {
            Operation::Put { id, parent, body } => {
                let name = parent.map(|rev| self.name(rev));
                let text = body.map_or_else(|| json!({"_deleted": true}), |n| json!({"n": n}));
                let put = self
                    .database
                    .put(&id.to_string(), name.as_ref(), &text, PutOptions::default())
                    .await;
                self.compare_write(id, parent, body, put.expect("an answer"));
            }
            Operation::Delete { id, rev } => {
                let name = self.name(rev);
                let put = self.database.delete(&id.to_string(), &name).await.expect("an answer");
                // DELETE reads first, and says 404.
                if self.leaves(id).is_empty() {
                    self.same("the status", id, &Put::Conflict, &put);
                } else {
                    self.compare_write(id, Some(rev), None, put);
                }
            }
            Operation::Merge { id, path, told, body } => {
                self.merge(id, &path[..told], body).await;
                for (place, rev) in path.iter().enumerate() {
                    self.past.note(id, *rev, path.get(place + 1).copied());
                }
            }
            Operation::Remove { id, revs } => self.remove(id, &revs).await,
            Operation::Since { back } => {
                let back = back.min(self.places.len() - 1);
                let place = self.places[self.places.len() - 1 - back].clone();
                self.compare_feed(&place).await;
                return;
            }
        }
        let last = self.places.last().expect("it began somewhere").clone();
        let place = self.compare_feed(&last).await;
        if self.places.len() >= PLACES_MAX {
            self.places.remove(0);
        }
        self.places.push(place);
    }

    /// At the end of a sequence the documents are read as clients read them.
    pub(super) async fn end(&mut self) {
        for id in self.ids.clone() {
            let mut expected = self.bodies(id);
            let winner = expected.first().copied().filter(|(_, body)| body.is_some());
            expected.retain(|(_, body)| body.is_some());
            expected.sort();
            let read = self.database.leaves::<Value>(&id.to_string(), None).await;
            let mut found: Vec<(Rev, Option<u32>)> = Vec::new();
            for leaf in read.expect("leaves") {
                found.push((self.learn(&leaf.revision), number(&leaf.body)));
            }
            found.sort();
            self.same("the leaves of open_revs", id, &expected, &found);
            let read = self.database.get::<Value>(&id.to_string()).await.expect("a document");
            let found = read.map(|it| (self.learn(&it.revision), number(&it.body)));
            self.same("the winner", id, &winner, &found);
        }
    }

    fn compare_write(&mut self, id: u64, parent: Option<Rev>, body: Option<u32>, put: Put) {
        let told = match put {
            Put::Created(revision) => Answer::Created(self.learn(&revision)),
            Put::Accepted(revision) => Answer::Accepted(self.learn(&revision)),
            Put::Conflict => Answer::Conflict,
        };
        let winner = self.leaves(id).first().copied();
        let hash = told.stored().map(|rev| rev.hash);
        let sent = self.model.write_now(0, Write { id, parent, body, w: 1, hash });
        let answer = sent.answer().expect("one server answers at once");
        self.same("the status", id, &answer, &told);
        let Some(rev) = told.stored() else {
            self.totals.conflicts += 1;
            return;
        };
        self.totals.stored += 1;
        // A document that was deleted begins again over its winning tombstone.
        let follows = parent.or(winner);
        self.totals.begun_again += u64::from(parent.is_none() && winner.is_some());
        let before = *self.made.entry((follows, body)).or_insert(rev);
        self.same("the revision of an equal body over the same parent", id, &before, &rev);
        self.past.note(id, rev, follows);
        self.said.insert(rev, body);
    }

    async fn merge(&mut self, id: u64, path: &[Rev], body: Option<u32>) {
        let hashes: Vec<String> =
            path.iter().map(|rev| self.name(*rev).hash().to_owned()).collect();
        let mut document = json!({
            "_id": id.to_string(),
            "_rev": self.name(path[0]),
            "_revisions": {"start": path[0].generation, "ids": hashes},
        });
        match body {
            Some(body) => document["n"] = json!(body),
            None => document["_deleted"] = json!(true),
        }
        let text = RawValue::from_string(document.to_string()).expect("JSON");
        let refused = self.database.merge(&[text]).await.expect("an answer");
        assert!(refused.is_empty(), "{}", self.story(&format!("{refused:?}")));
        self.model.merge(0, &id, path, body);
        self.totals.merged += 1;
    }

    async fn remove(&mut self, id: u64, revs: &[Rev]) {
        #[derive(Serialize)]
        struct Tombstone {
            #[serde(rename = "_id")]
            id: String,
            #[serde(rename = "_rev")]
            revision: Revision,
            #[serde(rename = "_deleted")]
            is_deleted: bool,
        }
        // One request each: the embedded store takes one update of a document in a request.
        for rev in revs {
            let tombstone =
                Tombstone { id: id.to_string(), revision: self.name(*rev), is_deleted: true };
            let rows = self.database.bulk(&[tombstone]).await.expect("an answer");
            for row in rows {
                let put = match row.outcome {
                    BulkOutcome::Stored(revision) => Put::Created(revision),
                    BulkOutcome::Accepted(revision) => Put::Accepted(revision),
                    BulkOutcome::Conflict => Put::Conflict,
                    refused @ BulkOutcome::Refused { .. } => {
                        panic!("{}", self.story(&format!("{refused:?}")))
                    }
                };
                self.compare_write(id, Some(*rev), None, put);
                self.totals.removed += 1;
            }
        }
    }

    /// What has changed since then: the documents, their winners and all their leaves. Gives the place after it.
    async fn compare_feed(&mut self, (seq, sequence): &(Seq, Sequence)) -> (Seq, Sequence) {
        let query =
            ChangesQuery { since: sequence.clone(), all_leaves: true, ..ChangesQuery::default() };
        let page = self.database.changes(&query).await.expect("changes");
        let mut found: Vec<Told> = Vec::new();
        for change in page.changes {
            let id: u64 = change.id.parse().expect("an id of a sequence");
            let leaves: Vec<Rev> =
                change.revisions.iter().map(|revision| self.learn(revision)).collect();
            let winner = leaves.first().copied();
            found.push((id, winner, change.deleted, leaves.into_iter().collect::<BTreeSet<_>>()));
        }
        let changes = self.model.changes(0, *seq).answer().expect("it is up");
        let place = changes.last_seq();
        let changed: Vec<(u64, Rev, bool)> =
            changes.map(|change| (*change.id, change.rev, change.body.is_none())).collect();
        let mut expected: Vec<Told> = changed
            .into_iter()
            .map(|(id, winner, deleted)| {
                (id, Some(winner), deleted, self.leaves(id).into_iter().collect())
            })
            .collect();
        for (_, _, _, leaves) in &expected {
            self.totals.leaves_max = self.totals.leaves_max.max(leaves.len());
        }
        if self.is_apache {
            // What was told again goes to the end, and what the model does not tell must be as it was.
            let again = |told: &Told| !expected.iter().any(|(id, ..)| *id == told.0);
            for told in found.iter().filter(|told| again(told)) {
                let leaves: BTreeSet<Rev> = self.leaves(told.0).into_iter().collect();
                self.same("what was told again", told.0, &leaves, &told.3);
            }
            found.retain(|told| !again(told));
            found.sort();
            expected.sort();
        }
        self.totals.compared += 1;
        self.same("what changed", 0, &expected, &found);
        (place, page.last_seq)
    }

    /// The server's name of a revision, which is made up where the server has not named it.
    fn name(&mut self, rev: Rev) -> Revision {
        if let Some(name) = self.names.get(&rev) {
            return name.clone();
        }
        let text = format!("{}-{:016x}{:016x}", rev.generation, rev.hash, rev.hash);
        let name: Revision = text.parse().expect("a revision");
        self.learn(&name);
        name
    }

    /// The model's name of a server's revision: its hash begins with the same 16 digits, so that the order
    /// is the same, too.
    fn learn(&mut self, revision: &Revision) -> Rev {
        let hash = revision.hash().get(..16).and_then(|hash| u64::from_str_radix(hash, 16).ok());
        let rev = Rev {
            generation: u32::try_from(revision.generation()).expect("a short history"),
            hash: hash.expect("32 hexadecimal digits"),
        };
        let name = self.names.entry(rev).or_insert_with(|| revision.clone()).clone();
        let back = *self.revs.entry(revision.clone()).or_insert(rev);
        assert!((&name, back) == (revision, rev), "{rev} is {name} and {revision}");
        rev
    }

    fn same<T: PartialEq + fmt::Debug>(&self, what: &str, id: u64, model: &T, server: &T) {
        assert!(
            model == server,
            "{}",
            self.story(&format!("{what} of {id} differs\nmodel:  {model:?}\nserver: {server:?}"))
        );
    }

    fn story(&self, end: &str) -> String {
        let log = self.log.join("\n  ");
        format!("sequence {}, documents {:?}:\n  {log}\n{end}", self.sequence, self.ids)
    }
}

fn number(body: &Value) -> Option<u32> {
    body["n"].as_u64().and_then(|number| u32::try_from(number).ok())
}

/// How much was compared.
#[derive(Debug, Default, Clone)]
pub(super) struct Totals {
    sequences: u64,
    operations: u64,
    stored: u64,
    conflicts: u64,
    begun_again: u64,
    merged: u64,
    removed: u64,
    compared: u64,
    leaves_max: usize,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        self.sequences += other.sequences;
        self.operations += other.operations;
        self.stored += other.stored;
        self.conflicts += other.conflicts;
        self.begun_again += other.begun_again;
        self.merged += other.merged;
        self.removed += other.removed;
        self.compared += other.compared;
        self.leaves_max = self.leaves_max.max(other.leaves_max);
    }

    /// Whether each kind of operation came often, and documents had several leaves.
    pub(super) fn is_thorough(&self) -> bool {
        let rarest = self.sequences / 10;
        let counts = [self.stored, self.conflicts, self.begun_again, self.merged, self.removed];
        counts.iter().all(|count| *count >= rarest) && self.leaves_max >= 4
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, stored, conflicts, begun_again, merged, removed, .. } = self;
        write!(
            f,
            "{operations} operations: {stored} stored, {conflicts} conflicts, {begun_again} begun \
             again after a deletion, {merged} merged with new_edits=false, {removed} leaves \
             removed in bulk; {} feeds compared, up to {} leaves",
            self.compared, self.leaves_max
        )
    }
}
