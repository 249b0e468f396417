//! Claims and jobs on a store that answers as a cluster in trouble may: who runs a job, and do all agree.

use std::time::Duration;

use blitz_couchdb::{Client, Database, Put, PutOptions, Revision};
use blitz_embedded::TestMode::{
    self, LateConflicts, LostAnswers, RewoundFeeds, StaleNode, StoredLosers,
};
use blitz_jobs::cluster::Clusters;
use blitz_jobs::guards::Guards;
use blitz_jobs::run::{RunDocument, resolve};
use blitz_jobs::writing::Answer;
use blitz_jobs::{Claim, DocumentId, Incarnation, JobId, Run};
use blitz_tests::api::stream;
use blitz_tests::{Cable, Stack, region_name, troubled_store, until};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::task::JoinSet;

/// Engines that contend for one job at the same time, as many as were measured on a real cluster.
const ENGINES: u8 = 10;

/// Jobs that they contend for.
const JOBS: usize = 40;

/// How the engines of one job were answered at last.
struct Contested {
    winners: Vec<Run>,
    leaves: Vec<(Revision, Run)>,
}

async fn contest(modes: &[TestMode], seed: u64) -> Vec<Contested> {
    let store = troubled_store(modes, seed).await;
    let region = region_name("japan");
    let mut contested = Vec::new();
    for _ in 0..JOBS {
        let job = JobId::new(&region, 1);
        let jobs = database(&store, &job).await;
        let mut engines = Vec::new();
        for number in 0..ENGINES {
            let (jobs, job) = (jobs.clone(), job.clone());
            engines.push(tokio::spawn(async move { claim(&jobs, &job, number).await }));
        }
        let mut winners = Vec::new();
        for engine in engines {
            winners.extend(engine.await.expect("a claim does not panic"));
        }
        contested.push(Contested { winners, leaves: leaves(&jobs, &job).await });
    }
    contested
}

async fn database(store: &Client, job: &JobId) -> Database {
    let database = store.database(&job.jobs_database());
    // The request or its answer may be lost.
    while database.info().await.is_err() {
        drop(database.create().await);
    }
    database
}

