//! Nothing is lost: ticks and their parts add up to what was counted.

use blitz_contract::load::{Closing, Distribution, ErrorKind, Plan, Share, Tick, Verdict};
use serde_json::json;

use super::split::PART_BYTES_MAX;
use super::{Gauges, KINDS, Recorder, split};
use crate::pace::Random;
use crate::tls::tests::cost::cpu_ns;

const MS: u64 = 1_000_000;

fn plan(steps: usize, shape: &str) -> Plan {
    let step = json!({"method": "GET", "url": "http://x/", "timeout_ms": 1});
    let segments = json!([{"from": 1.0, "to": 1.0, "duration_ms": 1}]);
    let plan = json!({"steps": vec![step; steps], "shape": {shape: {"segments": segments}}});
    Plan::from_json(&plan.to_string()).unwrap()
}

#[test]
fn a_second_is_told_and_forgotten() {
    let mut recorder = Recorder::new(&plan(2, "rate"));
    recorder.asked(5);
    for (status, service, response) in
        [(200, 3, 4), (204, 3, 3), (200, 7_200_000, 1), (503, 0, 1), (42, 1, 1), (999, 1, 1)]
    {
        recorder.sent(1, 10);
        recorder.received(1, 100);
        recorder.answered(1, status, service * MS, Some(response * MS));
    }
    recorder.sent_more(1, 5);
    recorder.lag(1500);
    recorder.connected(2 * MS + 999);
    recorder.secured(0);
    recorder.failed(1, ErrorKind::Assert, 1500 * MS, 7, || "first".to_owned());
    recorder.failed(1, ErrorKind::Assert, 1600 * MS, 8, || panic!("only the first is asked"));
    recorder.failed(0, ErrorKind::Timeout, 1700 * MS, 9, || "x".repeat(1000));
    let now = Gauges { users: 3, connections: 4, backlog: 5, cpu_us: 6, starved_us: 7 };
    let tick = recorder.tick(1, true, now);
    let found = serde_json::to_value(&tick).unwrap();
    assert_eq!(
        found,
        json!({"second": 1, "users": 3, "connections": 4, "asked": 5, "sent": 6, "backlog": 5, "cpu_us": 6, "starved_us": 7,
            "is_warm_up": true, "lag_us": [[1, 1]], "connect_us": [[2000, 1]], "tls_us": [[0, 1]],
            "firsts": [{"kind": "assert", "at_ms": 1500, "users": 7, "text": "first"},
                {"kind": "timeout", "at_ms": 1700, "users": 9, "text": "x".repeat(300)}],
            "steps": [
                {"step": 0, "classes": [], "errors": {"timeout": 1}, "sent_bytes": 0, "received_bytes": 0},
                {"step": 1, "errors": {"assert": 2}, "sent_bytes": 65, "received_bytes": 600, "classes": [
                    {"class": 0, "statuses": {"42": 1, "999": 1}, "service_us": [[1000, 2]], "response_us": [[1000, 2]]},
                    {"class": 2, "statuses": {"200": 2, "204": 1},
                        "service_us": [[3000, 2], [Distribution::bucket(u64::MAX), 1]],
                        "response_us": [[1000, 1], [3000, 1], [4000, 1]]},
                    {"class": 5, "statuses": {"503": 1}, "service_us": [[0, 1]], "response_us": [[1000, 1]]}]}]})
    );
    let empty = recorder.tick(2, false, Gauges::default());
    assert_eq!(empty, Tick { second: 2, ..Tick::default() });
    recorder.failed(1, ErrorKind::Assert, 0, 0, || panic!("once in a test"));
    assert_eq!(recorder.tick(3, false, Gauges::default()).steps[0].errors[&ErrorKind::Assert], 1);
}

#[test]
fn in_a_closed_model_what_is_sent_was_asked() {
    let mut recorder = Recorder::new(&plan(1, "users"));
    recorder.sent(0, 1);
    recorder.answered(0, 200, 5, None);
    let tick = recorder.tick(0, false, Gauges::default());
    assert_eq!((tick.asked, tick.sent), (1, 1));
    assert!(tick.steps[0].classes[0].response_us.is_empty());
}

#[test]
fn buckets_are_those_of_the_contract() {
    let mut recorder = Recorder::new(&plan(1, "users"));
    let mut random = Random::new(5);
    let values: Vec<u64> = (0..20_000).map(|_| random.draw() >> random.below(64)).collect();
    for us in &values {
        recorder.lag(us.saturating_mul(1000));
    }
    let wanted = Distribution::of(values.iter().map(|us| (us.saturating_mul(1000) / 1000, 1)));
    assert_eq!(recorder.tick(0, false, Gauges::default()).lag_us, wanted);
}

#[test]
fn parts_are_short_and_add_up() {
    let mut random = Random::new(3);
    for (steps, answers) in [(1, 0), (1, 10), (1, 40_000), (32, 100_000)] {
        let mut recorder = Recorder::new(&plan(steps, "rate"));
        for _ in 0..answers {
            let step = usize::try_from(random.below(steps as u64)).unwrap();
            let (service, response) =
                (random.draw() >> (20 + random.below(30)), random.draw() >> 22);
            let status = 100 + u16::try_from(random.below(500)).unwrap();
            recorder.asked(1);
            recorder.sent(step, random.below(1000));
            recorder.answered(step, status, service, Some(response));
            recorder.lag(service);
            recorder.connected(response);
            recorder.secured(response);
            recorder.failed(step, KINDS[usize::try_from(random.below(8)).unwrap()], 0, 0, || {
                "\u{1}".repeat(300)
            });
        }
        let mut tick = recorder.tick(
            9,
            true,
            Gauges { users: 1, connections: 2, backlog: 3, cpu_us: 4, starved_us: 5 },
        );
        tick.closing = Some(Closing {
            share: Share::WHOLE,
            verdict: Verdict::Ended,
            text: "bye".repeat(200),
            at_us: None,
        });
        let parts = split(tick.clone());
        let lengths: Vec<usize> =
            parts.iter().map(|part| serde_json::to_vec(part).unwrap().len()).collect();
        assert!(lengths.iter().all(|length| *length < PART_BYTES_MAX), "{lengths:?}");
        // Nearly full, too.
        let all: usize = lengths.iter().sum();
        assert!(lengths.len() <= 1 + all / (PART_BYTES_MAX / 10 * 7), "{lengths:?}");
        let (last, before) = parts.split_last().unwrap();
        assert!(last.closing.is_some() && before.iter().all(|part| part.closing.is_none()));
        let mut parts = parts.into_iter();
        let mut sum = parts.next().unwrap();
        parts.for_each(|part| sum.add(&part));
        assert_eq!(sum, tick);
    }
}

/// Run by hand, in release: what an answer costs.
#[test]
#[ignore = "a measurement"]
fn what_an_answer_costs() {
    let mut recorder = Recorder::new(&plan(4, "rate"));
    let mut random = Random::new(3);
    let times: Vec<u64> = (0..4096).map(|_| 50_000 + random.below(4 * MS)).collect();
    let rounds = 20_000_000_usize;
    let begin = cpu_ns();
    for round in 0..rounds {
        let time = times[round % 4096];
        recorder.answered(round & 3, 200, time, Some(time + 1000));
    }
    let per = (cpu_ns() - begin) / rounds as u64;
    let begin = std::time::Instant::now();
    let tick = recorder.tick(0, false, Gauges::default());
    println!(
        "answered: {per} ns with both times; a tick: {:?}, {} bytes",
        begin.elapsed(),
        serde_json::to_vec(&tick).unwrap().len()
    );
}
