//! Whatever happens to a database, what is counted of it is what can be counted in its rows: documents,
//! bytes, superseded bodies, and how many bodies carry each blob.

use crate::{
    document::{
        attachment::{Attachment, Content, Given},
        packing,
    },
    options::{Options, Storage},
    revision::{Revision, codec, tree::Tree},
    store::{
        Store, body,
        database::{Database, State},
        databases,
        edit::{self, Edit, Kind},
        purge,
    },
};
use proptest::prelude::*;
use rusqlite::Connection;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How many documents there are at most: few, so that most steps meet one that is there.
const DOCUMENTS: usize = 4;

/// One step, with numbers that choose among what is there when its turn comes.
#[derive(Clone, Debug)]
enum Step {
    Update { id: usize, leaf: usize, deleted: bool, keep: bool, data: Option<u8> },
    Merge { id: usize, from: usize, names: Vec<u8>, deleted: bool, data: Option<u8> },
    PutAttachment { id: usize, leaf: usize, name: u8, data: u8 },
    DeleteAttachment { id: usize, leaf: usize },
    Purge { id: usize, leaves: u8 },
    Limit(usize),
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (id, one) = (0..DOCUMENTS, 0usize..8);
    let data = prop::option::of(0u8..4);
    let step = prop_oneof![
        8 => (id.clone(), one.clone(), prop::bool::weighted(0.2), any::<bool>(), data.clone())
            .prop_map(|(id, leaf, deleted, keep, data)| {
                Step::Update { id, leaf, deleted, keep, data }
            }),
        4 => (
            id.clone(),
            one.clone(),
            prop::collection::vec(0u8..5, 1..4),
            prop::bool::weighted(0.3),
            data
        )
            .prop_map(|(id, from, names, deleted, data)| {
                Step::Merge { id, from, names, deleted, data }
            }),
        2 => (id.clone(), one.clone(), 0u8..2, 0u8..4)
            .prop_map(|(id, leaf, name, data)| Step::PutAttachment { id, leaf, name, data }),
        2 => (id.clone(), one.clone()).prop_map(|(id, leaf)| Step::DeleteAttachment { id, leaf }),
        2 => (id, any::<u8>()).prop_map(|(id, leaves)| Step::Purge { id, leaves }),
        1 => (1usize..6).prop_map(Step::Limit),
        1 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..60)
}

/// Bytes of a blob; some are longer than a piece of it, some are none.
fn given(name: &str, data: u8) -> Given {
    let length = [0, 10, 300_000, 1000][usize::from(data % 4)];
    let content_type = if data == 3 { "text/plain" } else { "application/octet-stream" };
    let packed = packing::pack(content_type, vec![data; length].into());
    let content = Content::Data { content_type: String::from(content_type), packed };
    Given { name: String::from(name), revpos: None, content }
}

fn stub(attachment: &Attachment) -> Given {
    let content = Content::Stub { digest: Some(attachment.digest.clone()) };
    Given { name: attachment.name.clone(), revpos: Some(attachment.revpos), content }
}

fn tree(sql: &Connection, database: &Database, id: &str) -> Tree {
    super::super::row::get(sql, database.key, id).unwrap().map(|row| row.tree).unwrap_or_default()
}

fn pick<T: Clone>(among: &[T], number: usize) -> Option<T> {
    among.get(number % among.len().max(1)).cloned()
}

/// The edit that a step means now; None when it is none.
fn edit_of(sql: &Connection, database: &Database, step: &Step) -> Option<Edit> {
    let (Step::Update { id, .. }
    | Step::Merge { id, .. }
    | Step::PutAttachment { id, .. }
    | Step::DeleteAttachment { id, .. }) = step
    else {
        return None;
    };
    let id = if *id == 0 { String::from("_design/d") } else { format!("d{id}") };
    let tree = tree(sql, database, &id);
    let leaves: Vec<_> = tree.leaves().into_iter().cloned().collect();
    let leaf = |number: usize| pick(&leaves, number);
    let carried = |revision: Option<&Revision>| -> Vec<Attachment> {
        let body = revision.and_then(|revision| tree.find(revision)?.body);
        body.map_or(Vec::new(), |key| body::get(sql, key).unwrap().attachments)
    };
    let kind = match step.clone() {
        Step::Update { leaf: number, deleted, keep, data, .. } => {
            let parent = leaf(number).map(|leaf| leaf.revision);
            let is_begun_again = tree.winner().is_some_and(|winner| winner.deleted);
            let parent = if is_begun_again { None } else { parent };
            let mut attachments: Vec<Given> =
                data.map(|data| given("a", data)).into_iter().collect();
            if keep {
                let kept = carried(parent.as_ref());
                let others = kept.iter().filter(|one| data.is_none() || one.name != "a");
                attachments.extend(others.map(stub));
            }
            let text = format!("{{\"n\":{number}}}");
            let (parent, unknown_parent) = (parent.into_iter().collect(), false);
            Kind::Update { parent, unknown_parent, deleted, text, attachments }
        }
        Step::Merge { from, names, deleted, data, .. } => {
            let known: Vec<Revision> =
                tree.nodes().iter().map(|node| node.revision.clone()).collect();
            // Some begin anew or behind a gap.
            let from = if from % 4 == 0 { None } else { pick(&known, from) };
            let mut path: Vec<Revision> = match &from {
                Some(from) => tree.path(from).iter().map(|node| node.revision.clone()).collect(),
                None => Vec::new(),
            };
            for name in names {
                let generation = path.first().map_or(1, |first| first.generation + 1);
                path.insert(0, format!("{generation}-{name:032x}").parse().unwrap());
            }
            let attachments = data.map(|data| given("a", data)).into_iter().collect();
            Kind::Merge { path, deleted, text: String::from("{}"), attachments }
        }
        Step::PutAttachment { leaf: number, name, data, .. } => {
            let name = if name == 0 { "a" } else { "b" };
            let revision = leaf(number).map(|leaf| leaf.revision);
            Kind::PutAttachment { revision, attachment: given(name, data) }
        }
        Step::DeleteAttachment { leaf: number, .. } => {
            let revision = leaf(number).map(|leaf| leaf.revision);
            let name = carried(revision.as_ref()).pop().map_or(String::from("a"), |one| one.name);
            Kind::DeleteAttachment { revision, name }
        }
        _ => return None,
    };
    Some(Edit { id, kind })
}

