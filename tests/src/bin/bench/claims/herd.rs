//! A thousand engines before one job, simulated: the same contest, and the delays of a store on the same network.

use std::time::Instant;

use blitz_simulation::herd::Herd;

use crate::sample::say;

const ENGINES: usize = 1_000;

/// Busy engines of a thousand.
const BUSY: [usize; 4] = [0, 900, 990, 999];

/// Enough for a p99 whose error is a few milliseconds.
const JOBS: usize = 3_000;

/// Jobs before those that count, in a region that has just begun and in one that has not.
const WARM_UP: [(usize, &str); 2] = [(0, "new"), (60_000, "old")];

const SEED: u64 = 1;

pub(crate) fn measure() {
    let begun = Instant::now();
    say(&format!(
        "{ENGINES} engines simulated, {JOBS} jobs, seed {SEED}: feed 5 ms + Exp(10 ms), PUT 2 ms + Exp(4 ms)"
    ));
    say(&format!(
        "{:>8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}   aim",
        "region", "busy", "PUTs/job", "409s/job", "p50 ms", "p99 ms", "max ms"
    ));
    for (warm_up, age) in WARM_UP {
        for busy_per_mille in BUSY {
            let herd = Herd { engines: ENGINES, busy_per_mille, warm_up, jobs: JOBS, seed: SEED };
            row(age, herd);
        }
    }
    say(&format!(
        "old: {} jobs went before, so that each engine has measured some 60 delays of its own",
        WARM_UP[1].0
    ));
    say(&format!("  took {:.1} s", begun.elapsed().as_secs_f64()));
}

fn row(age: &str, herd: Herd) {
    let outcome = herd.run();
    let each = |count: usize| count as f64 / JOBS as f64;
    let ms = |percent| outcome.percentile(percent).as_secs_f64() * 1e3;
    let busy = format!("{:.1} %", herd.busy_per_mille as f64 / 10.0);
    say(&format!(
        "{age:>8} {busy:>8} {:>9.2} {:>9.2} {:>9.1} {:>9.1} {:>9.1}   PUTs <= 2, p99 <= 700",
        each(outcome.puts),
        each(outcome.conflicts),
        ms(50),
        ms(99),
        ms(100)
    ));
}
