//! What a follower hears.

use blitz_couchdb::{FeedEvent, FollowOptions, Sequence};
use blitz_jobs::claim as claims;
use blitz_jobs::feed::{Checkpoint, Heard, Place, Relist, follow};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// A follower that listens.
struct Ears {
    heard: Receiver<Heard>,
    relist: Relist,
    task: JoinHandle<()>,
    last: String,
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ears {
    fn of(jobs: &Database, copies: u32, from: Option<Checkpoint>) -> Self {
        let (heard_in, heard) = channel(8);
        let relist = Relist::default();
        let task = tokio::spawn(follow(jobs.clone(), copies, from, relist.asked(), heard_in));
        Self { heard, relist, task, last: String::new() }
    }

    /// The next thing, in short. What comes twice in a row is heard once: the listing and the feed may both tell it.
    async fn next(&mut self) -> String {
        loop {
            let thing = self.any().await;
            if thing != self.last {
                self.last.clone_from(&thing);
                return thing;
            }
        }
    }

    /// The next thing, in short; places are passed over.
    async fn any(&mut self) -> String {
        loop {
            let next = timeout(PATIENCE, self.heard.recv());
            match next.await.expect("nothing is heard").expect("it does not end") {
                Heard::Place(_) => {}
                Heard::Spec(spec) => return format!("spec {}", spec.job),
                Heard::Run(job, _, run) => return format!("{} {job}", run.state()),
                Heard::Losers(job, losers) => {
                    let losers: Vec<String> = losers.iter().map(ToString::to_string).collect();
                    return format!("losers {job} {}", losers.join(" "));
                }
                Heard::Unreadable(job, revision) => return format!("unreadable {job} {revision}"),
                Heard::NoRun(job) => return format!("no run {job}"),
                Heard::Cancel(job) => return format!("cancel {job}"),
                Heard::Ready(ready) => return format!("ready {}", ready.job),
                Heard::Go(job, go) => return format!("go {job} {}", go.members.len()),
                Heard::Replaced(database) => return format!("replaced {database}"),
            }
        }
    }

    /// The next place; what comes before it is passed over.
    async fn place(&mut self) -> Place {
        loop {
            let next = timeout(PATIENCE, self.heard.recv());
            if let Heard::Place(place) = next.await.unwrap().unwrap() {
                return place;
            }
        }
    }
}

fn new_jobs<const N: usize>() -> [JobId; N] {
    let mut jobs = [(); N].map(|()| JobId::new("japan", 1));
    jobs.sort();
    jobs
}

#[tokio::test]
async fn open_jobs_come_first_each_with_its_run_and_then_every_change() {
    let world = World::new().await;
    let [open, ended, held, later] = new_jobs();
    for job in [&open, &ended, &held] {
        world.put_spec(job).await;
    }
    world.put_run(&ended, &lost(1)).await;
    let held_at = world.put_run(&held, &claimed(1)).await;
    let cancel = json!({"kind": "cancel", "blitz": "0", "job": held});
    world.put(&DocumentId::Cancel(held.clone()), None, &cancel).await;
    let mut ears = Ears::of(&world.jobs, 1, None);
    assert_eq!(ears.next().await, format!("spec {open}"));
    assert_eq!(ears.next().await, format!("cancel {held}"));
    assert_eq!(ears.next().await, format!("claimed {held}"));
    assert_eq!(ears.next().await, format!("spec {held}"));
    // Input and fences are of no interest, and neither are documents that nobody knows.
    let input = json!({"kind": "in", "blitz": "0", "base64": ""});
    world.put(&DocumentId::Input(open.clone(), 0), None, &input).await;
    let strange = world.jobs.put("hello", None, &json!({"a": 1}), PutOptions::default()).await;
    assert!(matches!(strange, Ok(Put::Created(_))));
    world.put(&DocumentId::Run(held.clone()), Some(&held_at), &body(&lost(1))).await;
    assert_eq!(ears.next().await, format!("lost {held}"));
    world.put_spec(&later).await;
    assert_eq!(ears.next().await, format!("spec {later}"));
    // All again, on wish.
    ears.relist.ask();
    assert_eq!(ears.next().await, format!("spec {open}"));
    assert_eq!(ears.next().await, format!("spec {later}"));
}

#[tokio::test]
async fn of_several_leaves_the_one_that_counts_is_told_and_the_losers_are_removed() {
    // Also with one copy: replications bring what was written elsewhere.
    for copies in [1, 3] {
        of_several_leaves(copies).await;
    }
}

async fn of_several_leaves(copies: u32) {
    let world = World::new().await;
    let [job, later] = new_jobs();
    // CouchDB's winner has the longer branch, and what counts is the end.
    let leaves = |job: &JobId| {
        let (job, end) = (job.clone(), body(&lost(1)));
        let world = &world;
        async move {
            let longer = (&*revision(3, "f"), body(&claimed(2)));
            world.put_leaves(&job, &[longer, (&*revision(2, "a"), end)]).await;
        }
    };
    world.put_spec(&job).await;
    leaves(&job).await;
    let mut ears = Ears::of(&world.jobs, copies, None);
    assert_eq!(ears.next().await, format!("losers {job} {}", revision(3, "f")), "listed: it ended");
    world.put_spec(&later).await;
    assert_eq!(ears.next().await, format!("spec {later}"));
    leaves(&later).await;
    // Stored one after the other, so that the first may be told alone.
    let mut told = ears.next().await;
    if told == format!("claimed {later}") {
        told = ears.next().await;
    }
    assert_eq!(told, format!("lost {later}"));
    assert_eq!(ears.next().await, format!("losers {later} {}", revision(3, "f")));

    let asked: Vec<Revision> =
        [revision(3, "f"), revision(2, "a")].iter().map(|text| text.parse().unwrap()).collect();
    let not_removed = claims::remove(&world.jobs, copies, &later, &asked).await.unwrap();
    assert!(not_removed.is_empty());
    let left = claims::leaves(&world.jobs, copies, &later).await.unwrap();
    assert_eq!(left.runs.len(), 1, "the one that counts stays, whoever asks");
    assert_eq!(left.runs[0].0.to_string(), revision(2, "a"));
    assert!(claims::remove(&world.jobs, copies, &later, &asked).await.unwrap().is_empty());
    assert_eq!(ears.next().await, format!("lost {later}"));
}

#[tokio::test]
async fn losers_of_a_job_that_has_ended_are_listed_and_removed_in_one_request() {
    let world = World::new().await;
    let [clean, job] = new_jobs();
    let ended = |n, letter| (revision(n, letter), body(&lost(1)));
    let held = |n, letter, byte| (revision(n, letter), body(&claimed(byte)));
    let leaves = [held(1, "a", 1), ended(3, "b"), held(2, "c", 2), held(1, "d", 3)];
    let all: Vec<_> = leaves.iter().map(|(revision, body)| (&**revision, body.clone())).collect();
    for job in [&clean, &job] {
        world.put_spec(job).await;
    }
    world.put_leaves(&job, &all).await;
    world.put_run(&clean, &lost(1)).await;
    let ears = || Ears::of(&world.jobs, 1, None);
    let told = ears().next().await;
    let [winner, others @ ..] = ["3-b", "2-c", "1-d", "1-a"].map(|text| {
        let (n, letter) = text.split_once('-').unwrap();
        revision(n.parse().unwrap(), letter)
    });
    assert_eq!(told, format!("losers {job} {winner} {}", others.join(" ")));
    let asked: Vec<Revision> =
        [winner.clone()].iter().chain(&others).map(|text| text.parse().unwrap()).collect();
    let left = claims::remove(&world.jobs, 3, &job, &asked).await.unwrap();
    assert!(left.is_empty(), "in one request: {left:?}");
    let left = claims::leaves(&world.jobs, 3, &job).await.unwrap();
    let left: Vec<String> = left.runs.iter().map(|(revision, _)| revision.to_string()).collect();
    assert_eq!(left, [winner]);
    let later = JobId::new("japan", 1);
    world.put_spec(&later).await;
    assert_eq!(ears().next().await, format!("spec {later}"), "the others have ended, and no more");
}

#[tokio::test]
async fn a_leaf_that_is_removed_keeps_its_kind_so_that_replications_carry_its_removal() {
    let world = World::new().await;
    let job = JobId::new("japan", 1);
    let leaves = [(&*revision(3, "f"), body(&claimed(2))), (&*revision(1, "a"), body(&claimed(1)))];
    world.put_leaves(&job, &leaves).await;
    let lost = [revision(3, "f").parse().unwrap()];
    assert!(claims::remove(&world.jobs, 1, &job, &lost).await.unwrap().is_empty());
    // The other one goes too, without its kind: were that all, nobody would be told.
    let id = DocumentId::Run(job).to_string();
    let other = revision(1, "a").parse().unwrap();
    assert!(matches!(world.jobs.delete(&id, &other).await.unwrap(), Put::Created(_)));
    let mut feed = world.jobs.follow(FollowOptions {
        since: Sequence::zero(),
        instance_start_time: None,
        selector: Some(json!({"kind": {"$in": ["run", "start"]}})),
        include_docs: false,
        all_leaves: true,
        heartbeat: PATIENCE,
    });
    let told = timeout(PATIENCE, async {
        loop {
            if let FeedEvent::Change(change) = feed.next().await {
                return change;
            }
        }
    });
    let change = told.await.expect("the removal is told");
    assert!(change.deleted && change.id == id, "{change:?}");
}

#[tokio::test]
async fn a_place_says_how_many_listings_came_before_it() {
    let world = World::new().await;
    let [first, second] = new_jobs();
    world.put_spec(&first).await;
    world.put_spec(&second).await;
    let mut ears = Ears::of(&world.jobs, 1, None);
    let place = ears.place().await;
    assert_eq!(place.listed, 0);
    ears.relist.ask();
    assert_eq!(ears.relist.checkpoint(&place, None), None, "told before the listing");
    // The listing, whole, and then a place though nothing has changed.
    assert_eq!(ears.next().await, format!("spec {first}"));
    assert_eq!(ears.next().await, format!("spec {second}"));
    let place = ears.place().await;
    assert_eq!(place.listed, 1);
    assert!(ears.relist.checkpoint(&place, None).is_some());
    // A database that was replaced is listed from its beginning, which is as good.
    world.jobs.drop().await.unwrap();
    ears.relist.ask();
    assert_eq!(ears.next().await, "replaced blitz-jobs-japan-1");
    world.jobs.create().await.unwrap();
    let place = ears.place().await;
    let info = world.jobs.info().await.unwrap();
    assert_eq!((place.listed, &place.instance_start_time), (2, &info.instance_start_time));
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_told_as_such_and_can_be_ended() {
    for copies in [1, 3] {
        let world = World::new().await;
        let [job, later, mixed] = new_jobs();
        let odd = json!({"state": "odd"});
        let first = world.put(&DocumentId::Run(job.clone()), None, &odd).await;
        world.put_spec(&job).await;
        let mut ears = Ears::of(&world.jobs, copies, None);
        assert_eq!(ears.next().await, format!("unreadable {job} {first}"));
        assert_eq!(ears.next().await, format!("spec {job}"));
        // No kind, so that no selector by kind would let it through.
        world.put_spec(&later).await;
        assert_eq!(ears.next().await, format!("spec {later}"));
        let second = world.put(&DocumentId::Run(later.clone()), None, &odd).await;
        assert_eq!(ears.next().await, format!("unreadable {later} {second}"));
        // An engine does not claim over it, and the keeper ends it.
        let answer = claims::write(&world.jobs, copies, &later, None, &claimed(1)).await;
        assert_eq!(answer, blitz_jobs::writing::Answer::Lost);
        let expired = Run::Expired { reason: "late".to_owned() };
        let answer = claims::write(&world.jobs, copies, &later, Some(&second), &expired).await;
        assert!(matches!(answer, blitz_jobs::writing::Answer::Won(_)), "{answer:?}");
        assert_eq!(ears.next().await, format!("expired {later}"));
        if copies == 1 {
            continue;
        }
        let readable = (&*revision(1, "a"), body(&claimed(1)));
        let unreadable = (&*revision(1, "b"), odd.clone());
        world.put_leaves(&mixed, &[readable, unreadable]).await;
        assert_eq!(ears.next().await, format!("unreadable {mixed} {}", revision(1, "b")));
    }
}

#[tokio::test]
async fn documents_of_no_use_stop_nobody() {
    let world = World::new().await;
    let [stray, other, job] = new_jobs();
    world.put(&DocumentId::Spec(stray.clone()), None, &spec(&other)).await;
    world.put(&DocumentId::Spec(other.clone()), None, &json!({"kind": "spec"})).await;
    // A run without a spec is told: replication may bring that last.
    world.put_run(&other, &claimed(1)).await;
    world.put(&DocumentId::Cancel(job.clone()), None, &json!({"kind": "cancel"})).await;
    world.put_spec(&job).await;
    let mut ears = Ears::of(&world.jobs, 1, None);
    assert_eq!(ears.next().await, format!("claimed {other}"));
    assert_eq!(ears.next().await, format!("cancel {job}"), "whatever else it says");
    assert_eq!(ears.next().await, format!("spec {job}"));
}

#[tokio::test]
async fn a_deleted_run_is_told() {
    let world = World::new().await;
    let job = JobId::new("japan", 1);
    world.put_spec(&job).await;
    let revision = world.put_run(&job, &claimed(1)).await;
    let mut ears = Ears::of(&world.jobs, 1, None);
    assert_eq!(ears.next().await, format!("claimed {job}"));
    assert_eq!(ears.next().await, format!("spec {job}"));
    let id = DocumentId::Run(job.clone()).to_string();
    assert!(matches!(world.jobs.delete(&id, &revision).await.unwrap(), Put::Created(_)));
    assert_eq!(ears.next().await, format!("no run {job}"));
    let answer = claims::write(&world.jobs, 1, &job, Some(&revision), &lost(1)).await;
    assert_eq!(answer, blitz_jobs::writing::Answer::Lost, "what was deleted takes no end");
    let answer = claims::write(&world.jobs, 1, &job, None, &claimed(2)).await;
    assert!(matches!(answer, blitz_jobs::writing::Answer::Won(_)), "{answer:?}");
    assert_eq!(ears.next().await, format!("claimed {job}"));
}

#[tokio::test]
async fn a_database_that_was_replaced_is_said_so_and_listed_again() {
    let world = World::new().await;
    let [first, second] = new_jobs();
    world.put_spec(&first).await;
    let mut ears = Ears::of(&world.jobs, 1, None);
    assert_eq!(ears.next().await, format!("spec {first}"));
    ears.place().await;
    world.jobs.drop().await.unwrap();
    assert_eq!(ears.next().await, "replaced blitz-jobs-japan-1");
    world.jobs.create().await.unwrap();
    world.put_spec(&second).await;
    assert_eq!(ears.next().await, format!("spec {second}"));
}

#[tokio::test]
async fn a_restart_goes_on_from_its_checkpoint_in_the_same_database_only() {
    let world = World::new().await;
    let [old, oldest_open, changed] = new_jobs();
    for job in [&old, &oldest_open] {
        world.put_spec(job).await;
    }
    let mut ears = Ears::of(&world.jobs, 1, None);
    assert_eq!(ears.next().await, format!("spec {old}"));
    assert_eq!(ears.next().await, format!("spec {oldest_open}"));
    let place = ears.place().await;
    let checkpoint = ears.relist.checkpoint(&place, Some(oldest_open.to_string())).unwrap();
    assert_eq!(checkpoint.database, world.jobs.name());
    drop(ears);
    assert_eq!(Checkpoint::read(&world.jobs, "e1").await.unwrap(), None);
    checkpoint.write(&world.jobs, "e1").await.unwrap();
    // What happens while nobody listens is heard of after that.
    world.put_run(&old, &claimed(1)).await;
    world.put_spec(&changed).await;
    let read = Checkpoint::read(&world.jobs, "e1").await.unwrap();
    assert_eq!(read.as_ref(), Some(&checkpoint));
    let mut ears = Ears::of(&world.jobs, 1, read);
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(ears.next().await);
    }
    let listed = [format!("spec {oldest_open}"), format!("spec {changed}")];
    assert_eq!(heard[..2], listed, "from the oldest open job on");
    // The shards of a database tell their changes in an order of their own.
    heard[2..].sort();
    assert_eq!(heard[2..], [format!("claimed {old}"), format!("spec {changed}")]);
    for other in [
        Checkpoint { instance_start_time: "x".to_owned(), ..checkpoint.clone() },
        Checkpoint { database: "blitz-jobs-japan-2".to_owned(), ..checkpoint },
    ] {
        let mut ears = Ears::of(&world.jobs, 1, Some(other));
        assert_eq!(ears.next().await, format!("claimed {old}"));
        assert_eq!(ears.next().await, format!("spec {old}"), "all of it");
    }
    world.jobs.put_local("blitz-e1", &json!({"database": 1})).await.unwrap();
    assert_eq!(Checkpoint::read(&world.jobs, "e1").await.unwrap(), None, "one that is broken");
}
