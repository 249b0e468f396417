//! What holds of every test, whatever its ticks: their order does not matter, and the whole is the sum of its parts. And what
//! merging costs.

use std::collections::BTreeMap;

use blitz_contract::load::{
    ClassTick, Distribution, ErrorKind, First, STEPS_MAX, StepTick, TICK_EVENT, Tick, Verdict,
};
use proptest::prelude::*;

use crate::{Figures, Latency, Report, Run, fixture};

const REGIONS: [&str; 3] = ["virginia", "japan", "virginia"];

fn distribution() -> impl Strategy<Value = Distribution> {
    prop::collection::vec((0u64..5_000_000, 1u64..50), 0..30).prop_map(Distribution::of)
}

fn step() -> impl Strategy<Value = StepTick> {
    (distribution(), distribution(), 0u64..5, 0u64..9999, any::<bool>()).prop_map(
        |(service_us, response_us, errors, bytes, is_bad)| StepTick {
            step: 0,
            classes: vec![ClassTick {
                class: if is_bad { 5 } else { 2 },
                statuses: BTreeMap::from([(if is_bad { 500 } else { 200 }, service_us.total())]),
                response_us: if response_us.total() == service_us.total() {
                    response_us
                } else {
                    Distribution::default()
                },
                service_us,
            }],
            errors: BTreeMap::from([(ErrorKind::Timeout, errors)]),
            sent_bytes: bytes,
            received_bytes: bytes * 3,
            ..StepTick::default()
        },
    )
}

fn tick() -> impl Strategy<Value = (usize, Tick)> {
    (0..REGIONS.len(), 0u32..12, step(), distribution(), 0u64..100, 0u64..1_000_000).prop_map(
        |(part, second, step, lag_us, asked, cpu_us)| {
            let tick = Tick {
                second,
                users: second,
                asked,
                sent: asked / 2,
                backlog: asked / 3,
                steps: vec![step],
                connect_us: lag_us.clone(),
                lag_us,
                cpu_us,
                is_warm_up: second < 2,
                ..Tick::default()
            };
            (part, tick)
        },
    )
}

fn told(ticks: &[(usize, Tick)]) -> Run {
    let mut run = fixture::opened(&fixture::users(5, 5, 20), &REGIONS);
    for (part, tick) in ticks {
        fixture::hear(&mut run, *part, tick);
    }
    for part in 0..REGIONS.len() {
        fixture::close(&mut run, part, 12, Verdict::Ended, "");
    }
    run
}

