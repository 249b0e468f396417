//! Records of a load test made by hand, for tests: a server that is fast up to 60 users, and slower with each one more.

use std::collections::BTreeMap;

use blitz_contract::load::{
    ClassTick, Closing, Distribution, ErrorKind, First, Opening, Plan, Segment, Shape, Share, Step,
    StepTick, Tick, Verdict,
};

/// What is told before the first tick, of engine `index` of `of`: users from 1 to `peak`.
pub(crate) fn opening(index: u32, of: u32, peak: f64, length_s: u64) -> String {
    let step = Step {
        method: "GET".to_owned(),
        url: "http://127.0.0.1:8080/".to_owned(),
        headers: Vec::new(),
        body: None,
        status: None,
        timeout_ms: 1000,
        extract: Vec::new(),
        variables: Vec::new(),
    };
    let segment = Segment { from: 1.0, to: peak, duration_ms: length_s * 1000 };
    let text = |opening: &Opening| serde_json::to_string(opening).unwrap();
    text(&Opening {
        plan: Plan {
            steps: vec![step],
            shape: Shape::Users { segments: vec![segment] },
            requests: None,
            transactions: None,
            think_ms: 0,
            warm_up_ms: 0,
            connections: None,
            keep_alive: true,
            version: blitz_contract::load::HttpVersion::Http1,
            streams: 1,
            verify: true,
            resume: true,
            seed: 0,
        },
        share: Share { index, of },
        workers: 1,
        started_at_ms: 1_700_000_000_000,
        missing: 0,
        targets: vec![("http://127.0.0.1:8080".to_owned(), vec!["127.0.0.1:8080".to_owned()])],
    })
}

/// One second with so many users; above 80 some requests are not answered in time.
pub(crate) fn tick(second: u32, users: u32) -> Tick {
    let answers = u64::from(users.min(60)) * 10;
    let middle = 2000 + u64::from(users.saturating_sub(60)) * 500;
    let service_us = Distribution::of([
        (middle / 2, answers / 4),
        (middle, answers / 2),
        (middle * 2, answers / 4 - answers / 50),
        (middle * 10, answers / 50),
    ]);
    let timeouts = u64::from(users.saturating_sub(80));
    let total = service_us.total();
    let classes = vec![ClassTick {
        class: 2,
        statuses: [(200, total)].into(),
        service_us,
        ..ClassTick::default()
    }];
    let errors: BTreeMap<ErrorKind, u64> =
        [(ErrorKind::Timeout, timeouts)].into_iter().filter(|(_, count)| *count > 0).collect();
    let firsts = (timeouts > 0).then(|| First {
        kind: ErrorKind::Timeout,
        at_ms: u64::from(second) * 1000 + 400,
        users,
        text: "no answer in 1000 ms".to_owned(),
    });
    Tick {
        second,
        users,
        connections: users,
        asked: total + timeouts,
        sent: total + timeouts,
        steps: vec![StepTick {
            step: 0,
            classes,
            errors,
            sent_bytes: answers * 100,
            received_bytes: answers * 1200,
            ..StepTick::default()
        }],
        lag_us: Distribution::of([(20, total)]),
        cpu_us: 120_000,
        firsts: firsts.into_iter().collect(),
        ..Tick::default()
    }
}

/// The ticks of `length_s` seconds with 1 to `peak` users, the last one with its closing.
pub(crate) fn ticks(length_s: u32, peak: u32) -> Vec<String> {
    let users = |second: u32| 1 + (peak - 1) * second / (length_s - 1).max(1);
    let closing =
        Closing { share: Share::WHOLE, verdict: Verdict::Ended, text: String::new(), at_us: None };
    (0..length_s)
        .map(|second| {
            let is_last = second + 1 == length_s;
            let tick =
                Tick { closing: is_last.then(|| closing.clone()), ..tick(second, users(second)) };
            serde_json::to_string(&tick).unwrap()
        })
        .collect()
}
