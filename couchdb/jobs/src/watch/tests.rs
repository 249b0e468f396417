//! Who is silent, for whom, and since when.

use super::*;
use crate::engine::{BeatKind, Held};

const S: Duration = Duration::from_secs(1);

fn incarnation(byte: u8) -> Incarnation {
    Incarnation::from_random([byte; 16])
}

fn claim(silent: Vec<Silent>) -> Claim {
    Claim { silent, attempt: 2, ..Claim::first(1, "e1", incarnation(1)) }
}

fn beat(byte: u8, counter: u64, held: &[(&JobId, u32)]) -> Beat {
    Beat {
        kind: BeatKind::Beat,
        blitz: crate::BUILD.to_owned(),
        engine: format!("e{byte}"),
        incarnation: incarnation(byte),
        counter,
        held: held.iter().map(|&(job, attempt)| Held::new(job.clone(), attempt)).collect(),
    }
}

fn watching(job: &JobId, claim: &Claim) -> Watch {
    let mut watch = Watch::new(Timing::of_tests(), Guards::default());
    watch.hear_claim(Duration::ZERO, job, claim);
    watch
}

/// The second at which the job is first said to be dead, when `beats` answers each poll, every two seconds.
fn dead_at(watch: &mut Watch, mut beats: impl FnMut(u32) -> Option<Vec<Beat>>) -> Option<u32> {
    for second in 0..120 {
        if second % 2 == 0
            && let Some(beats) = beats(second)
        {
            watch.hear_beats(second * S, "japan", &beats);
        }
        if !watch.silent(second * S, |_| Duration::ZERO).is_empty() {
            return Some(second);
        }
    }
    None
}

#[test]
fn a_claim_is_dead_when_no_beat_spoke_for_it_for_long_enough() {
    let job = JobId::new("japan", 1);
    type Beats = fn(&JobId, u32) -> Option<Vec<Beat>>;
    let table: [(Beats, Option<u32>, &str); 8] = [
        (|_, _| Some(Vec::new()), Some(25), "no beat at all"),
        (|job, s| Some(vec![beat(1, s.into(), &[(job, 2)])]), None, "it beats"),
        (|job, s| Some(vec![beat(1, s.min(20).into(), &[(job, 2)])]), Some(45), "it stopped"),
        (|job, s| Some(vec![beat(1, s.into(), &[(job, 1)])]), Some(25), "another attempt"),
        (|_, s| Some(vec![beat(1, s.into(), &[])]), Some(25), "the engine lives without it"),
        (|job, s| Some(vec![beat(2, s.into(), &[(job, 2)])]), Some(25), "another start"),
        (|_, _| None, None, "the watcher is blind"),
        // Blind from 10 s to 60 s: then it counts anew.
        (|_, s| (s <= 10 || s >= 60).then(Vec::new), Some(85), "it was blind"),
    ];
    for (beats, expected, what) in table {
        let mut watch = watching(&job, &claim(Vec::new()));
        assert_eq!(dead_at(&mut watch, |second| beats(&job, second)), expected, "{what}");
    }
}

#[test]
fn a_verdict_needs_a_fresh_poll_and_its_turn() {
    let job = JobId::new("japan", 1);
    let mut watch = watching(&job, &claim(Vec::new()));
    for second in (0..=20).step_by(2) {
        watch.hear_beats(second * S, "japan", &[]);
    }
    assert_eq!(watch.silent(25 * S, |_| S).len(), 0, "its turn is a second later");
    assert_eq!(watch.silent(26 * S, |_| S).len(), 1);
    assert_eq!(watch.silent(26 * S, |_| S).len(), 0, "it was looked at just now");
    assert_eq!(watch.due(), Some(Duration::ZERO), "a poll");
    assert_eq!(watch.poll(26 * S).len(), 1);
    assert_eq!(watch.due(), Some(26 * S + Timing::of_tests().take_turns));
    assert_eq!(watch.silent(30 * S, |_| S).len(), 1, "the last answered poll was five ago");
    assert_eq!(watch.silent(31 * S, |_| S).len(), 0, "no poll was answered for 11 s");
}

#[test]
fn polls_name_the_holders_and_those_who_were_silent_by_region() {
    let (job, other) = (JobId::new("japan", 1), JobId::new("oregon", 1));
    let silent = Silent { engine: "e7".to_owned(), incarnation: incarnation(7), counter: 3 };
    let mut watch = watching(&job, &claim(vec![silent]));
    watch.hear_claim(S, &other, &claim(Vec::new()));
    let polls = watch.poll(S);
    let names = |region: &str| polls[region].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((names("japan"), names("oregon")), (vec!["e1", "e7"], vec!["e1"]));
    assert!(watch.poll(2 * S).is_empty(), "not yet");
    watch.forget(&job);
    watch.forget(&other);
    assert!(watch.poll(9 * S).is_empty() && watch.due().is_none(), "nothing is watched");
    assert!(!watch.watches(&job));
}

#[test]
fn survivors_are_those_whose_counter_moved_since() {
    for (counter, survives) in [(3, false), (4, true)] {
        let job = JobId::new("japan", 1);
        let silent = Silent { engine: "e7".to_owned(), incarnation: incarnation(7), counter: 3 };
        let mut watch = watching(&job, &claim(vec![silent]));
        for second in (0..=24).step_by(2) {
            watch.hear_beats(second * S, "japan", &[beat(7, counter, &[])]);
        }
        let silences = watch.silent(25 * S, |_| Duration::ZERO);
        let survivors = silences[0].survivors.len();
        assert_eq!(survivors, usize::from(survives), "counter {counter}");
    }
}

