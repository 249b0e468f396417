//! What a region is seen to have, and rounds that see little, or too much that is wrong.

use super::*;

/// So many that serve, and so many that lost their engine.
fn region(served: u32, lone: u32) -> Story {
    let mut story = Story::new();
    (0..served + lone).for_each(|n| story.add(instance(&format!("i-{n}"))));
    (0..served).for_each(|n| story.join(registered(&format!("i-{n}"))));
    story
}

fn blind() -> ProviderError {
    ProviderError::Denied("ec2:DescribeInstances is not allowed".to_owned())
}

#[test]
fn a_region_that_could_not_be_listed_or_read_is_left_alone_wholly() {
    let mut story = Story::lone();
    story.join(registered("i-9"));
    story.pass(600);
    let (listing, registrations) = (story.listing.clone(), story.registrations.clone());
    story.listing = Err(blind());
    let round = story.pass(7_200);
    assert_eq!((words(&round), round.capacity), (Vec::new(), None));
    let why = "region virginia is left alone: us-east-1 could not be listed: ec2:DescribeInstances is not allowed";
    assert_eq!(round.held, [why]);
    story.listing = listing;
    story.registrations = Err("timed out".to_owned());
    let round = story.pass(7_200);
    assert_eq!((words(&round), round.capacity), (Vec::new(), None));
    assert_eq!(
        round.held,
        ["region virginia is left alone: its engines could not be read: timed out"]
    );
    story.registrations = registrations;
    assert_eq!(words(&story.once()), ["terminate i-1"]);
}

type Happening = fn(&mut Story);

#[test]
fn nobody_grows_silent_while_nothing_is_seen_or_by_a_clock_that_jumps() {
    let day = 86_400 * S;
    let table: [(&str, Happening); 3] = [
        ("blind for an hour", |story| {
            let registrations = story.registrations.clone();
            story.registrations = Err("timed out".to_owned());
            story.pass(3_600);
            story.registrations = registrations;
        }),
        ("asleep, or set forward", |story| story.now_ms += 86_400 * S),
        ("set back", |story| story.now_ms -= 86_400 * S),
    ];
    for (name, happens) in table {
        let mut story = Story::served();
        story.now_ms += day;
        story.pass_beating("i-1", 600);
        happens(&mut story);
        assert_eq!(words(&story.pass(120)), [""; 0], "{name}");
        assert_eq!(words(&story.pass_beating("i-1", 60)), [""; 0], "{name}");
    }
}

#[test]
fn who_loses_the_memory_waits_and_ends_nobody() {
    let mut story = Story::served();
    assert_eq!(words(&story.pass(220)), ["mark i-1"]);
    story.pass(40);
    story.memory = Memory::default();
    assert_eq!(words(&story.once()), ["unmark i-1"]);
    let old: Memory = serde_json::from_str("{\"later\": 1}").unwrap();
    assert_eq!(old, Memory::default(), "another version's is read");
}

#[test]
fn too_much_that_is_wrong_at_once_holds_everything_until_an_operator_has_looked() {
    let table = [
        (0, 1, false),
        (0, 2, false),
        (0, 3, true),
        (1, 1, false),
        (1, 2, true),
        (2, 1, false),
        (2, 2, true),
        (5, 4, false),
        (6, 5, true),
        (11, 9, false),
    ];
    for (served, lone, holds) in table {
        let mut story = region(served, lone);
        let mut round = story.round();
        for _ in 0..40 {
            (0..served).for_each(|n| story.engine(&format!("i-{n}")).counter += 1);
            story.obey(&round);
            round = story.round();
        }
        let count = usize::try_from(lone).unwrap();
        assert_eq!(round.actions.len(), if holds { 0 } else { count }, "{served} {lone}");
        assert_eq!(round.held.len(), usize::from(holds), "{served} {lone}: {:?}", round.held);
        assert_eq!(round.capacity.unwrap().is_doubtful, holds, "{served} {lone}");
        story.rules.is_forced = true;
        let marks = story.round();
        assert_eq!(marks.actions.len(), count, "{served} {lone}");
        let marked = words(&marks).iter().filter(|word| word.starts_with("mark")).count();
        assert_eq!(marked, if holds { count } else { 0 }, "none was marked while it held");
    }
}

#[test]
fn what_the_breaker_says_names_all_that_is_needed() {
    let mut story = region(1, 2);
    let round = story.pass(40);
    let said = "region virginia is left alone: 2 of 3 look wrong at once (2 machines of us-east-1 without a living engine, 0 engines without a machine), more than 45 %: look at the place and at the engines, then take --force for one round";
    assert_eq!(round.held, [said]);
}

