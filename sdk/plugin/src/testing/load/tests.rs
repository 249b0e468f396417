//! Load tests of unit tests begin, tell and end as those of the host do.

use blitz_contract::Capability;

use super::*;
use crate::host::Host as _;
use crate::load::{Segment, Shape, Step};
use crate::testing::FakeHost;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn plan() -> Plan {
    let step = Step::new("GET", "http://shop.example:8080/", SECOND);
    let segments = vec![Segment { from: 1.0, to: 9.0, duration_ms: 3000 }];
    Plan::new(vec![step], Shape::Users { segments })
}

/// Three seconds of 10, 20 and 30 answers.
fn three() -> FakeLoad {
    FakeLoad::default()
        .second(&[(200, 1000, 10)])
        .second(&[(200, 1000, 20)])
        .second(&[(200, 1000, 30)])
}

fn verdict(tick: &Tick) -> Option<Verdict> {
    tick.closing.as_ref().map(|closing| closing.verdict)
}

#[test]
fn ticks_come_each_second_and_the_last_one_closes() {
    let mut host = FakeHost::default().loads(three());
    let mut test = host.load(&plan()).unwrap();
    assert_eq!(test.opening().plan, plan());
    let target = ("http://shop.example:8080".to_owned(), vec!["192.0.2.1:8080".to_owned()]);
    assert_eq!(test.opening().targets, [target]);

    assert_eq!(test.next(SECOND / 2).unwrap(), [], "half a second is too short");
    let first = test.next(MINUTE).unwrap();
    assert_eq!((first.len(), first[0].second, first[0].sent), (1, 0, 10));
    assert_eq!(host.waited.get(), SECOND, "it comes back as soon as there is one");
    let second = test.next(SECOND).unwrap();
    assert_eq!((second[0].second, verdict(&second[0])), (1, None));
    let last = test.next(MINUTE).unwrap();
    assert_eq!((last[0].sent, verdict(&last[0])), (30, Some(Verdict::Ended)));
    let behind = test.next(MINUTE);
    assert!(matches!(behind, Err(HostError::Failed(_))), "nothing follows: {behind:?}");
    assert_eq!(host.time_left(), MINUTE - 3 * SECOND);
    assert_eq!(host.plans, [plan()]);
}

#[test]
fn seconds_that_were_waited_elsewhere_come_together() {
    let mut host = FakeHost::default().loads(three()).loads(FakeLoad::default());
    let mut test = host.load(&plan()).unwrap();
    host.waited.set(2 * SECOND);
    let both = test.next(SECOND).unwrap();
    assert_eq!(both.iter().map(|tick| tick.second).collect::<Vec<_>>(), [0, 1]);
    let two = host.load(&plan()).err();
    assert!(matches!(two, Some(HostError::Limit(_))), "one test at a time: {two:?}");
    drop(test);
    let mut empty = host.load(&plan()).unwrap();
    assert_eq!(verdict(&empty.next(MINUTE).unwrap()[0]), Some(Verdict::Ended));
}

#[test]
fn a_test_that_is_stopped_says_so_and_nothing_more() {
    let load = three();
    let stopped_at = Rc::clone(&load.stopped_at);
    let mut host = FakeHost::default().loads(load);
    let mut test = host.load(&plan()).unwrap();
    test.next(MINUTE).unwrap();
    test.stop();
    test.stop();
    let last = test.next(MINUTE).unwrap();
    assert_eq!((last.len(), last[0].sent, verdict(&last[0])), (1, 0, Some(Verdict::Stopped)));
    assert!(test.next(MINUTE).is_err());
    assert_eq!(host.waited.get(), SECOND);
    drop(test);
    assert_eq!(stopped_at.get(), Some(SECOND));
}

#[test]
fn whoever_drops_a_test_has_stopped_it() {
    for (ticks, wanted) in [(2, Some(2 * SECOND)), (3, None)] {
        let load = three();
        let stopped_at = Rc::clone(&load.stopped_at);
        let mut test = FakeHost::default().loads(load).load(&plan()).unwrap();
        for _ in 0..ticks {
            assert_eq!(test.next(MINUTE).unwrap().len(), 1);
        }
        drop(test);
        assert_eq!(stopped_at.get(), wanted, "after {ticks} of 3 seconds");
    }
}