fn sums(all: &[&Figures], whole: &Figures) {
    let sum = |of: fn(&Figures) -> u64| all.iter().map(|one| of(one)).sum::<u64>();
    assert_eq!(sum(|one| one.asked), whole.asked);
    assert_eq!(sum(|one| one.sent), whole.sent);
    assert_eq!(sum(|one| one.tally.hits), whole.tally.hits);
    assert_eq!(sum(|one| one.tally.errors.total), whole.tally.errors.total);
    assert_eq!(sum(|one| one.tally.received_bytes), whole.tally.received_bytes);
    let times: [fn(&Figures) -> &Latency; 5] =
        [|f| &f.tally.response, |f| f.tally.service(), |f| &f.lag, |f| &f.connect, |f| &f.tls];
    for of in times {
        assert_eq!(&Latency::sum(all.iter().map(|one| of(one))), of(whole));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_ticks_does_not_matter(
        (ticks, shuffled) in prop::collection::vec(tick(), 0..40)
            .prop_flat_map(|ticks| (Just(ticks.clone()), Just(ticks).prop_shuffle()))
    ) {
        let report = told(&ticks).report();
        prop_assert_eq!(&told(&shuffled).report(), &report);
        let read = Report::from_json(&report.to_json()).unwrap();
        prop_assert_eq!(read, report);
    }

    #[test]
    fn the_whole_is_the_sum_of_its_parts(ticks in prop::collection::vec(tick(), 0..40)) {
        let run = told(&ticks);
        let report = run.report();
        sums(&report.parts.iter().map(|part| &part.figures).collect::<Vec<_>>(), &report.total);
        sums(&report.regions.iter().map(|region| &region.figures).collect::<Vec<_>>(), &report.total);
        prop_assert_eq!(&run.so_far(), &report.total);
        let seconds: Vec<&crate::Second> = report.counted().collect();
        prop_assert_eq!(seconds.iter().map(|second| second.tally.hits).sum::<u64>(), report.total.tally.hits);
        let response = Latency::sum(seconds.iter().map(|second| &second.tally.response));
        prop_assert_eq!(response, report.total.tally.response.clone());
        let mut plain = Distribution::default();
        for (_, tick) in ticks.iter().filter(|(_, tick)| !tick.is_warm_up) {
            plain.add(&tick.lag_us);
        }
        prop_assert_eq!(report.total.lag.distribution(), &plain);
    }

    #[test]
    fn what_is_foreign_does_no_harm(part in 0usize..4, text in ".{0,80}", second in any::<u32>(), count in any::<u64>(), value in any::<u64>()) {
        let mut run = told(&[]);
        run.hear(part, TICK_EVENT, &text);
        run.hear(part, "load-open", &text);
        run.hear(part, "anything", &text);
        let step = u32::try_from(count % (2 * STEPS_MAX as u64)).unwrap();
        let times = format!("[[{value},{count}],[3,1],[{value},1]]");
        let tick = format!(
            "{{\"second\":{second},\"asked\":{count},\"users\":4294967295,\"lag_us\":{times},\"steps\":[{{\"step\":{step},\"classes\":\
             [{{\"class\":9,\"statuses\":{{\"65535\":{count}}},\"service_us\":{times}}}]}}]}}"
        );
        run.hear(part, TICK_EVENT, &tick);
        run.hear(part, TICK_EVENT, &tick.replacen(&second.to_string(), "3", 1));
        let report = run.report();
        prop_assert!(!crate::highlights(&report).is_empty());
        prop_assert!(crate::csv(&report).lines().count() > report.seconds.len());
        let _ = run.second_count();
    }
}

#[test]
fn seconds_are_shown_when_all_living_parts_have_told_or_one_is_further() {
    let mut run = fixture::opened(&fixture::users(5, 5, 20), &REGIONS);
    assert_eq!(run.second_count(), 0);
    let mut expect = |part: usize, second: u32, shown: u32| {
        fixture::hear(&mut run, part, &fixture::tick(second, 1, 3, 100.0));
        assert_eq!(run.second_count(), shown, "after {second} of part {part}");
    };
    expect(0, 0, 0);
    expect(1, 0, 0);
    expect(2, 0, 1);
    expect(0, 1, 1);
    expect(0, 2, 1);
    expect(0, 3, 2);
    expect(1, 3, 2);
    run.ended(2, crate::PartEnd::Lost { reason: "gone".to_owned() });
    assert_eq!(run.second_count(), 4, "nobody waits for the dead");
    assert_eq!(run.second(1).tally.hits, 3);
    fixture::hear(&mut run, 1, &fixture::tick(1, 1, 3, 100.0));
    assert_eq!(run.second(1).tally.hits, 6, "late ones are added");
    assert_eq!(run.second(9), crate::Second { second: 9, ..crate::Second::default() });
    assert_eq!(run.seconds().len(), 4);
}

#[test]
fn firsts_are_the_earliest_of_all_parts() {
    let mut run = fixture::opened(&fixture::users(5, 5, 20), &REGIONS);
    for (part, kind, at_ms) in [
        (0, ErrorKind::Timeout, 900),
        (1, ErrorKind::Timeout, 700),
        (2, ErrorKind::Closed, 800),
        (1, ErrorKind::Timeout, 950),
    ] {
        let first = First { kind, at_ms, users: 3, text: "x".repeat(5000) };
        fixture::hear(&mut run, part, &Tick { firsts: vec![first], ..Tick::default() });
    }
    let firsts = run.report().firsts;
    let told: Vec<_> =
        firsts.iter().map(|first| (first.kind, first.at_ms, first.text.len())).collect();
    assert_eq!(told, [(ErrorKind::Timeout, 700, 300), (ErrorKind::Closed, 800, 300)]);
}

#[test]
fn old_seconds_are_coarse_and_figures_stay_exact() {
    let mut run = fixture::opened(&fixture::users(5, 5, 5000), &["local"]);
    let mut plain = Distribution::default();
    for second in [0, 1, 2, 3000, 3700, 3701] {
        let tick = fixture::tick(second, 5, 500, 10_000.0);
        plain.add(&tick.steps[0].classes[0].service_us);
        fixture::hear(&mut run, 0, &tick);
    }
    let report = run.report();
    assert_eq!(report.total.tally.response.distribution(), &plain);
    let pairs = |second: usize| report.seconds[second].tally.response.distribution().counts().len();
    assert!(pairs(0) * 2 < pairs(3701), "{} {}", pairs(0), pairs(3701));
    let (old, new) = (&report.seconds[0].tally, &report.seconds[3701].tally);
    assert_eq!(old.response.count(), new.response.count());
    assert!(old.response.p99_us().abs_diff(new.response.p99_us()) * 100 < new.response.p99_us());
}

/// CPU time of this thread.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// What 100 engines cost: `cargo test --release -p blitz-report merging -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and says what it measured"]
fn merging_a_hundred_engines() {
    const PARTS: usize = 100;
    const SECONDS: u32 = 60;
    let regions: Vec<&str> =
        (0..PARTS).map(|part| ["virginia", "japan", "ireland"][part % 3]).collect();
    let mut run = fixture::opened(&fixture::users(1000, 1000, SECONDS), &regions);
    let mut tick = fixture::tick(0, 10, 5000, 20_000.0);
    let class = &mut tick.steps[0].classes[0];
    class.response_us = fixture::times(30_000.0, 5000);
    let pairs = class.service_us.counts().len()
        + class.response_us.counts().len()
        + tick.lag_us.counts().len();
    let (mut reading, mut rows) = (0.0, 0.0);
    let mut adding = 0.0;
    let mut bytes = 0;
    for second in 0..SECONDS {
        tick.second = second;
        let body = serde_json::to_string(&tick).unwrap();
        bytes = body.len();
        let begin = cpu_ms();
        (0..PARTS).for_each(|_| drop(serde_json::from_str::<Tick>(&body).unwrap()));
        reading += cpu_ms() - begin;
        let begin = cpu_ms();
        (0..PARTS).for_each(|part| run.hear(part, TICK_EVENT, &body));
        adding += cpu_ms() - begin;
        let begin = cpu_ms();
        let row = run.second(second);
        assert_eq!(row.tally.hits, 5000 * PARTS as u64);
        assert!(run.so_far().tally.hits > 0);
        rows += cpu_ms() - begin;
    }
    let begin = cpu_ms();
    let report = run.report();
    let reporting = cpu_ms() - begin;
    let each = |ms: f64| ms / f64::from(SECONDS);
    println!(
        "{PARTS} engines, {pairs} pairs and {bytes} bytes a tick: for each second {:.2} ms to hear, of which {:.2} ms are JSON, and \
         {:.2} ms for the row and the sums; the report in {reporting:.0} ms, its JSON {} bytes",
        each(adding),
        each(reading),
        each(rows),
        report.to_json().len(),
    );
}