#[test]
fn a_new_claim_of_the_job_is_counted_from_its_hearing() {
    let job = JobId::new("japan", 1);
    let mut watch = watching(&job, &claim(Vec::new()));
    for second in (0..=30).step_by(2) {
        watch.hear_beats(second * S, "japan", &[]);
        if second == 20 {
            watch.hear_claim(second * S, &job, &Claim { attempt: 3, ..claim(Vec::new()) });
        }
    }
    assert!(watch.silent(30 * S, |_| Duration::ZERO).is_empty());
    watch.hear_beats(44 * S, "japan", &[]);
    assert!(watch.silent(45 * S, |_| Duration::ZERO).is_empty(), "it was blind since 30 s");
}

#[test]
fn the_reason_names_the_engine_and_which_start_of_it() {
    let text = reason(&claim(Vec::new()), 25 * S);
    assert_eq!(text, "engine e1 (start 01010101) gave no sign of life for 25 s");
}

/// The second at which the job is first said to be dead when polls, one each second, are answered in those seconds alone.
fn dead_with_answers(answered: impl Fn(u32) -> bool) -> Option<u32> {
    let job = JobId::new("japan", 1);
    let mut watch = Watch::new(Timing::default(), Guards::default());
    watch.hear_claim(Duration::ZERO, &job, &claim(Vec::new()));
    for second in 0..120 {
        if answered(second) {
            // Answers come a little later than the seconds, and not always so much later.
            let late = Duration::from_millis(u64::from(second % 3) * 10);
            watch.hear_beats(second * S + late, "japan", &[]);
        }
        let now = second * S + Duration::from_millis(50);
        if !watch.silent(now, |_| Duration::ZERO).is_empty() {
            return Some(second);
        }
    }
    None
}

#[test]
fn three_lost_polls_in_a_row_blind_nobody_and_more_do() {
    assert_eq!(dead_with_answers(|_| true), Some(25));
    assert_eq!(dead_with_answers(|second| !(10..13).contains(&second)), Some(25), "three lost");
    assert_eq!(dead_with_answers(|second| second % 4 == 0), Some(25), "three of four lost");
    assert_eq!(dead_with_answers(|second| !(10..16).contains(&second)), Some(41), "six lost");
}

#[test]
fn what_no_watcher_saw_yet_cannot_let_an_engine_run_on() {
    let Timing { poll, stop, dead, .. } = Timing::default();
    let blind = poll * POLLS_MISSED_MAX;
    assert!(dead - blind >= stop + crate::claim::CLAIM_TIMEOUT, "a beat is stored late and missed");
}

#[test]
fn an_engine_that_may_be_one_too_many_is_judged_when_all_are_surely_dead() {
    let job = JobId::new("japan", 1);
    let silent = |byte: u8| Silent {
        engine: format!("e{byte}"),
        incarnation: incarnation(byte),
        counter: 3,
    };
    // Another start of engine `byte`, which names the one that died.
    let buries = |byte: u8| {
        let died_with = Some(incarnation(byte));
        let held = vec![Held { died_with, ..Held::new(job.clone(), 1) }];
        Beat { held, incarnation: incarnation(byte + 100), ..beat(byte, 1, &[]) }
    };
    let gone = u32::try_from(Timing::of_tests().gone().as_secs()).unwrap();
    let table: [(&[u8], Vec<Beat>, u32, &str); 6] = [
        (&[7], Vec::new(), 25, "two are not too many"),
        (&[7, 8], Vec::new(), gone, "nobody says that they are dead"),
        (&[7, 8], vec![buries(1), buries(7), buries(8)], 25, "all are buried"),
        (&[7, 8], vec![buries(1), buries(7)], gone, "one may live"),
        (&[7, 8], vec![buries(7), beat(8, 4, &[])], 25, "one survived"),
        (&[7, 8], vec![beat(7, 3, &[]), beat(8, 3, &[])], gone, "what was seen of them before"),
    ];
    for (earlier, beats, expected, what) in table {
        let claim = claim(earlier.iter().map(|byte| silent(*byte)).collect());
        let mut watch = watching(&job, &claim);
        let mut said = None;
        for second in 0..=gone {
            watch.hear_beats(second * S, "japan", &beats);
            if said.is_none() && !watch.silent(second * S, |_| Duration::ZERO).is_empty() {
                said = Some(second);
            }
        }
        assert_eq!(said, Some(expected), "{what}");
    }
}

#[test]
fn who_said_anything_is_not_gone() {
    let job = JobId::new("japan", 1);
    let silent = |byte: u8| Silent {
        engine: format!("e{byte}"),
        incarnation: incarnation(byte),
        counter: 3,
    };
    let mut watch = watching(&job, &claim(vec![silent(7), silent(8)]));
    let gone = u32::try_from(Timing::of_tests().gone().as_secs()).unwrap();
    let mut said = None;
    for second in 0..=gone + 100 {
        // At 100 s it beats once, and holds the job no more.
        let beats = if second < 100 { Vec::new() } else { vec![beat(1, 1, &[])] };
        watch.hear_beats(second * S, "japan", &beats);
        if said.is_none() && !watch.silent(second * S, |_| Duration::ZERO).is_empty() {
            said = Some(second);
        }
    }
    assert_eq!(said, Some(gone + 100));
}
