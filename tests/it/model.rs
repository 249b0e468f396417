//! The model of CouchDB that the simulation runs on, beside a real server: random operations give the same status,
//! the same leaves and the same winner.
//!
//! Random numbers make sequences of [`operation`]s; [`pair`] makes each on both sides and compares. The server is
//! the embedded store, or the Apache CouchDB of `BLITZ_TEST_COUCHDB`. [`troubled`] is about the embedded store's
//! test modes, under which an outcome is not determined: there what it answers must be something that a model of
//! three copies can answer.

mod operation;
mod pair;
mod troubled;

use std::time::Instant;

use blitz_couchdb::CreateOptions;
use blitz_simulation::random::Random;
use blitz_tests::{region_name, store};

use operation::Operation;
use pair::{Pair, Totals};

/// Sequences on the embedded store.
const SEQUENCES: u64 = 2_000;

/// Sequences on another server, which may be far slower.
const SEQUENCES_ELSEWHERE: u64 = 400;

/// Databases at a time, each with a share of the sequences.
const DATABASES: u64 = 4;

/// Operations of a sequence, at most: what goes wrong goes wrong early, and is easier to read then.
const OPERATIONS_MAX: usize = 12;

/// Documents of a sequence.
const DOCUMENTS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn one_server_does_what_the_model_does() {
    let is_apache = std::env::var_os("BLITZ_TEST_COUCHDB").is_some();
    let sequences = if is_apache { SEQUENCES_ELSEWHERE } else { SEQUENCES };
    let (store, started) = (store().await, Instant::now());
    let mut running = Vec::new();
    for share in 0..DATABASES {
        let database = store.database(&region_name("model"));
        let options = CreateOptions { shards: Some(1), ..CreateOptions::default() };
        database.create_with(options).await.expect("a database");
        running.push(tokio::spawn(async move {
            let mut pair = Pair::new(database.clone(), is_apache);
            // A database that was never written refuses what it takes later.
            pair.begin(sequences, DOCUMENTS);
            pair.perform(Operation::Put { id: pair.ids[0], parent: None, body: Some(0) }).await;
            for number in (share..sequences).step_by(usize::try_from(DATABASES).unwrap_or(1)) {
                sequence(&mut pair, number).await;
            }
            drop(database.drop().await);
            pair.totals
        }));
    }
    let mut totals = Totals::default();
    for share in running {
        totals.add(&share.await.expect("no difference"));
    }
    println!("{sequences} sequences in {:?}: {totals}", started.elapsed());
    assert!(totals.is_thorough(), "the sequences must reach everything: {totals}");
}

/// One sequence, which its number decides.
async fn sequence(pair: &mut Pair, number: u64) {
    let mut random = Random::new(number);
    pair.begin(number, DOCUMENTS);
    for _ in 0..=random.below(OPERATIONS_MAX) {
        let operation = operation::draw(&mut random, pair);
        pair.perform(operation).await;
    }
    pair.end().await;
}
