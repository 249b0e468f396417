//! Properties: the parts are exactly the whole, no second has more or less than its integral, nothing drifts.

use blitz_contract::load::{Plan, Segment, Share};
use proptest::prelude::*;
use serde_json::json;

use super::curve::Curve;
use super::{Arrivals, Change, Users, quota};

const SECOND: u64 = 1_000_000_000;

fn segment(from: f64, to: f64, duration_ms: u64) -> Segment {
    Segment { from, to, duration_ms }
}

fn due(segments: &[Segment], share: Share) -> Vec<u64> {
    let mut arrivals = Arrivals::new(segments, false, 0, share);
    let mut found = Vec::new();
    while let Some(at) = arrivals.next_ns() {
        found.push(at);
        arrivals.advance();
    }
    found
}

fn shapes(height: f64) -> impl Strategy<Value = Vec<Segment>> {
    let heights = prop_oneof![Just(0.0), 0.0..height, (0..20_u32).prop_map(f64::from)];
    let one = (heights.clone(), heights, 1..5000_u64)
        .prop_map(|(from, to, duration_ms)| segment(from, to, duration_ms));
    prop::collection::vec(one, 1..6)
}

proptest! {
    #[test]
    fn parts_are_the_whole_and_seconds_are_their_integral(shape in shapes(300.0), of in 1..5_u32, workers in 1..4_u32) {
        let whole = due(&shape, Share::WHOLE);
        prop_assert!(whole.is_sorted());
        let mut parts = Vec::new();
        for index in 0..of {
            for worker in 0..workers {
                let part = due(&shape, Share { index, of }.part(worker, workers));
                prop_assert!(part.is_sorted());
                parts.extend(part);
            }
        }
        parts.sort_unstable();
        prop_assert_eq!(&parts, &whole);
        let curve = Curve::new(&shape);
        prop_assert!((whole.len() as f64 - curve.total()).abs() < 1.0);
        let end: u64 = shape.iter().map(|s| s.duration_ms * 1_000_000).sum();
        prop_assert!(whole.iter().all(|at| *at <= end));
        for second in 0..end.div_ceil(SECOND) {
            let begin = second * SECOND;
            let till = begin + SECOND;
            let count = whole.iter().filter(|at| (begin..till).contains(at)).count() as f64;
            let wanted = curve.integral(till) - curve.integral(begin);
            prop_assert!((count - wanted).abs() < 1.001, "{} of {} in the second from {}", count, wanted, begin);
        }
        for (index, at) in whole.iter().enumerate() {
            let slack = 1e-9 * 320.0 + 1e-6;
            prop_assert!((curve.integral(*at) - index as f64).abs() < slack, "transaction {}", index);
        }
    }

    #[test]
    fn users_are_those_below_the_height(
        heights in prop::collection::vec((0..40_u32, 0..40_u32, 1..3000_u64), 1..5), of in 1..4_u32,
    ) {
        let shape: Vec<Segment> =
            heights.iter().map(|(from, to, ms)| segment(f64::from(*from), f64::from(*to), *ms)).collect();
        let shares: Vec<Vec<Change>> =
            (0..of).map(|index| Users::new(&shape, Share { index, of }).collect()).collect();
        for changes in &shares {
            prop_assert!(changes.is_sorted_by_key(|change| change.at_ns));
            prop_assert_eq!(changes.last().map_or(0, |change| change.users), 0);
        }
        let mut begin = 0;
        for one in &shape {
            for part in [1, 3, 7] {
                // Never where a line crosses a whole height: there both answers are right.
                let at = begin + one.duration_ms * 1_000_000 * part / 8;
                let height = one.from + (one.to - one.from) * part as f64 / 8.0;
                if height.fract() == 0.0 && one.from != one.to {
                    continue;
                }
                let all: u32 = shares
                    .iter()
                    .map(|changes| changes.iter().take_while(|c| c.at_ns <= at).last().map_or(0, |c| c.users))
                    .sum();
                prop_assert_eq!(f64::from(all), height.ceil());
            }
            begin += one.duration_ms * 1_000_000;
        }
    }
}

#[test]
fn what_is_even_is_exact() {
    let found = due(&[segment(500.0, 500.0, 60_000)], Share::WHOLE);
    assert_eq!(found.len(), 30_000);
    for (index, at) in found.iter().enumerate() {
        assert_eq!(*at, index as u64 * 2_000_000);
    }
}

#[test]
fn nothing_drifts_over_a_day() {
    let day = 24 * 3600 * 1000;
    let mut curve_hint = 0;
    let curve = Curve::new(&[segment(100_000.0, 100_000.0, day)]);
    assert_eq!(curve.count(), 8_640_000_000);
    let last = curve.reach(8_639_999_999.0, &mut curve_hint).unwrap();
    assert_eq!(last, day * 1_000_000 - 10_000);
    let odd = Curve::new(&[segment(1.0 / 3.0, 1.0 / 3.0, day); 1]);
    assert_eq!(odd.count(), 28_800);
    // Each minute of a day its own segment: sums do not drift either.
    let minutes = Curve::new(&[segment(0.1, 0.1, 60_000); 1440]);
    assert_eq!(minutes.count(), 8640);
    assert!(minutes.reach(8639.0, &mut 0).unwrap().abs_diff(day * 1_000_000 - 10 * SECOND) < 1000);
}