#[test]
fn documents_without_machines_count_unless_that_is_explained() {
    let story = |gone: bool, ended: bool| {
        let mut story = region(4, 0);
        story.rules.wrong_of_min = 4;
        for n in 0..4 {
            story.engine(&format!("i-{n}")).gone = gone && n < 3;
            if n < 3 {
                story.instance(&format!("i-{n}")).state = InstanceState::Gone;
            }
        }
        if !ended {
            story.listing.as_mut().unwrap().retain(|one| one.state == InstanceState::Running);
        }
        story.rules.engine_silent = std::time::Duration::from_secs(200);
        words(&story.pass_beating("i-3", 600)).len()
    };
    assert_eq!(story(false, false), 0, "three engines vanished");
    assert_eq!(story(true, false), 3, "they said so");
    assert_eq!(story(false, true), 3, "the provider says so");
}

#[test]
fn an_empty_listing_beside_fresh_engines_is_not_believed() {
    let mut story = Story::new();
    story.join(registered("i-1"));
    story.join(Registered { gone: true, ..registered("i-2") });
    let round = story.pass_beating("i-1", 600);
    assert_eq!(words(&round), [""; 0]);
    assert!(round.held[0].contains("us-east-1 lists no machine of it, and 1 engines are there"));
    assert_eq!(words(&story.pass(220)), ["remove i-1", "remove i-2"], "nobody is there any more");
}

#[test]
fn who_has_jobs_may_be_drained_where_none_is_to_be() {
    for (max, may) in [(50, false), (0, true)] {
        let mut story = Story::served();
        story.region.max = max;
        story.engine("i-1").holds_jobs = true;
        let idle = story.once().capacity.unwrap().idle;
        assert_eq!(idle.iter().any(|one| one.engine == "i-1"), may, "max = {max}");
        tags(story.instance("i-1")).insert(TAG_KEEP.to_owned(), String::new());
        assert_eq!(story.once().capacity.unwrap().idle, [], "a person keeps it");
    }
}

#[test]
fn capacity_tells_apart_what_takes_jobs_boots_drains_and_is_lost() {
    let mut story = Story::new();
    let young =
        |id: &str| Instance { launched_ms: START, state: InstanceState::Pending, ..instance(id) };
    story.add(young("late"));
    story.add(Instance { is_spot: true, ..instance("idle") });
    for id in ["busy", "drains", "went", "silent", "lone", "kept"] {
        story.add(instance(id));
    }
    story.add(Instance { state: InstanceState::Stopping, ..instance("stops") });
    story.add(Instance { state: InstanceState::Gone, ..instance("ended") });
    let mut foreign = instance("foreign");
    tags(&mut foreign).clear();
    story.add(foreign);
    for id in ["idle", "busy", "drains", "went", "silent", "kept", "ended", "hidden"] {
        story.join(registered(id));
    }
    tags(story.instance("kept")).insert(TAG_KEEP.to_owned(), "true".to_owned());
    story.engine("busy").holds_jobs = true;
    story.engine("drains").is_asked_to_drain = true;
    story.engine("went").gone = true;
    story.region.registration_s = 400;
    story.rules.wrong_percent_max = 60;
    let mut round = story.round();
    for _ in 0..21 {
        for id in ["idle", "busy", "drains", "went", "kept", "ended", "hidden"] {
            story.engine(id).counter += 1;
        }
        round = story.round();
    }
    let capacity = round.capacity.unwrap();
    let idle = Idle { engine: "idle".to_owned(), launched_ms: START - 3_600 * S, is_spot: true };
    let expected = Capacity {
        // idle, busy, kept, hidden
        registered: 4,
        booting: 0,
        // drains, went
        draining: 2,
        // silent, lone, and what has booted for 420 s
        orphaned: 3,
        launching: 0,
        is_doubtful: false,
        idle: vec![idle],
    };
    assert_eq!(capacity, expected);
    assert_eq!((capacity.machines(), capacity.coming()), (9, 4));
}

#[test]
fn a_machine_that_boots_counts_until_this_side_has_waited_for_it() {
    for launched_ms in [START, START - 86_400 * S, START + 86_400 * S] {
        let mut story = Story::new();
        story.add(Instance { launched_ms, ..instance("i-1") });
        for seconds in (0..600).step_by(20) {
            let capacity = story.once().capacity.unwrap();
            let expected = if seconds < 300 { (1, 0) } else { (0, 1) };
            assert_eq!(
                (capacity.booting, capacity.orphaned),
                expected,
                "{launched_ms}, {seconds} s"
            );
        }
    }
}
