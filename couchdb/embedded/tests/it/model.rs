//! Random edits against a model of what CouchDB promises: the same leaves, the same winner, the same
//! history, the same order of the feed, before and after a restart.
//!
//! The model is the naive one: every revision with its parent, and nothing is forgotten but by a purge.

mod reference;

use crate::client::{Connection, Server};
use blitz_embedded::{Options, Storage};
use proptest::{prelude::*, sample::Index};
use reference::{Document, Model, Revision};
use serde_json::{Value, json};

/// Few documents, so that their histories meet.
const DOCUMENTS: usize = 3;

/// One edit. An [`Index`] chooses among what there is when it is made.
#[derive(Clone, Debug)]
enum Edit {
    /// A new document, or a new revision on a living leaf.
    Put { on: Index },
    /// Over something that is no leaf: refused.
    Stale { on: Index },
    /// A tombstone on a living leaf.
    Delete { on: Index },
    /// An attachment on the winner.
    Attach,
    /// What a replicator brings: a branch from any known revision, or from nothing.
    Merge { from: Option<Index>, edits: usize, deleted: bool },
    /// What a replicator brought before.
    Again { which: Index },
    /// Leaves and others go, as if they had never been.
    Purge { leaves: Vec<Index>, others: Vec<Index> },
}

/// None of them, or a few.
fn indexes() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..3)
}

fn edits() -> impl Strategy<Value = Vec<(usize, Edit)>> {
    let edit = prop_oneof![
        4 => any::<Index>().prop_map(|on| Edit::Put { on }),
        1 => any::<Index>().prop_map(|on| Edit::Stale { on }),
        2 => any::<Index>().prop_map(|on| Edit::Delete { on }),
        1 => Just(Edit::Attach),
        4 => (any::<Option<Index>>(), 1..4_usize, any::<bool>())
            .prop_map(|(from, edits, deleted)| Edit::Merge { from, edits, deleted }),
        1 => any::<Index>().prop_map(|which| Edit::Again { which }),
        2 => (indexes(), indexes()).prop_map(|(leaves, others)| Edit::Purge { leaves, others }),
    ];
    prop::collection::vec((0..DOCUMENTS, edit), 1..40)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn any_edits_in_memory_are_those_of_the_model(edits in edits()) {
        run(async {
            let server = Server::start(Storage::Memory, Options::default()).await;
            let mut world = World::new(&server).await;
            world.apply(&edits).await;
            world.compare().await;
        });
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn any_edits_on_disk_outlive_a_restart(before in edits(), after in edits()) {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let start =
                async || Server::start(Storage::Directory(directory.path().into()), Options::default()).await;
            let server = start().await;
            let mut world = World::new(&server).await;
            world.apply(&before).await;
            server.stop().await;
            let server = start().await;
            world.connection = Connection::open(server.address).await;
            world.compare().await;
            world.apply(&after).await;
            world.compare().await;
            server.stop().await;
        });
    }
}

fn run(story: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(story);
}

/// A server and the model that it must equal.
struct World {
    connection: Connection,
    model: Model,
    /// Makes bodies and hashes that are all different.
    count: u64,
}

impl World {
    async fn new(server: &Server) -> World {
        let mut connection = Connection::open(server.address).await;
        assert_eq!(connection.ask("PUT /db", "").await.status, 201);
        World { connection, model: Model::new(DOCUMENTS), count: 0 }
    }

    async fn get(&mut self, path: &str) -> (u16, Value) {
        let answer = self.connection.ask(&format!("GET {path}"), "").await;
        (answer.status, answer.json())
    }

    async fn apply(&mut self, edits: &[(usize, Edit)]) {
        for (document, edit) in edits {
            self.count += 1;
            self.edit(*document, edit).await;
        }
    }