#[test]
fn ramps_steps_and_pauses() {
    // 0 to 10 in 10 s: 50 transactions, number k after sqrt(2k) seconds.
    let up = due(&[segment(0.0, 10.0, 10_000)], Share::WHOLE);
    assert_eq!(
        (up.len(), up[0], up[2], up[8], up[32]),
        (50, 0, 2 * SECOND, 4 * SECOND, 8 * SECOND)
    );
    let down = due(&[segment(10.0, 0.0, 10_000)], Share::WHOLE);
    assert_eq!((down.len(), down[0]), (50, 0));
    assert_eq!(down[18], 2 * SECOND);
    assert_eq!(down[42], 6 * SECOND);
    // What falls into a pause comes when it is over.
    let pause = [
        segment(0.0, 0.0, 5000),
        segment(1.0, 1.0, 2000),
        segment(0.0, 0.0, 1000),
        segment(2.0, 2.0, 1000),
    ];
    assert_eq!(
        due(&pause, Share::WHOLE),
        [5 * SECOND, 6 * SECOND, 8 * SECOND, 8 * SECOND + SECOND / 2]
    );
}

#[test]
fn users_of_ramps_and_steps() {
    let changes = |segments: &[Segment], share| -> Vec<(u64, u32)> {
        Users::new(segments, share).map(|c| (c.at_ns / 1_000_000, c.users)).collect()
    };
    assert_eq!(changes(&[segment(250.0, 250.0, 1000)], Share::WHOLE), [(0, 250), (1000, 0)]);
    assert_eq!(
        changes(&[segment(250.0, 250.0, 1000)], Share { index: 1, of: 4 }),
        [(0, 63), (1000, 0)]
    );
    let ramp = [segment(1.0, 4.0, 3000), segment(2.0, 0.0, 2000)];
    assert_eq!(
        changes(&ramp, Share::WHOLE),
        [(0, 1), (0, 2), (1000, 3), (2000, 4), (3000, 2), (4000, 1), (5000, 0)]
    );
    assert_eq!(
        changes(&ramp, Share { index: 1, of: 2 }),
        [(0, 1), (2000, 2), (3000, 1), (4000, 0)]
    );
    assert_eq!(
        changes(&[segment(0.0, 0.0, 1000), segment(1.0, 1.0, 500)], Share::WHOLE),
        [(1000, 1), (1500, 0)]
    );
    assert_eq!(changes(&[segment(1.0, 1.0, 500)], Share { index: 1, of: 2 }), []);
    assert_eq!(Users::new(&ramp, Share { index: 0, of: 3 }).peak(), 2);
}

#[test]
fn poisson_arrivals_of_all_shares_are_one_process() {
    let shape = [segment(0.0, 2000.0, 10_000), segment(2000.0, 2000.0, 20_000)];
    let mut all = Vec::new();
    for index in 0..4 {
        let mut arrivals = Arrivals::new(&shape, true, 7, Share { index, of: 4 });
        while let Some(at) = arrivals.next_ns() {
            all.push(at);
            arrivals.advance();
        }
    }
    all.sort_unstable();
    // 50,000 are expected; five standard deviations are 1,118.
    assert!(all.len().abs_diff(50_000) < 1118, "{}", all.len());
    // Of a Poisson process the variance of counts is their mean: here of 2,000 windows of 10 ms with 20 each.
    let flat: Vec<u64> =
        all.iter().filter(|at| **at >= 10 * SECOND).map(|at| at / 10_000_000).collect();
    let mut counts = [0.0; 2000];
    for window in flat {
        let window = usize::try_from(window - 1000).unwrap();
        if let Some(count) = counts.get_mut(window) {
            *count += 1.0;
        }
    }
    let mean = counts.iter().sum::<f64>() / 2000.0;
    let variance = counts.iter().map(|c: &f64| (c - mean).powi(2)).sum::<f64>() / 2000.0;
    assert!((mean - 20.0).abs() < 0.6, "{mean}");
    assert!((variance / mean - 1.0).abs() < 0.2, "{variance} / {mean}");
    let again = Arrivals::new(&shape, true, 7, Share { index: 3, of: 4 });
    let other = Arrivals::new(&shape, true, 8, Share { index: 3, of: 4 });
    assert_eq!(again.next_ns(), again.clone().next_ns());
    assert_ne!(again.next_ns(), other.next_ns());
}

#[test]
fn what_is_due_is_counted() {
    let mut arrivals = Arrivals::new(&[segment(10.0, 10.0, 1000)], false, 0, Share::WHOLE);
    assert_eq!((arrivals.advance_to(0), arrivals.index()), (1, 1));
    assert_eq!(arrivals.advance_to(450_000_000), 4);
    assert_eq!(arrivals.advance_to(u64::MAX), 5);
    assert_eq!((arrivals.next_ns(), arrivals.advance_to(u64::MAX)), (None, 0));
}

#[test]
fn a_quota_goes_to_shares_that_have_users() {
    for (shape, of, wanted) in [
        (
            json!({"users": {"segments": [{"from": 2.0, "to": 2.0, "duration_ms": 1000}]}}),
            4,
            vec![6, 5, 0, 0],
        ),
        (
            json!({"users": {"segments": [{"from": 9.0, "to": 2.0, "duration_ms": 1000}]}}),
            3,
            vec![4, 4, 3],
        ),
        (
            json!({"rate": {"segments": [{"from": 2.0, "to": 2.0, "duration_ms": 1000}]}}),
            4,
            vec![3, 3, 3, 2],
        ),
    ] {
        let text = json!({"steps": [{"method": "GET", "url": "http://x/", "timeout_ms": 1}], "shape": shape, "requests": 11});
        let plan = Plan::from_json(&text.to_string()).unwrap();
        let found: Vec<u64> =
            (0..of).filter_map(|index| quota(&plan, Share { index, of })).collect();
        assert_eq!(found, wanted);
    }
}
