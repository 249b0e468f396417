//! The embedded store's test modes beside a model of three copies: which of several writers is stored is not
//! determined there, but all that may come of it is known. The model goes through every way.

use std::collections::BTreeSet;

use blitz_couchdb::{Database, Put, PutOptions, Revision};
use blitz_embedded::TestMode::{StaleNode, StoredLosers};
use blitz_simulation::couchdb::{Answer, Cluster, Rev, Sent, Write};
use blitz_tests::{region_name, troubled_store};
use serde_json::{Value, json};

/// For each quorum, the writers at a time. With more of them the store may keep more leaves than three copies can:
/// it does not count how many copies are left.
const RACES: [(u32, u32); 2] = [(3, 3), (2, 2)];

/// Documents that they contend for.
const ROUNDS: u64 = 100;

/// Documents that a stale node is asked for.
const STALE_ROUNDS: u64 = 200;

type Three = Cluster<u64, u32>;

/// What a writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Created,
    Accepted,
    Conflict,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Created(_) => Told::Created,
            Answer::Accepted(_) => Told::Accepted,
            Answer::Conflict => Told::Conflict,
            answer @ (Answer::Unavailable | Answer::Refused) => panic!("{answer:?} with nodes up"),
        }
    }
}

/// A write's answer with its writer's number, and the revision that it stored.
type Outcome = (Told, Option<Revision>);

async fn put(
    database: &Database,
    id: u64,
    parent: Option<&Revision>,
    body: u32,
    w: u32,
) -> Outcome {
    let options = PutOptions { quorum: Some(w), ..PutOptions::default() };
    let put = database.put(&id.to_string(), parent, &json!({"n": body}), options).await;
    match put.expect("an answer") {
        Put::Created(revision) => (Told::Created, Some(revision)),
        Put::Accepted(revision) => (Told::Accepted, Some(revision)),
        Put::Conflict => (Told::Conflict, None),
    }
}

async fn leaves(database: &Database, id: u64) -> BTreeSet<String> {
    let leaves = database.leaves::<Value>(&id.to_string(), Some(3)).await.expect("leaves");
    leaves.into_iter().map(|leaf| leaf.revision.to_string()).collect()
}