    async fn edit(&mut self, at: usize, edit: &Edit) {
        let document = self.model.documents[at].clone();
        let living = document.leaves_where(|deleted| !deleted);
        match edit {
            Edit::Put { on } => {
                let parent = if living.is_empty() {
                    document.winner()
                } else {
                    Some(on.get(&living).clone())
                };
                let named = if living.is_empty() { None } else { parent.clone() };
                let body = body(named.as_ref(), self.count);
                let answer = self.connection.ask(&format!("PUT /db/{at}"), &body).await;
                assert_eq!(answer.status, 201, "{:?}", answer.json());
                self.added(at, answer.revision(), parent, false);
            }
            Edit::Stale { on } => {
                let inner = document.inner();
                let body = match inner.is_empty() {
                    // Without a revision there is a conflict where something lives.
                    true if living.is_empty() => return,
                    true => body(None, self.count),
                    false => body(Some(on.get(&inner)), self.count),
                };
                let answer = self.connection.ask(&format!("PUT /db/{at}"), &body).await;
                assert_eq!(answer.status, 409, "{:?}", answer.json());
            }
            Edit::Delete { on } => {
                if living.is_empty() {
                    return;
                }
                let parent = on.get(&living);
                let answer =
                    self.connection.ask(&format!("DELETE /db/{at}?rev={parent}"), "").await;
                assert_eq!(answer.status, 200, "{:?}", answer.json());
                self.added(at, answer.revision(), Some(parent.clone()), true);
            }
            Edit::Attach => {
                let Some(winner) = document.winner().filter(|_| !living.is_empty()) else { return };
                let line = format!("PUT /db/{at}/x{}?rev={winner}", self.count % 3);
                let answer = self.connection.put_octets(&line, b"bytes").await;
                assert_eq!(answer.status, 201, "{:?}", answer.json());
                let name = format!("x{}", self.count % 3);
                self.added(at, answer.revision(), Some(winner), false).attachments.insert(name);
            }
            Edit::Merge { from, edits, deleted } => {
                let known = document.revisions();
                let from = from.filter(|_| !known.is_empty()).map(|from| from.get(&known).clone());
                let mut path = from.as_ref().map_or_else(Vec::new, |from| document.path(from));
                let mut fresh = Vec::new();
                for step in 0..*edits {
                    let generation = path.first().map_or(1, |newest| newest.generation + 1);
                    // Not in the order of their making, so that the hash decides something.
                    let hash = (self.count * 4 + step as u64) * 7919 % 65_537;
                    let revision = Revision { generation, hash: format!("{hash:032x}") };
                    fresh.push((revision.clone(), path.first().cloned()));
                    path.insert(0, revision);
                }
                let newest = fresh.len() - 1;
                for (age, (revision, parent)) in fresh.into_iter().enumerate() {
                    let deleted = *deleted && age == newest;
                    self.model.documents[at].add(revision, parent, deleted);
                }
                self.model.touch(at);
                self.deliver(at, &path, *deleted).await;
            }
            Edit::Again { which } => {
                let leaves = document.leaves_where(|_| true);
                if !leaves.is_empty() {
                    let leaf = which.get(&leaves);
                    self.deliver(at, &document.path(leaf), document.is_deleted(leaf)).await;
                }
            }
            Edit::Purge { leaves, others } => {
                let mut named = chosen(leaves, &document.leaves_where(|_| true));
                named.extend(chosen(others, &document.revisions()));
                // One that is nowhere: `_purge` takes it as well.
                named.push(Revision { generation: 1, hash: format!("{:032x}", self.count) });
                self.purge(at, &named).await;
            }
        }
    }

    async fn purge(&mut self, at: usize, named: &[Revision]) {
        let id = at.to_string();
        let texts: Vec<_> = named.iter().map(Revision::to_string).collect();
        let body = json!({ &id: texts }).to_string();
        let answer = self.connection.ask("POST /db/_purge", &body).await;
        assert_eq!(answer.status, 201, "{:?}", answer.json());
        let told = answer.json()["purged"][&id].clone();
        let mut told: Vec<_> = told.as_array().unwrap().iter().map(text).collect();
        told.sort();
        let purged = self.model.purge(at, named);
        let mut wanted: Vec<_> = purged.iter().map(Revision::to_string).collect();
        wanted.sort();
        assert_eq!(told, wanted, "what was purged of {at}");
    }

    /// Writes a branch as a replicator does.
    async fn deliver(&mut self, at: usize, path: &[Revision], deleted: bool) {
        let ids: Vec<_> = path.iter().map(|revision| revision.hash.clone()).collect();
        let revisions = json!({"start": path[0].generation, "ids": ids});
        let mut doc = json!({"_id": at.to_string(), "_revisions": revisions, "n": self.count});
        doc["_rev"] = path[0].to_string().into();
        if deleted {
            doc["_deleted"] = true.into();
        }
        let body = json!({"new_edits": false, "docs": [doc]}).to_string();
        let answer = self.connection.ask("POST /db/_bulk_docs", &body).await;
        assert_eq!((answer.status, answer.json()), (201, json!([])));
    }

