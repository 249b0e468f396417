//! What it costs to add up the ticks of a hundred engines.

use std::time::Duration;

use blitz_contract::load::{
    ClassTick, Distribution, OPENING_EVENT, Opening, Plan, Share, StepTick, TICK_EVENT, Tick,
};
use blitz_report::{Part, Run};
use rustix::time::{ClockId, clock_gettime};

use crate::sample::say;

const ENGINES: u32 = 100;
const SECONDS: u32 = 60;

/// Buckets that are used in a second of an engine: latencies that spread over two orders of magnitude.
const BUCKETS: u64 = 300;

pub(crate) fn measure() {
    let parts = (0..ENGINES).map(|n| Part { label: format!("r/{n}"), region: "r".to_owned() });
    let mut run = Run::new(parts.collect());
    for engine in 0..ENGINES {
        run.hear(part(engine), OPENING_EVENT, &opening(engine));
    }
    let ticks: Vec<String> = (0..SECONDS).map(tick).collect();
    let before = cpu();
    for tick in &ticks {
        for engine in 0..ENGINES {
            run.hear(part(engine), TICK_EVENT, tick);
        }
        // What a view reads each second.
        let last = run.second_count();
        if last > 0 {
            std::hint::black_box(run.second(last - 1));
        }
    }
    let used = cpu().saturating_sub(before);
    let share = used.as_secs_f64() / f64::from(SECONDS) * 100.0;
    say(&format!("merging the ticks of {ENGINES} engines: {share:.2} % of a core   (aim < 1)"));
}

fn part(engine: u32) -> usize {
    usize::try_from(engine).unwrap_or(0)
}

fn opening(engine: u32) -> String {
    let plan = serde_json::json!({
        "steps": [{"method": "GET", "url": "http://127.0.0.1/", "timeout_ms": 1000}],
        "shape": {"users": {"segments": [{"from": 100.0, "to": 100.0, "duration_ms": 60_000}]}},
    });
    let opening = Opening {
        plan: Plan::from_json(&plan.to_string()).expect("a plan"),
        share: Share { index: engine, of: ENGINES },
        workers: 1,
        started_at_ms: 0,
        missing: 0,
        targets: Vec::new(),
    };
    serde_json::to_string(&opening).expect("JSON")
}

fn tick(second: u32) -> String {
    let spread = Distribution::of((0..BUCKETS).map(|n| (200 + n * n, 10)));
    let answers = spread.total();
    let class = ClassTick {
        class: 2,
        statuses: [(200, answers)].into(),
        service_us: spread.clone(),
        response_us: spread,
    };
    let step = StepTick { step: 0, classes: vec![class], ..StepTick::default() };
    let tick = Tick {
        second,
        users: 1,
        asked: answers,
        sent: answers,
        steps: vec![step],
        ..Tick::default()
    };
    serde_json::to_string(&tick).expect("JSON")
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