async fn take(store: &Store, database: &Arc<Database>, step: Step) {
    let one = Arc::clone(database);
    let write = store.write(move |tx| {
        match &step {
            Step::Purge { id, leaves } => {
                let id = if *id == 0 { String::from("_design/d") } else { format!("d{id}") };
                let tree = tree(tx.connection, &one, &id);
                let leaves =
                    tree.leaves().into_iter().zip(0..8).filter(|(_, n)| leaves >> n & 1 == 1);
                let asked = leaves.map(|(leaf, _)| leaf.revision.clone()).collect();
                purge::purge(tx, &one, vec![(id, asked)])?;
            }
            Step::Limit(limit) => databases::set_revs_limit(tx, &one, *limit)?,
            Step::Compact => databases::compact(tx, &one)?,
            step => {
                if let Some(edit) = edit_of(tx.connection, &one, step) {
                    edit::apply(tx, &one, edit)?;
                }
            }
        }
        Ok(())
    });
    write.await.unwrap();
    while database.is_compacting() {
        tokio::task::yield_now().await;
    }
}

fn numbers(sql: &Connection, query: &str) -> BTreeMap<i64, i64> {
    let mut statement = sql.prepare(query).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Counts everything anew.
fn audit(sql: &Connection, database: &Database, state: &State) {
    let mut statement =
        sql.prepare("SELECT id, sequence, revision, deleted, body, tree FROM documents").unwrap();
    let mut rows = statement.query([]).unwrap();
    let (mut alive, mut dead, mut superseded, mut bytes) = (0, 0, 0, 0);
    let mut bodies = BTreeSet::new();
    let mut uses: BTreeMap<i64, i64> = BTreeMap::new();
    while let Some(row) = rows.next().unwrap() {
        let tree = codec::decode(&row.get::<_, Vec<u8>>(5).unwrap()).unwrap();
        let winner = tree.winner().unwrap();
        assert_eq!(row.get::<_, String>(2).unwrap(), winner.revision.to_string());
        assert_eq!(row.get::<_, bool>(3).unwrap(), winner.deleted);
        assert_eq!(row.get::<_, Option<i64>>(4).unwrap(), winner.body);
        assert!(row.get::<_, u64>(1).unwrap() <= state.sequence);
        *(if winner.deleted { &mut dead } else { &mut alive }) += 1;
        superseded += u64::try_from(tree.inner_bodies()).unwrap();
        assert!(tree.leaves().iter().all(|leaf| leaf.body.is_some()), "a leaf has no body");
        for key in tree.bodies() {
            assert!(bodies.insert(key), "two revisions share a body");
            let body = body::get(sql, key).unwrap();
            bytes += u64::try_from(body.text.len()).unwrap();
            for attachment in &body.attachments {
                *uses.entry(attachment.blob).or_default() += 1;
                bytes += attachment.stored_length();
                body::base64(sql, attachment).unwrap();
            }
        }
    }
    assert_eq!((state.documents, state.tombstones), (alive, dead));
    assert_eq!((state.superseded, state.bytes), (superseded, bytes), "{}", database.name);
    let stored: BTreeSet<i64> = numbers(sql, "SELECT key, 0 FROM bodies").into_keys().collect();
    assert_eq!(stored, bodies, "bodies that nothing points to, or the other way round");
    assert_eq!(numbers(sql, "SELECT key, uses FROM blobs"), uses);
    let orphans: i64 = sql
        .query_row(
            "SELECT count(*) FROM chunks WHERE key / 65536 NOT IN (SELECT key FROM blobs)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(orphans, 0, "pieces of blobs that are gone");
}

async fn live(steps: Vec<Step>) {
    let store = Store::open(Storage::Memory, Options::default()).unwrap();
    store.write(|tx| databases::create(tx, String::from("db"), 1)).await.unwrap();
    let database = store.catalog().get("db").unwrap();
    for step in steps {
        take(&store, &database, step).await;
        let one = Arc::clone(&database);
        let check = store.write(move |tx| {
            audit(tx.connection, &one, &one.state());
            Ok(())
        });
        check.await.unwrap();
    }
    store.write(|tx| databases::delete(tx, "db")).await.unwrap();
    // What is left is removed in idle time.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let left = store.write(|tx| {
            let sql = "SELECT (SELECT count(*) FROM bodies) + (SELECT count(*) FROM blobs) + \
                (SELECT count(*) FROM chunks) + (SELECT count(*) FROM purges) + \
                (SELECT count(*) FROM databases WHERE name IS NULL)";
            Ok(tx.connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        });
        if left.await.unwrap() == 0 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "a deleted database left something");
        tokio::task::yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_counted_is_what_is_there(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps));
    }
}