    /// The server made this revision.
    fn added(
        &mut self,
        at: usize,
        revision: String,
        parent: Option<Revision>,
        deleted: bool,
    ) -> &mut reference::Node {
        let revision = Revision::read(&revision);
        let generation = parent.as_ref().map_or(1, |parent| parent.generation + 1);
        assert_eq!(revision.generation, generation, "{revision} follows {parent:?}");
        self.model.touch(at);
        self.model.documents[at].add(revision, parent, deleted)
    }

    /// Everything that the server says is what the model says.
    async fn compare(&mut self) {
        for at in 0..DOCUMENTS {
            let document = self.model.documents[at].clone();
            self.compare_document(at, &document).await;
        }
        let (_, feed) = self.get("/db/_changes?style=all_docs").await;
        let told: Vec<_> = feed["results"].as_array().unwrap().iter().map(change).collect();
        assert_eq!(told, self.model.feed(), "the feed");
        let (_, list) = self.get("/db/_all_docs").await;
        let rows = list["rows"].as_array().unwrap();
        let listed: Vec<_> =
            rows.iter().map(|row| [&row["id"], &row["value"]["rev"]].map(text)).collect();
        let living = self.model.living();
        let wanted: Vec<_> = living.iter().map(|(id, rev)| [id.clone(), rev.to_string()]).collect();
        assert_eq!(listed, wanted, "the list");
        let (_, info) = self.get("/db").await;
        let known =
            self.model.documents.iter().filter(|document| document.winner().is_some()).count();
        assert_eq!(info["doc_count"], living.len());
        assert_eq!(info["doc_del_count"], known - living.len());
        let purges = text(&info["purge_seq"]);
        assert_eq!(purges.split('-').next(), Some(&*self.model.purges.to_string()));
    }

    async fn compare_document(&mut self, at: usize, document: &Document) {
        let Some(winner) = document.winner() else {
            assert_eq!(self.get(&format!("/db/{at}")).await.0, 404, "{at} is not there");
            return;
        };
        let (_, open) = self.get(&format!("/db/{at}?open_revs=all")).await;
        let mut leaves: Vec<_> =
            open.as_array().unwrap().iter().map(|row| text(&row["ok"]["_rev"])).collect();
        leaves.sort();
        let mut wanted: Vec<_> =
            document.leaves_where(|_| true).iter().map(Revision::to_string).collect();
        wanted.sort();
        assert_eq!(leaves, wanted, "the leaves of {at}");
        let (status, plain) =
            self.get(&format!("/db/{at}?conflicts=true&deleted_conflicts=true")).await;
        if document.is_deleted(&winner) {
            assert_eq!((status, &plain["reason"]), (404, &json!("deleted")), "{at}");
            return;
        }
        assert_eq!(text(&plain["_rev"]), winner.to_string(), "the winner of {at}");
        for (name, deleted) in [("_conflicts", false), ("_deleted_conflicts", true)] {
            let mut others = document.leaves_where(|is| is == deleted);
            others.retain(|leaf| *leaf != winner);
            let others: Vec<_> = others.iter().map(Revision::to_string).collect();
            let told: Vec<_> = plain[name].as_array().into_iter().flatten().map(text).collect();
            assert_eq!(told, others, "{name} of {at}");
        }
        let (_, whole) = self.get(&format!("/db/{at}?revs=true")).await;
        let path: Vec<_> =
            document.path(&winner).iter().map(|revision| revision.hash.clone()).collect();
        let revisions = json!({"start": winner.generation, "ids": path});
        assert_eq!(whole["_revisions"], revisions, "the history of {at}");
        let attached: Vec<_> = whole["_attachments"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let mut wanted: Vec<_> = document.attachments(&winner).into_iter().collect();
        wanted.sort();
        assert_eq!(attached, wanted, "the attachments of {at}");
    }
}

/// Some of these.
fn chosen(indexes: &[Index], among: &[Revision]) -> Vec<Revision> {
    let there = indexes.iter().filter(|_| !among.is_empty());
    there.map(|index| index.get(among).clone()).collect()
}

/// A body that carries attachments on would have to name them: a plain one drops them, as in CouchDB.
fn body(over: Option<&Revision>, n: u64) -> String {
    match over {
        Some(revision) => json!({"_rev": revision.to_string(), "n": n}).to_string(),
        None => json!({"n": n}).to_string(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Id, leaves with the winner first, and whether it is deleted.
fn change(row: &Value) -> (String, Vec<String>, bool) {
    let mut leaves: Vec<_> =
        row["changes"].as_array().unwrap().iter().map(|change| text(&change["rev"])).collect();
    leaves[1..].sort();
    (text(&row["id"]), leaves, row["deleted"] == true)
}
