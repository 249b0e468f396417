//! Documents that nobody of ours has written, or that somebody has edited: each has an outcome, and none stops an
//! engine. A clock that jumps is not among them: nothing that decides reads the time of day, and the clock that is
//! read ([`blitz_jobs::clock`]) cannot be set.

use blitz_contract::Retry;
use blitz_couchdb::{Database, Put, PutOptions, Revision};
use blitz_jobs::engine::{Beat, EngineDocument};
use blitz_jobs::run::RunDocument;
use blitz_jobs::start::Start;
use blitz_jobs::{Claim, DocumentId, End, Incarnation, JobId, Run};
use blitz_tests::api::stream;
use blitz_tests::{Stack, Witness, until};
use serde_json::{Value, json};

fn jobs(stack: &Stack) -> Database {
    stack.store.database(&JobId::new(stack.region(), 1).jobs_database())
}

/// Writes over whatever is there, as an administrator does, who tries again when it changed meanwhile.
async fn write(database: &Database, id: &str, body: &Value) -> Revision {
    until(&format!("{id} is written"), || async {
        let known = database.get::<Value>(id).await.expect("an answer").map(|known| known.revision);
        let put = database.put(id, known.as_ref(), body, PutOptions::default()).await;
        match put.expect("an answer") {
            Put::Created(revision) | Put::Accepted(revision) => Some(revision),
            Put::Conflict => None,
        }
    })
    .await
}

fn run_id(job: &JobId) -> String {
    DocumentId::Run(job.clone()).to_string()
}

fn spec_id(job: &JobId) -> String {
    DocumentId::Spec(job.clone()).to_string()
}

async fn run_of(stack: &Stack, job: &JobId) -> Option<Run> {
    let found = jobs(stack).get::<RunDocument>(&run_id(job)).await.expect("a run that can be read");
    found.map(|found| found.body.run)
}

async fn ended(stack: &Stack, job: &JobId) -> Run {
    until(&format!("the end of {job}"), || async { run_of(stack, job).await.filter(Run::is_final) })
        .await
}

/// The spec of a job as the gateway writes it, under another id: a template for hands.
async fn template(stack: &Stack, args: &[&str], timeout_ms: u64) -> (JobId, Value) {
    let request = json!({"plugin": "fixture", "args": args, "regions": [stack.region()],
        "timeout_ms": timeout_ms});
    let job: JobId = stack.api.submit_with(request).await.parse().expect("a job's id");
    let found = jobs(stack).get::<Value>(&spec_id(&job)).await.expect("an answer");
    let mut spec = found.expect("the spec").body;
    let other = JobId::new(stack.region(), 1);
    spec["job"] = json!(other);
    spec["tasks"] = json!([other]);
    (other, spec)
}

async fn still_works(stack: &Stack) {
    let (stdout, end) = stack.api.run(stack.region(), &["echo", "still", "here"]).await;
    assert_eq!((stdout.as_str(), &end["state"]), ("still here\n", &json!("done")), "{end}");
}

fn foreign(byte: u8, attempt: u32) -> Run {
    let claim = Claim::first(1, "nobody", Incarnation::from_random([byte; 16]));
    Run::Claimed { claim: Claim { attempt, ..claim } }
}

