//! rouchdb as a peer: a database in memory that replicates both ways with a server of the protocol.
//!
//! usage: rouchdb-peer http://NAME:PASSWORD@HOST:PORT

use rouchdb::{Database, GetOptions, ReplicationOptions, Result};
use serde_json::{Value, json};
use std::{fmt::Debug, process::ExitCode, time::Duration};

/// What takes longer than this is wrong, and ends with a message instead of a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Documents of the first replication: several batches.
const DOCUMENTS: usize = 250;

#[derive(Default)]
struct Checks {
    passed: usize,
    failed: usize,
}

impl Checks {
    fn same<T: PartialEq + Debug>(&mut self, what: &str, got: T, wanted: T) {
        if got == wanted {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAIL {what}: wanted {wanted:?}, got {got:?}");
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(server) = std::env::args().nth(1) else {
        eprintln!("usage: rouchdb-peer http://NAME:PASSWORD@HOST:PORT");
        return ExitCode::from(2);
    };
    let mut checks = Checks::default();
    let name = format!("peer-rouchdb-{}", std::process::id());
    let there = Database::http(&format!("{}/{name}", server.trim_end_matches('/')));
    let ran = tokio::time::timeout(PATIENCE, run(&mut checks, &there)).await;
    let ran = ran.map_err(|_| format!("it took more than {PATIENCE:?}"));
    if let Err(error) = ran.and_then(|ran| ran.map_err(|error| error.to_string())) {
        checks.failed += 1;
        println!("FAIL {error}");
    }
    if let Err(error) = there.destroy().await {
        println!("the database {name} is left behind: {error}");
    }
    if checks.failed > 0 {
        println!("{} passed, {} failed", checks.passed, checks.failed);
        return ExitCode::FAILURE;
    }
    println!("{} checks passed", checks.passed);
    ExitCode::SUCCESS
}

async fn run(checks: &mut Checks, there: &Database) -> Result<()> {
    both_ways(checks, there).await?;
    conflicts(checks, there).await?;
    attachments_and_deletions(checks, there).await?;
    live(checks, there).await
}

async fn both_ways(checks: &mut Checks, there: &Database) -> Result<()> {
    let here = Database::memory("both-ways");
    for n in 0..DOCUMENTS {
        here.put(&format!("h{n}"), json!({"n": n, "text": "é日本😀"})).await?;
    }
    let pushed = here.replicate_to(there).await?;
    checks.same("pushed", (pushed.ok, pushed.docs_written), (true, DOCUMENTS as u64));
    there.put("t0", json!({"from": "there"})).await?;
    let pulled = here.replicate_from(there).await?;
    checks.same("pulled", (pulled.ok, pulled.docs_written), (true, 1));
    checks.same("its body", here.get("t0").await?.data["from"].clone(), json!("there"));
    let again = here.replicate_to(there).await?;
    checks.same("from the checkpoint", again.docs_written, 0);
    let (mine, theirs) = (here.get("h7").await?, there.get("h7").await?);
    checks.same(
        "the same revision",
        mine.rev.map(|r| r.to_string()),
        theirs.rev.map(|r| r.to_string()),
    );
    checks.same("the same text", mine.data["text"].clone(), theirs.data["text"].clone());
    Ok(())
}

/// The winner and the other leaves.
async fn leaves(database: &Database, id: &str) -> Result<(String, Value)> {
    let options = GetOptions { conflicts: true, ..GetOptions::default() };
    let found = database.get_with_opts(id, options).await?;
    let revision = found.rev.map(|revision| revision.to_string()).unwrap_or_default();
    Ok((revision, found.data["_conflicts"].clone()))
}

async fn conflicts(checks: &mut Checks, there: &Database) -> Result<()> {
    let (one, two) = (Database::memory("one"), Database::memory("two"));
    let first = one.put("c", json!({"by": "one"})).await?.rev.unwrap_or_default();
    one.replicate_to(there).await?;
    two.replicate_from(there).await?;
    one.update("c", &first, json!({"by": "one again"})).await?;
    two.update("c", &first, json!({"by": "two again"})).await?;
    for database in [&one, &two, &one] {
        database.sync(there).await?;
    }
    let (winner, others) = leaves(there, "c").await?;
    checks.same("one other leaf", others.as_array().map(Vec::len), Some(1));
    checks.same("here as there", leaves(&one, "c").await?, (winner.clone(), others.clone()));
    checks.same("on the other, too", leaves(&two, "c").await?, (winner.clone(), others.clone()));
    one.remove("c", others[0].as_str().unwrap_or_default()).await?;
    one.sync(there).await?;
    checks.same("settled", leaves(there, "c").await?, (winner, Value::Null));
    Ok(())
}

async fn attachments_and_deletions(checks: &mut Checks, there: &Database) -> Result<()> {
    let here = Database::memory("attachments");
    let bytes: Vec<u8> = (0..70_001_u32).map(|n| (n % 251) as u8).collect();
    let first = here.put("a", json!({})).await?.rev.unwrap_or_default();
    let kind = "application/octet-stream";
    let second = here.put_attachment("a", "x.bin", &first, bytes.clone(), kind).await?;
    here.replicate_to(there).await?;
    checks.same("its bytes came", there.get_attachment("a", "x.bin").await? == bytes, true);
    let revision = second.rev.unwrap_or_default();
    there.put_attachment("a", "y", &revision, b"yy".to_vec(), "text/plain").await?;
    here.replicate_from(there).await?;
    checks.same("and back", here.get_attachment("a", "y").await?, b"yy".to_vec());
    let gone = there.get("h1").await?.rev.map(|rev| rev.to_string()).unwrap_or_default();
    there.remove("h1", &gone).await?;
    here.replicate_from(there).await?;
    checks.same("a deletion came", here.get("h1").await.is_err(), true);
    Ok(())
}

async fn live(checks: &mut Checks, there: &Database) -> Result<()> {
    let here = Database::memory("live");
    let options = ReplicationOptions { retry: true, ..ReplicationOptions::default() };
    let (_events, handle) = here.replicate_to_live(there, options);
    here.put("live", json!({"n": 1})).await?;
    while there.get("live").await.is_err() {
        // PATIENCE ends this when it never comes.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    handle.cancel();
    checks.same("live", there.get("live").await?.data["n"].clone(), json!(1));
    Ok(())
}
