//! What the jobs promise: places are bounded, failures are kept back, nobody runs twice.

use super::*;
use crate::user::User;
use serde_json::json;

fn task(source: &str, continuous: bool) -> Task {
    let body = json!({"source": source, "target": "b", "continuous": continuous});
    let user = Arc::new(User::anonymous());
    Task::parse(body.as_object().unwrap(), user, "uuid").unwrap()
}

fn failure() -> Result<Log, RunError> {
    Err(RunError::NoDatabase { shown: String::from("b") })
}

struct World {
    jobs: Jobs,
    stop: CancellationToken,
    instant: Instant,
    now: SystemTime,
}

impl World {
    fn new() -> World {
        let (instant, now) = (Instant::now(), SystemTime::now());
        World { jobs: Jobs::default(), stop: CancellationToken::new(), instant, now }
    }

    fn add(&self, source: &str, continuous: bool, origin: &Origin) -> Result<(), NotAdded> {
        self.jobs.add(task(source, continuous), origin.clone(), None, self.now)
    }

    fn begin(&self, after: Duration) -> Vec<Begin> {
        self.jobs.begin(&self.stop, self.instant + after, self.now)
    }

    fn ended(&self, begin: &Begin, result: Result<Log, RunError>) -> Option<Done> {
        self.jobs.ended(&begin.id, begin.run, result, self.instant, self.now)
    }
}

#[test]
fn a_job_that_fails_is_kept_back_longer_each_time() {
    let world = World::new();
    world.add("a", true, &Origin::Document("d".into())).unwrap();
    let mut after = Duration::ZERO;
    for kept_back in [30, 60, 120, 240] {
        let begun = world.begin(after);
        assert_eq!(begun.len(), 1);
        assert!(world.begin(after).is_empty(), "it runs already");
        assert!(world.ended(&begun[0], failure()).is_none());
        after = Duration::from_secs(kept_back);
        assert!(world.begin(after - Duration::from_secs(1)).is_empty());
        assert_eq!(world.jobs.next_turn(), Some(world.instant + after));
    }
    assert_eq!(backoff(u32::MAX), BACKOFF * 1024);
}

#[test]
fn places_are_bounded_and_given_up_for_those_who_wait() {
    let world = World::new();
    for number in 0..RUNNING_MAX + 3 {
        world.add(&format!("s{number}"), true, &Origin::Request).unwrap();
    }
    let begun = world.begin(Duration::ZERO);
    assert_eq!(begun.len(), RUNNING_MAX);
    world.jobs.rotate(world.instant + TURN / 2);
    assert!(begun.iter().all(|begin| !begin.stop.is_cancelled()));
    world.jobs.rotate(world.instant + TURN);
    let stopped: Vec<&Begin> = begun.iter().filter(|begin| begin.stop.is_cancelled()).collect();
    assert_eq!(stopped.len(), 3);
    for begin in &stopped {
        assert!(world.ended(begin, Err(RunError::Stopped)).is_none());
    }
    // Those who waited come first.
    let next = world.begin(Duration::ZERO);
    assert_eq!(next.len(), 3);
    assert!(next.iter().all(|next| stopped.iter().all(|stopped| stopped.id != next.id)));
}

#[test]
fn one_replication_has_one_document() {
    let world = World::new();
    let document = |id: &str| Origin::Document(id.into());
    world.add("a", true, &Origin::Request).unwrap();
    world.add("a", true, &document("d")).unwrap();
    world.add("a", true, &document("d")).unwrap();
    let taken = world.add("a", true, &document("e"));
    assert!(matches!(taken, Err(NotAdded::Taken { by, .. }) if by == "d"));
    assert!(world.jobs.of_document("d").is_some());
    let begun = world.begin(Duration::ZERO);
    world.jobs.remove_documents(Some("d"));
    assert!(begun[0].stop.is_cancelled() && world.jobs.of_document("d").is_none());
    // The end of a run that nobody wants any more is nothing.
    assert!(world.ended(&begun[0], Ok(Log::new())).is_none());
}

#[test]
fn a_job_begins_anew_when_something_else_is_asked_for() {
    let world = World::new();
    let add = |password: &str, origin: &Origin| {
        let source = format!("http://u:{password}@h/a");
        world.add(&source, true, origin).unwrap();
    };
    let document = Origin::Document(String::from("d"));
    add("old", &document);
    let first = world.begin(Duration::ZERO);
    add("old", &document);
    add("other", &Origin::Request);
    assert!(world.begin(Duration::ZERO).is_empty() && !first[0].stop.is_cancelled());
    add("new", &document);
    assert!(first[0].stop.is_cancelled());
    let second = world.begin(Duration::ZERO);
    assert_eq!((second.len(), &second[0].id), (1, &first[0].id));
    // The end of the first run is not the end of the second.
    assert!(world.ended(&first[0], Ok(Log::new())).is_none());
    assert!(world.ended(&second[0], Ok(Log::new())).is_some());
}

#[tokio::test]
async fn who_waits_is_told_and_a_request_that_failed_is_over() {
    let world = World::new();
    for result in [Ok(Log::new()), failure()] {
        let (waiter, told) = oneshot::channel();
        let (task, now) = (task("a", false), world.now);
        world.jobs.add(task, Origin::Request, Some(waiter), now).unwrap();
        let begun = world.begin(Duration::ZERO);
        let wanted = result.is_ok();
        world.ended(&begun[0], result);
        assert_eq!(told.await.unwrap().is_ok(), wanted);
        assert!(world.jobs.each(|_| ()).is_empty());
    }
}