/// All that three copies may tell writers of one new document: each copy sees them in an order of its own, of
/// which only the first counts.
fn allowed_of_a_race(w: usize, writers: u32) -> BTreeSet<Vec<Told>> {
    let mut allowed = BTreeSet::new();
    for order in 0..writers.pow(3) {
        let mut cluster = Three::new(3, 3);
        let ways: Vec<_> = (0..writers)
            .map(|writer| match cluster.send(0, Write::put(1, None, writer, w)) {
                Sent::Travelling(id) => id,
                Sent::Answered(answer) => panic!("{answer:?} before it arrived"),
            })
            .collect();
        let mut told = vec![None; ways.len()];
        for copy in 0..3u32 {
            let first = usize::try_from(order / writers.pow(copy) % writers).expect("a few");
            let others = (0..ways.len()).filter(|writer| *writer != first);
            for writer in [first].into_iter().chain(others) {
                let answer = cluster.arrive(ways[writer], usize::try_from(copy).expect("a few"));
                told[writer] = told[writer].or(answer.map(Told::from));
            }
        }
        allowed.insert(told.into_iter().map(|one| one.expect("all have arrived")).collect());
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_losers_are_those_of_three_copies() {
    let store = troubled_store(&[StoredLosers], 21).await;
    let mut all_with_losers = 0;
    for (w, writers) in RACES {
        let allowed = allowed_of_a_race(usize::try_from(w).expect("a few"), writers);
        let database = store.database(&region_name("losers"));
        database.create().await.expect("a database");
        let mut running = Vec::new();
        for id in 0..ROUNDS {
            let database = database.clone();
            running.push(tokio::spawn(async move { race(&database, id, w, writers).await }));
        }
        let (mut with_losers, mut goers) = (0, [0; 3]);
        for round in running {
            let (told, stored, found) = round.await.expect("a race");
            assert!(allowed.contains(&told), "w={w}: {told:?} is not one of {allowed:?}");
            let accepted: BTreeSet<String> =
                stored.iter().flatten().map(Revision::to_string).collect();
            assert_eq!(
                found, accepted,
                "the leaves are what was answered with a revision: {told:?}"
            );
            let named = found.iter().max().cloned();
            let goes = |(told, stored): (&Told, &Option<Revision>)| {
                *told == Told::Created || stored.as_ref().map(Revision::to_string) == named
            };
            let count = told.iter().zip(&stored).filter(|one| goes(*one)).count();
            goers[count.min(2)] += 1;
            with_losers += usize::from(found.len() > 1);
        }
        println!(
            "stored-losers, w={w}: {ROUNDS} races, {with_losers} with losers; goers {goers:?}; \
             {} outcomes allowed",
            allowed.len()
        );
        all_with_losers += with_losers;
        assert!(w < 3 || goers[1] == usize::try_from(ROUNDS).expect("a few"), "{goers:?}");
    }
    // How many there are of one kind is chance, as everywhere where writes meet.
    assert!(all_with_losers > 0, "no race left a loser");
}

async fn race(
    database: &Database,
    id: u64,
    w: u32,
    writers: u32,
) -> (Vec<Told>, Vec<Option<Revision>>, BTreeSet<String>) {
    let writers: Vec<_> = (0..writers)
        .map(|writer| {
            let database = database.clone();
            tokio::spawn(async move { put(&database, id, None, writer, w).await })
        })
        .collect();
    let (mut told, mut stored) = (Vec::new(), Vec::new());
    for writer in writers {
        let (answer, revision) = writer.await.expect("a writer");
        told.push(answer);
        stored.push(revision);
    }
    (told, stored, leaves(database, id).await)
}

/// What three copies may tell: one writes and goes on, a second writes over what the first began with, and then
/// follows what it was told. The third node may have missed any of the first two writes, and may be brought up to
/// date before any other.
fn allowed_of_a_stale_node() -> BTreeSet<Vec<Told>> {
    let mut allowed = BTreeSet::new();
    for (away_from, back_in_time) in [(0, false), (1, false), (1, true), (2, true)] {
        let mut cluster = Three::new(3, 3);
        let mut told = Vec::new();
        let mut write = |cluster: &mut Three, at: usize, parent: Option<Rev>, body: u32| {
            let answer = cluster.write_now(at, Write::put(1, parent, body, 2)).answer();
            let answer = answer.expect("nobody hangs");
            told.push(Told::from(answer));
            answer.stored()
        };
        let mut begun = None;
        let mut gone_on = None;
        for step in 0..2 {
            if step == away_from {
                cluster.stop(2);
            }
            let parent = if step == 0 { None } else { begun };
            let rev = write(&mut cluster, 0, parent, step);
            if step == 0 { begun = rev } else { gone_on = rev }
        }
        cluster.start(2);
        if back_in_time {
            cluster.sync_all();
        }
        // A node that has nothing of the document refuses to follow what it does not know.
        let stale = write(&mut cluster, 2, begun, 7);
        cluster.sync_all();
        for (parent, body) in [(gone_on, 8), (stale, 9)] {
            if parent.is_some() {
                write(&mut cluster, 1, parent, body);
            }
        }
        allowed.insert(told);
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_node_takes_what_one_of_three_copies_would() {
    let store = troubled_store(&[StaleNode], 22).await;
    let database = store.database(&region_name("stale"));
    database.create().await.expect("a database");
    let allowed = allowed_of_a_stale_node();
    let mut stored_twice = 0;
    for id in 0..STALE_ROUNDS {
        let mut told = Vec::new();
        let mut there = BTreeSet::new();
        let (answer, begun) = put(&database, id, None, 0, 2).await;
        told.push(answer);
        let (answer, gone_on) = put(&database, id, begun.as_ref(), 1, 2).await;
        told.push(answer);
        let (answer, stale) = put(&database, id, begun.as_ref(), 7, 2).await;
        told.push(answer);
        stored_twice += usize::from(stale.is_some());
        for (parent, body) in [(gone_on, 8), (stale, 9)] {
            let Some(parent) = parent else { continue };
            let (answer, revision) = put(&database, id, Some(&parent), body, 2).await;
            told.push(answer);
            there.extend(revision.map(|revision| revision.to_string()));
        }
        assert!(allowed.contains(&told), "{told:?} is not one of {allowed:?}");
        assert_eq!(leaves(&database, id).await, there, "{told:?}");
    }
    println!(
        "stale-node: {STALE_ROUNDS} documents, {stored_twice} with a write over what was followed; {} outcomes \
         allowed",
        allowed.len()
    );
    assert!(stored_twice > 0);
}