/// Claims until it is decided; gives the run that was won.
async fn claim(jobs: &Database, job: &JobId, number: u8) -> Option<Run> {
    let incarnation = Incarnation::from_random([number; 16]);
    let claim = Claim::first(1, &format!("e{number}"), incarnation);
    let run = Run::Claimed { claim };
    loop {
        match blitz_jobs::claim::write(jobs, 3, job, None, &run).await {
            Answer::Won(_) => return Some(run),
            Answer::Lost => return None,
            Answer::Unknown => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn leaves(jobs: &Database, job: &JobId) -> Vec<(Revision, Run)> {
    let id = DocumentId::Run(job.clone()).to_string();
    let leaves = jobs.leaves::<RunDocument>(&id, None).await.expect("reads are not troubled");
    leaves.into_iter().map(|leaf| (leaf.revision, leaf.body.run)).collect()
}

/// Of bare writes that race, how many are stored by fewer copies than asked for.
async fn accepted(modes: &[TestMode], seed: u64) -> usize {
    let store = troubled_store(modes, seed).await;
    let database = database(&store, &JobId::new(&region_name("japan"), 1)).await;
    let mut writes = JoinSet::new();
    for n in 0..JOBS * usize::from(ENGINES) {
        let database = database.clone();
        let (id, body) = (format!("race-{}", n / usize::from(ENGINES)), json!({"n": n}));
        let options = PutOptions { quorum: Some(3), ..PutOptions::default() };
        writes.spawn(async move { database.put(&id, None, &body, options).await });
    }
    let answers = writes.join_all().await;
    answers.iter().filter(|answer| matches!(answer, Ok(Put::Accepted(_)))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_engines_one_wins_whatever_the_answers_say() {
    for modes in [
        &[StoredLosers][..],
        &[StoredLosers, LateConflicts],
        &[StoredLosers, LostAnswers],
        &[LostAnswers],
    ] {
        let accepted = accepted(modes, 11).await;
        assert_eq!(accepted > 0, modes.contains(&StoredLosers), "{modes:?} does what it says");
        let contested = contest(modes, 11).await;
        let left = contested.iter().filter(|job| job.leaves.len() > 1).count();
        println!("{modes:?}: {JOBS} jobs, {left} of them with losers that are still there");
        // Who is answered takes its own back; who is not cannot know that it is there.
        assert!(left == 0 || modes.contains(&LostAnswers), "{modes:?}: {left}");
        for job in contested {
            let (_, named) =
                resolve(&job.leaves, None, Guards::default()).expect("somebody claimed it");
            assert_eq!(job.winners, std::slice::from_ref(named), "{modes:?}");
        }
    }
}

/// A node that comes back takes a claim that the others refuse. Two engines may then run a job that may run
/// twice; but all agree on whose run counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_node_makes_two_runners_at_most_and_one_that_counts() {
    let contested = contest(&[StaleNode], 12).await;
    let twice = contested.iter().filter(|job| job.winners.len() > 1).count();
    println!("stale node: {JOBS} jobs, {twice} of them with more than one runner");
    for job in contested {
        let (_, named) =
            resolve(&job.leaves, None, Guards::default()).expect("somebody claimed it");
        assert!(job.winners.contains(named), "the run that counts has a runner");
    }
}

/// The whole road on such a store: every job runs, its output comes once, it ends once.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_on_a_cluster_in_trouble() {
    for modes in [
        &[RewoundFeeds][..],
        &[LostAnswers, RewoundFeeds],
        &[StoredLosers],
        &[StoredLosers, LateConflicts, LostAnswers, RewoundFeeds],
    ] {
        let stack = Stack::start_troubled(&["japan"], modes, 13).await;
        let mut engines = Vec::new();
        for number in 0..3 {
            engines.push(stack.engine(stack.region(), &format!("e{number}"), 4).await);
        }
        for number in 0..15 {
            let text = number.to_string();
            let request = json!({"plugin": "fixture", "args": ["echo", &text],
                "regions": [stack.region()]});
            // The gateway says 503 when it does not know whether the store took the job.
            let job = until("a job that is accepted", || async {
                let (_, answer) = stack.api.call("POST", "/v1/jobs", Some(&request)).await;
                answer["jobs"][0]["id"].as_str().map(str::to_owned)
            })
            .await;
            let events = stack.api.follow(&job).await;
            assert_eq!(stream(&events, "stdout"), format!("{text}\n"), "{modes:?}");
            let ends: Vec<_> = events.iter().filter(|event| event.kind == "end").collect();
            assert_eq!(ends.len(), 1, "{modes:?}");
            assert_eq!(ends[0].data["state"], "done", "{modes:?}");
        }
    }
}

/// An engine that believes to be alone does not wait for others: it must know better before it hears of a job.
#[tokio::test]
async fn an_engine_counts_its_neighbours_before_it_hears_of_jobs() {
    let stack = Stack::start(&["japan"]).await;
    let cable = Cable::to(&stack.store_url()).await;
    let engine = stack
        .engine_with(stack.region(), "e1", |config| {
            config.clusters = Clusters::alone(Client::new(cable.url()).expect("an address"));
        })
        .await;
    let job = stack.api.submit(stack.region(), &["noop"]).await;
    stack.api.follow(&job).await;
    let asked = cable.requests();
    let first = |of: &str| {
        let path = format!(" /{of}");
        let place = asked.iter().position(|request| request.contains(&path));
        place.unwrap_or_else(|| panic!("{of} was not asked for: {asked:#?}"))
    };
    let counts = first(&format!("blitz-engines-{}/_all_docs", stack.region()));
    let jobs = format!("blitz-jobs-{}-1/", stack.region());
    for hears in ["_local/", "_all_docs", "_changes"] {
        assert!(counts < first(&format!("{jobs}{hears}")), "{asked:#?}");
    }
    engine.drain().await;
}

/// Leaves that lost before any keeper was there are found by the next one, also those of a job that has ended.
#[tokio::test]
async fn a_keeper_finds_what_lost_before_it_started() {
    let mut stack = Stack::start_troubled(&["japan"], &[StoredLosers], 14).await;
    let port = stack.stop_gateway().await;
    let job = JobId::new(stack.region(), 1);
    let jobs = stack.store.database(&job.jobs_database());
    let id = DocumentId::Run(job.clone()).to_string();
    let claim = |byte| Claim::first(1, "e", Incarnation::from_random([byte; 16]));
    let lost = Run::Lost { claim: Some(claim(1)), reason: "no beat".to_owned(), begun: true };
    let claimed = |byte| Run::Claimed { claim: claim(byte) };
    let leaf = |generation: u32, letter: &str, run| {
        let mut leaf = json!(RunDocument::new(run));
        leaf["_id"] = json!(id);
        leaf["_rev"] = json!(format!("{generation}-{}", letter.repeat(32)));
        to_raw_value(&leaf).expect("JSON")
    };
    let stored = [leaf(2, "a", lost.clone()), leaf(1, "b", claimed(2)), leaf(1, "c", claimed(3))];
    assert!(jobs.merge(&stored).await.expect("an answer").is_empty());
    assert_eq!(leaves(&jobs, &job).await.len(), 3);
    stack.start_gateway(port).await;
    let left = until("the leaf that counts, alone", || async {
        let left = leaves(&jobs, &job).await;
        (left.len() == 1).then_some(left)
    })
    .await;
    assert_eq!(left[0].1, lost);
}
