//! After ten periods with 100,000 jobs a store on disk is no bigger than what is kept.
//!
//! `cargo test --release -p blitz-gateway --lib -- --nocapture ten_periods` prints the sizes.

use std::path::Path;

use blitz_embedded::Storage;
use serde_json::json;

use super::*;

/// Jobs of one period; there are ten periods.
const JOBS: usize = 10_000;

/// Jobs in one request: 4 documents each.
const BATCH: usize = 500;

/// How much more than what is kept the store may have.
const OVER_MAX: f64 = 1.5;

const ROTATION: Rotation = Rotation { every_s: 2, keep_s: 2 };

/// Ended jobs: a spec, a run, and two chunks of output, about 3 KB together.
async fn fill(store: &Client, n: u32, seed: usize) {
    for batch in 0..JOBS / BATCH {
        let (mut jobs, mut output) = (Vec::new(), Vec::new());
        for one in 0..BATCH {
            let job = JobId::new("japan", n);
            let text = format!("{seed} {batch} {one} ").repeat(100);
            jobs.push(json!({
                "_id": DocumentId::Spec(job.clone()).to_string(), "kind": "spec", "job": job,
                "args": ["https://target.example/"], "plugin": "curl", "created_at_ms": 0,
            }));
            let run = RunDocument::new(Run::Expired { reason: "full".to_owned() });
            let mut run = serde_json::to_value(run).unwrap();
            run["_id"] = json!(DocumentId::Run(job.clone()).to_string());
            jobs.push(run);
            for seq in 0..2 {
                let frames = json!([{"stream": "stdout", "text": text}]);
                let id = format!("{job}:out.1.{}.{seq}", "0".repeat(32));
                output.push(json!({"_id": id, "kind": "out", "frames": frames}));
            }
        }
        let job = JobId::new("japan", n);
        store.database(&job.jobs_database()).bulk(&jobs).await.unwrap();
        store.database(&job.output_database()).bulk(&output).await.unwrap();
    }
}

fn bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files
        .map(
            |path| {
                if path.is_dir() { bytes(&path) } else { std::fs::metadata(&path).unwrap().len() }
            },
        )
        .sum()
}

/// The numbers of the databases of jobs that are there.
async fn numbers(store: &Client) -> Vec<u32> {
    let names = store.databases().await.unwrap();
    let number = |name: &String| name.strip_prefix("blitz-jobs-japan-")?.parse().ok();
    names.iter().filter_map(number).collect()
}

#[tokio::test]
#[cfg_attr(debug_assertions, ignore = "100,000 jobs: in a release build")]
async fn ten_periods_with_a_hundred_thousand_jobs_leave_what_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let at = || "127.0.0.1:0".parse().unwrap();
    let server = Server::open(Storage::Directory(directory.path().to_owned()), at()).await;
    let store = &server.client;
    setup::install(store, &["japan"]).await.unwrap();
    let begun = Region { rotation: Some(ROTATION), ..region(store).await };
    put(&store.database(CONTROL), &begun.document_id(), &begun).await;
    let clusters = Clusters::alone(store.clone());
    let operators = Operators { clusters, names: BTreeSet::from([String::new()]) };
    let (mut last, mut jobs, mut most) = (0, 0, 0);
    let mut filled = Vec::new();
    while filled.len() < 10 {
        // A holder counts its own time only: while there is none, nothing grows old, however long the filling takes.
        let rotates = start(operators.clone());
        until("the next period", async || region(store).await.current > last).await;
        drop(rotates);
        last = region(store).await.current;
        fill(store, last, filled.len()).await;
        filled.push(last);
        jobs += JOBS;
        let size = bytes(directory.path());
        most = most.max(size);
        println!("{jobs} jobs: {:.1} MB, databases {:?}", mb(size), numbers(store).await);
    }
    let rotates = start(operators);
    until("all but the last are gone", async || numbers(store).await.iter().all(|n| *n >= last))
        .await;
    drop(rotates);
    let kept = numbers(store).await;
    let kept: Vec<u32> = kept.into_iter().filter(|n| filled.contains(n)).collect();
    assert!(!kept.is_empty(), "what is to be kept is gone, too");

    let fresh = tempfile::tempdir().unwrap();
    let needed = Server::open(Storage::Directory(fresh.path().to_owned()), at()).await;
    setup::install(&needed.client, &["japan"]).await.unwrap();
    for n in &kept {
        for name in [format!("blitz-jobs-japan-{n}"), format!("blitz-out-japan-{n}")] {
            needed.client.database(&name).create().await.unwrap();
        }
        fill(&needed.client, *n, 0).await;
    }
    // Closed, so that neither has anything in a log.
    needed.stop().await;
    let wanted = bytes(fresh.path());
    // Pages are given back to the disk little by little.
    let limit = (mb(wanted) * OVER_MAX).max(mb(wanted) + 2.0);
    until("the file shrinks", async || mb(bytes(directory.path())) <= limit).await;
    let before = bytes(directory.path());
    server.stop().await;
    let size = bytes(directory.path());
    println!(
        "most {:.1} MB; after ten periods {:.1} MB, closed {:.1} MB; the kept {kept:?} alone need {:.1} MB",
        mb(most),
        mb(before),
        mb(size),
        mb(wanted),
    );
    assert!(mb(size) <= limit, "{size} bytes, and what is kept needs {wanted}");
}

#[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