#[tokio::test]
async fn specs_that_are_no_jobs_are_passed_over_and_those_that_are_run() {
    let stack = Stack::start(&["japan"]).await;
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let database = jobs(&stack);
    let (_, good) = template(&stack, &["echo", "by", "hand"], 60_000).await;
    // Nobody runs these, and nothing is said of them: there is nobody to say it to.
    let mut passed_over = Vec::new();
    for change in [
        json!({"kind": "spec"}),
        json!({"retry": "perhaps"}),
        json!({"timeout_ms": -1}),
        json!({"timeout_ms": "soon"}),
        json!({"args": "echo"}),
        json!({"job": JobId::new(stack.region(), 1)}),
        json!({"job": "nonsense"}),
        json!({"kind": "speck"}),
        json!({"sha256": null}),
    ] {
        let job = JobId::new(stack.region(), 1);
        let mut spec = if change == json!({"kind": "spec"}) { json!({}) } else { good.clone() };
        spec["job"] = json!(job);
        for (name, value) in change.as_object().unwrap() {
            spec[name] = value.clone();
        }
        write(&database, &spec_id(&job), &spec).await;
        passed_over.push((job, change));
    }
    for id in ["nonsense:spec", "spec", "japan-1-x:run", "kind"] {
        write(&database, id, &json!({"kind": "run", "run": {"state": "flying"}})).await;
    }
    // Of another version, with fields that this one does not know; and as an administrator writes it.
    for change in [
        json!({"blitz": "99.0.0", "future": {"fields": [1]}, "limits": {"moons": 2}}),
        json!({"created_at_ms": 0, "run": "", "tasks": []}),
        json!({"plugin": "fixture", "queue_timeout_ms": u64::MAX, "timeout_ms": u64::MAX}),
    ] {
        let job = JobId::new(stack.region(), 1);
        let mut spec = good.clone();
        spec["job"] = json!(job);
        spec["tasks"] = json!([job]);
        for (name, value) in change.as_object().unwrap() {
            spec[name] = value.clone();
        }
        write(&database, &spec_id(&job), &spec).await;
        let events = stack.api.follow(job.as_str()).await;
        assert_eq!(stream(&events, "stdout"), "by hand\n", "{change}: {:?}", events.last());
    }
    // A plugin that there is not waits for one until its time is over.
    let (job, mut unknown) = template(&stack, &["noop"], 60_000).await;
    unknown["sha256"] = json!("0".repeat(64));
    unknown["queue_timeout_ms"] = json!(300);
    write(&database, &spec_id(&job), &unknown).await;
    assert_eq!(ended(&stack, &job).await.state(), "expired");
    still_works(&stack).await;
    for (job, change) in passed_over {
        assert!(run_of(&stack, &job).await.is_none(), "{job} with {change} was touched");
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_left_alone_and_ended_when_its_time_is_over() {
    let stack = Stack::start(&["japan"]).await;
    let database = jobs(&stack);
    let mut written = Vec::new();
    for run in [
        json!({"state": "flying"}),
        json!({"state": "claimed"}),
        json!({"state": "claimed", "claim": {"epoch": 1, "attempt": 0, "engine": "e",
            "incarnation": "0".repeat(32)}}),
        json!({"state": "claimed", "claim": {"epoch": 1, "attempt": 1, "engine": "e",
            "incarnation": "not one"}}),
        json!(null),
    ] {
        let (job, spec) = template(&stack, &["noop"], 500).await;
        write(&database, &run_id(&job), &json!({"kind": "run", "run": run})).await;
        write(&database, &spec_id(&job), &spec).await;
        written.push((job, run));
    }
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    still_works(&stack).await;
    for (job, run) in written {
        let end = until(&format!("the end of {run}"), || async {
            let found = database.get::<Value>(&run_id(&job)).await.unwrap().unwrap().body;
            serde_json::from_value::<RunDocument>(found).ok().map(|document| document.run)
        })
        .await;
        let Run::Expired { reason, .. } = &end else { panic!("{run}: {end:?}") };
        assert!(reason.contains("could not be read"), "{run}: {reason}");
    }
}

#[tokio::test]
async fn a_run_that_is_edited_or_deleted_under_its_engine_has_an_end() {
    let stack = Stack::start(&["japan"]).await;
    let database = jobs(&stack);
    let witness = Witness::start().await;
    let [get, url] = witness.words();
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let running = async || {
        let job: JobId = stack.api.submit(stack.region(), &[&get, &url]).await.parse().unwrap();
        (job, witness.begins().await)
    };

    // Opened by hand: the engine stops, and the job is run from its start.
    let (job, mut seen) = running().await;
    let Some(Run::Claimed { claim }) = run_of(&stack, &job).await else { panic!("not claimed") };
    let open = Run::Open { last: claim, reason: "by hand".to_owned() };
    write(&database, &run_id(&job), &json!(RunDocument::new(open))).await;
    seen.stops().await;
    witness.begins().await.answer("after the hand").await;
    let events = stack.api.follow(job.as_str()).await;
    assert_eq!(stream(&events, "stdout"), "200 OK\nafter the hand");
    assert_eq!(ended(&stack, &job).await.claim().map(|claim| claim.attempt), Some(2));

    // Ended by hand: the engine stops, and what was written stands.
    let (job, mut seen) = running().await;
    let end = Run::Expired { reason: "by hand".to_owned() };
    write(&database, &run_id(&job), &json!(RunDocument::new(end.clone()))).await;
    seen.stops().await;
    assert_eq!(ended(&stack, &job).await, end);

    // Something that cannot be read: the engine stops, for it may be another's.
    let (job, mut seen) = running().await;
    write(&database, &run_id(&job), &json!({"kind": "run", "run": {"state": "flying"}})).await;
    seen.stops().await;
    // Somebody repairs it.
    let end = Run::Expired { reason: "repaired".to_owned() };
    write(&database, &run_id(&job), &json!(RunDocument::new(end.clone()))).await;
    assert_eq!(ended(&stack, &job).await, end);

    // Deleted: whoever runs it goes on, and there is one end.
    let (job, seen) = running().await;
    let known = database.get::<Value>(&run_id(&job)).await.unwrap().unwrap().revision;
    assert!(matches!(database.delete(&run_id(&job), &known).await, Ok(Put::Created(_))));
    tokio::join!(seen.answer("one"), async {
        tokio::select! {
            // Its end was refused, as nobody had the job any more: it was run again.
            next = witness.begins() => next.answer("one").await,
            _ = ended(&stack, &job) => {}
        }
    });
    assert_eq!(ended(&stack, &job).await.state(), "done");
    still_works(&stack).await;
}

#[tokio::test]
async fn a_spec_that_is_edited_or_deleted_changes_nothing_for_who_runs_it() {
    let stack = Stack::start(&["japan"]).await;
    let database = jobs(&stack);
    let witness = Witness::start().await;
    let [get, url] = witness.words();
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    for deletes in [false, true] {
        let job: JobId = stack.api.submit(stack.region(), &[&get, &url]).await.parse().unwrap();
        let seen = witness.begins().await;
        let known = database.get::<Value>(&spec_id(&job)).await.unwrap().unwrap();
        if deletes {
            let deleted = database.delete(&spec_id(&job), &known.revision).await;
            assert!(matches!(deleted, Ok(Put::Created(_))));
        } else {
            let mut spec = known.body;
            spec["args"] = json!(["exit", "7"]);
            write(&database, &spec_id(&job), &spec).await;
        }
        seen.answer("as it was asked").await;
        let run = ended(&stack, &job).await;
        let exit = run.end().map(|end: &End| serde_json::to_value(&end.exit).unwrap());
        assert_eq!((run.state(), exit), ("done", Some(json!({"status": 0}))), "{deletes}");
    }
    still_works(&stack).await;
}

/// Leaves that no writer of ours can make, as a replication from a copy that somebody has edited brings them.
#[tokio::test]
async fn conflicts_that_are_made_on_purpose_leave_one_end() {
    let stack = Stack::start(&["japan"]).await;
    let database = jobs(&stack);
    let witness = Witness::start().await;
    let [get, url] = witness.words();
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    for (generation, leaf) in [
        (9, foreign(7, 1)),
        (1, foreign(8, 3)),
        (
            9,
            Run::Open {
                last: Claim::first(1, "x", Incarnation::from_random([9; 16])),
                reason: String::new(),
            },
        ),
    ] {
        let job: JobId = stack.api.submit(stack.region(), &[&get, &url]).await.parse().unwrap();
        let seen = witness.begins().await;
        let mut forged = json!(RunDocument::new(leaf.clone()));
        forged["_id"] = json!(run_id(&job));
        forged["_rev"] = json!(format!("{generation}-{}", "f".repeat(32)));
        let forged = serde_json::value::to_raw_value(&forged).unwrap();
        assert_eq!(database.merge(&[forged]).await.unwrap(), []);
        // The engine goes on, or it stops and the job is taken from the engine that there is not.
        let (mut seen, mut other) = (Some(seen), None);
        if let Some(seen) = seen.take() {
            tokio::select! {
                () = seen.answer("it") => {}
                next = witness.begins() => other = Some(next),
            }
        }
        if let Some(next) = other {
            next.answer("it").await;
        }
        let run = until("one end", || async {
            tokio::select! {
                next = witness.begins() => {
                    next.answer("it").await;
                    None
                }
                run = run_of(&stack, &job) => run.filter(Run::is_final),
            }
        })
        .await;
        assert_eq!(run.state(), "done", "{generation} {leaf:?}");
    }
    still_works(&stack).await;
}

#[tokio::test]
async fn a_cancel_that_cannot_be_read_cancels() {
    let stack = Stack::start(&["japan"]).await;
    let database = jobs(&stack);
    let witness = Witness::start().await;
    let [get, url] = witness.words();
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    let job: JobId = stack.api.submit(stack.region(), &[&get, &url]).await.parse().unwrap();
    let mut seen = witness.begins().await;
    let cancel = DocumentId::Cancel(job.clone()).to_string();
    write(&database, &cancel, &json!({"kind": "cancel", "why": ["by", "hand"]})).await;
    seen.stops().await;
    assert_eq!(ended(&stack, &job).await.state(), "cancelled");
    still_works(&stack).await;
}

#[tokio::test]
async fn a_start_fence_of_somebody_else_keeps_a_job_from_beginning() {
    let stack = Stack::start(&["japan"]).await;
    stack.publish("once", |manifest| manifest.retry = Retry::Never).await;
    let witness = Witness::start().await;
    let request = json!({"plugin": "once", "args": witness.words(), "regions": [stack.region()]});
    let job: JobId = stack.api.submit_with(request).await.parse().unwrap();
    let claim = Claim::first(1, "nobody", Incarnation::from_random([7; 16]));
    let fence = Start::new(job.clone(), &claim);
    write(&jobs(&stack), &DocumentId::Start(job.clone()).to_string(), &json!(fence)).await;
    let _engine = stack.engine(stack.region(), "e1", 4).await;
    tokio::select! {
        _ = witness.begins() => panic!("it began though another may have begun it"),
        run = ended(&stack, &job) => assert_eq!(run.state(), "lost", "{run:?}"),
    }
    still_works(&stack).await;
}

#[tokio::test]
async fn an_engines_own_documents_may_be_anything_before_it_starts_and_while_it_runs() {
    let stack = Stack::start(&["japan"]).await;
    let region = stack.region();
    let beats = stack.store.database(&format!("blitz-beats-{region}"));
    let engines = stack.store.database(&format!("blitz-engines-{region}"));
    let (beat, engine) = (Beat::document_id("e1"), EngineDocument::document_id("e1"));
    for id in ["beat:e0", "engine:e0", "lease:keeper"] {
        write(&beats, id, &json!({"kind": "beat", "counter": "many"})).await;
    }
    write(&beats, &beat, &json!({"counter": -1, "held": "all"})).await;
    write(&engines, &engine, &json!({"kind": "engine", "incarnation": 7})).await;
    write(&engines, "engine:e0", &json!({})).await;
    let witness = Witness::start().await;
    let _engine = stack.engine(region, "e1", 4).await;
    let words = witness.words();
    let job: JobId = stack.api.submit(region, &[&words[0], &words[1]]).await.parse().unwrap();
    let seen = witness.begins().await;
    // A beat comes, somebody writes over it, and the next one is there all the same.
    let counter = async || {
        let found = beats.get::<Value>(&beat).await.unwrap()?.body;
        serde_json::from_value::<Beat>(found).ok().map(|beat| beat.counter)
    };
    let first = until("a beat", &counter).await;
    until("a beat that is written over", || async {
        let known = beats.get::<Value>(&beat).await.unwrap().unwrap().revision;
        let put = beats.put(&beat, Some(&known), &json!({"x": 1}), PutOptions::default()).await;
        matches!(put, Ok(Put::Created(_))).then_some(())
    })
    .await;
    until("the next beat", || async { counter().await.filter(|next| *next > first) }).await;
    seen.answer("fine").await;
    let run = ended(&stack, &job).await;
    assert_eq!((run.state(), run.claim().map(|claim| claim.attempt)), ("done", Some(1)));
    still_works(&stack).await;
}

#[tokio::test]
async fn a_database_that_is_replaced_voids_its_jobs_and_takes_new_ones() {
    let stack = Stack::start(&["japan"]).await;
    let database = jobs(&stack);
    let witness = Witness::start().await;
    let [get, url] = witness.words();
    let _engine = stack.engine(stack.region(), "e1", 1).await;
    let job: JobId = stack.api.submit(stack.region(), &[&get, &url]).await.parse().unwrap();
    let mut seen = witness.begins().await;
    database.drop().await.unwrap();
    database.create().await.unwrap();
    seen.stops().await;
    assert!(database.get::<Value>(&run_id(&job)).await.unwrap().is_none(), "nothing is written");
    // Its one slot is free again.
    still_works(&stack).await;
}

#[tokio::test]
async fn a_version_that_kills_engines_is_taken_back() {
    let stack = Stack::start(&["japan"]).await;
    // A name of its own: what was taken back stays so in a store that outlives the test.
    let plugin = format!("killer-{}", stack.region());
    stack.publish(&plugin, |_| {}).await;
    let database = jobs(&stack);
    let job = json!({"plugin": plugin, "args": ["noop"], "regions": [stack.region()]});
    for n in 0..3 {
        let id: JobId = stack.api.submit_with(job.clone()).await.parse().unwrap();
        let claim = Claim::first(1, "e1", Incarnation::from_random([n; 16]));
        let poison = Run::Poison { claim, reason: "three engines fell silent".to_owned() };
        write(&database, &run_id(&id), &json!(RunDocument::new(poison))).await;
    }
    let refused = until("the refusal of the version", || async {
        let (status, answer) = stack.api.call("POST", "/v1/jobs", Some(&job)).await;
        (!status.is_success()).then_some(answer)
    })
    .await;
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("engines"), "{refused}");
}
