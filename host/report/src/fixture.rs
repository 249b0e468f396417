//! Tests of a load test: runs that were never made, with round figures.

use std::collections::BTreeMap;

use blitz_contract::load::{
    ClassTick, Closing, Distribution, ErrorKind, First, OPENING_EVENT, Opening, Plan, Share,
    StepTick, TICK_EVENT, Tick, Verdict,
};
use serde_json::json;

use crate::{Part, PartEnd, Run};

/// Of `shape`, as JSON.
pub(crate) fn plan(shape: &serde_json::Value) -> Plan {
    let step =
        json!({"method": "GET", "url": "http://127.0.0.1:8080/?q=<b>&x=1", "timeout_ms": 1000});
    Plan::from_json(&json!({"steps": [step], "shape": shape}).to_string()).unwrap()
}

pub(crate) fn users(from: u32, to: u32, seconds: u32) -> Plan {
    plan(
        &json!({"users": {"segments": [{"from": f64::from(from), "to": f64::from(to), "duration_ms": seconds * 1000}]}}),
    )
}

pub(crate) fn rate(from: u32, to: u32, seconds: u32) -> Plan {
    plan(
        &json!({"rate": {"segments": [{"from": f64::from(from), "to": f64::from(to), "duration_ms": seconds * 1000}]}}),
    )
}

/// A run with a part in each of these regions, all opened.
pub(crate) fn opened(plan: &Plan, regions: &[&str]) -> Run {
    let parts = regions.iter().enumerate().map(|(n, region)| Part {
        label: format!("{region}/{}", n + 1),
        region: (*region).to_owned(),
    });
    let mut run = Run::new(parts.collect());
    let of = u32::try_from(regions.len()).unwrap();
    for index in 0..of {
        let opening = Opening {
            plan: plan.clone(),
            share: Share { index, of },
            workers: 2,
            started_at_ms: 1_790_000_000_000 + u64::from(index) * 7,
            missing: 0,
            targets: vec![("http://127.0.0.1:8080".to_owned(), vec!["127.0.0.1:8080".to_owned()])],
        };
        run.hear(index as usize, OPENING_EVENT, &serde_json::to_string(&opening).unwrap());
    }
    run
}

/// `count` times around `base_us`, with a tail.
pub(crate) fn times(base_us: f64, count: u64) -> Distribution {
    Distribution::of((0..count).map(|n| {
        let place = (n as f64 + 0.5) / count as f64;
        (crate::words::whole(base_us * (0.8 - 0.3 * (1.0 - place).ln())), 1)
    }))
}

/// A second in which `hits` answers came, each after about `base_us`.
pub(crate) fn tick(second: u32, users: u32, hits: u64, base_us: f64) -> Tick {
    let class = ClassTick {
        class: 2,
        statuses: BTreeMap::from([(200, hits)]),
        service_us: times(base_us, hits),
        response_us: Distribution::default(),
    };
    let step = StepTick {
        step: 0,
        classes: vec![class],
        errors: BTreeMap::new(),
        sent_bytes: hits * 100,
        received_bytes: hits * 1100,
        ..StepTick::default()
    };
    Tick {
        second,
        users,
        connections: users,
        asked: hits,
        sent: hits,
        steps: vec![step],
        lag_us: times(20.0, hits),
        cpu_us: 100_000,
        ..Tick::default()
    }
}

pub(crate) fn hear(run: &mut Run, part: usize, tick: &Tick) {
    run.hear(part, TICK_EVENT, &serde_json::to_string(tick).unwrap());
}

pub(crate) fn close(run: &mut Run, part: usize, second: u32, verdict: Verdict, text: &str) {
    let share = Share { index: u32::try_from(part).unwrap(), of: 2 };
    let closing = Some(Closing { share, verdict, text: text.to_owned(), at_us: None });
    hear(run, part, &Tick { second, closing, ..Tick::default() });
    run.ended(part, PartEnd::Done { status: 0 });
}

/// 1 to 250 users in 60 s from two regions. Each user makes 20 requests a second, until 2,000 a second are all that the target does;
/// from 40 s on some are not answered in time, and some badly.
pub(crate) fn ramp() -> Run {
    let mut run = opened(&users(1, 250, 60), &["virginia", "japan"]);
    for second in 0..60u32 {
        for part in 0..2usize {
            let users = ((second + 1) * 250 / 60).div_ceil(2);
            let asked = u64::from(users) * 20;
            let hits = asked.min(1000);
            let base =
                50_000.0 * (asked as f64 / hits as f64) + if part == 0 { 0.0 } else { 10_000.0 };
            let mut tick = tick(second, users, hits, base);
            tick.connect_us = times(300.0, 2);
            if second >= 40 {
                tick.steps[0].errors.insert(ErrorKind::Timeout, 3);
                tick.steps[0].classes.push(ClassTick {
                    class: 5,
                    statuses: BTreeMap::from([(503, 4)]),
                    service_us: times(1000.0, 4),
                    response_us: Distribution::default(),
                });
                tick.asked += 7;
                tick.sent += 7;
            }
            if second == 40 {
                tick.firsts.push(First {
                    kind: ErrorKind::Timeout,
                    at_ms: 40_123 + part as u64,
                    users,
                    text: "no answer from <127.0.0.1:8080> in 1000 ms".to_owned(),
                });
            }
            hear(&mut run, part, &tick);
        }
    }
    for part in 0..2 {
        close(&mut run, part, 60, Verdict::Ended, "");
    }
    run
}

/// 100 a second for 20 s; from 8 s to 12 s nothing is answered.
pub(crate) fn hangs() -> Run {
    let mut run = opened(&rate(100, 100, 20), &["local"]);
    for second in 0..20 {
        let mut one = tick(second, 1, 100, 2000.0);
        let class = &mut one.steps[0].classes[0];
        class.response_us = class.service_us.clone();
        if (8..12).contains(&second) {
            one.steps.clear();
            one.users = (second - 7) * 100;
        }
        if second == 12 {
            let class = &mut one.steps[0].classes[0];
            class.statuses.insert(200, 500);
            class.response_us = Distribution::of((0..500).map(|n| (2000 + n * 8000, 1)));
            class.service_us = class.response_us.clone();
        }
        hear(&mut run, 0, &one);
    }
    close(&mut run, 0, 20, Verdict::Ended, "");
    run
}

/// A generator at its limit: as fast as it goes, against something faster.
pub(crate) fn flat_out() -> Run {
    let mut run = opened(&users(100, 100, 10), &["local"]);
    for second in 0..10 {
        let mut one = tick(second, 100, 5000, 900.0);
        one.cpu_us = 990_000;
        one.starved_us = 60_000;
        one.lag_us = times(3000.0, 5000);
        hear(&mut run, 0, &one);
    }
    close(&mut run, 0, 10, Verdict::Ended, "");
    run
}