#[test]
fn a_job_that_is_asked_to_end_ends_its_test() {
    let load = three();
    let stopped_at = Rc::clone(&load.stopped_at);
    let mut host = FakeHost::default().loads(load).cancelled_after(SECOND + SECOND / 2);
    assert!(!host.pause(SECOND / 4), "what was paused before counts");
    let mut test = host.load(&plan()).unwrap();
    assert_eq!(test.next(MINUTE).unwrap().len(), 1);
    assert!(!host.is_cancelled());
    assert_eq!(test.next(MINUTE).unwrap(), [], "back early");
    assert_eq!(host.waited.get(), SECOND + SECOND / 4);
    assert!(host.is_cancelled());
    assert_eq!(verdict(&test.next(MINUTE).unwrap()[0]), Some(Verdict::Stopped));
    drop(test);
    assert_eq!(stopped_at.get(), None, "that was the host");
    let late = host.loads(three()).load(&plan()).err();
    assert!(matches!(late, Some(HostError::Limit(_))), "it does not begin any more: {late:?}");
}

#[test]
fn a_test_can_fail_at_its_start_and_on_its_way() {
    let gone = || HostError::Failed("the workers are gone".to_owned());
    let nobody = || HostError::Denied("shop.example may not be loaded".to_owned());
    let load = FakeLoad::default().second(&[(200, 1000, 1)]).then_fails(gone());
    let mut host = FakeHost::default().loads(load).no_load(nobody());
    let mut test = host.load(&plan()).unwrap();
    assert_eq!(verdict(&test.next(MINUTE).unwrap()[0]), None);
    assert_eq!(test.next(MINUTE), Err(gone()));
    drop(test);
    assert_eq!(host.load(&plan()).err(), Some(nobody()));
    let none_left = host.load(&plan()).err();
    assert!(matches!(none_left, Some(HostError::Failed(_))), "{none_left:?}");
}

#[test]
fn what_the_host_would_refuse_does_not_begin() {
    let mut host = FakeHost { granted: Some(vec![Capability::Web]), ..FakeHost::default() };
    let denied = host.load(&plan()).err();
    let Some(HostError::Denied(text)) = denied else { panic!("{denied:?}") };
    assert!(text.contains("(capabilities = [\"load\"])"), "{text}");
    assert_eq!(host.plans, []);

    let mut host = FakeHost::default().loads(three());
    let refused = host.load(&Plan { streams: 0, ..plan() }).err();
    assert_eq!(refused, Some(HostError::Failed("streams: 1 to 1000, not 0".to_owned())));
    assert_eq!(host.loads.len(), 1, "the next one has it");

    for kind in ["load-open", "load-tick"] {
        assert!(matches!(host.emit(kind, "{}"), Err(HostError::Failed(_))), "{kind}");
    }
}

#[test]
fn a_second_is_written_in_answers_and_errors() {
    let load = FakeLoad::default()
        .second(&[(200, 1500, 90), (503, 900, 2), (204, 700, 1), (999, 1, 1)])
        .error(ErrorKind::Timeout, 3)
        .error(ErrorKind::Timeout, 1);
    let tick = &load.ticks[0][0];
    assert_eq!((tick.asked, tick.sent), (98, 98));
    let [step] = &tick.steps[..] else { panic!("{:?}", tick.steps) };
    let classes: Vec<u8> = step.classes.iter().map(|class| class.class).collect();
    assert_eq!(classes, [0, 2, 5]);
    assert_eq!(step.classes[1].statuses, [(200, 90), (204, 1)].into());
    assert_eq!(step.classes[1].service_us.counts().collect::<Vec<_>>(), [(700, 1), (1500, 90)]);
    assert_eq!(step.errors, [(ErrorKind::Timeout, 4)].into());
}
