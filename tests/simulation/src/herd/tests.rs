//! The numbers that the herd is held to: the seed makes them the same in every run.

use super::*;

/// What the herd may cost a job, in 99 of 100.
const LATENCY_MAX: Duration = Duration::from_millis(700);

/// So many jobs that every engine has measured some delays of its own.
const WARM_UP: usize = 20_000;

fn run(busy_per_mille: usize, warm_up: usize, jobs: usize) -> Outcome {
    Herd { engines: 1000, busy_per_mille, warm_up, jobs, seed: 1 }.run()
}

#[test]
fn a_thousand_idle_engines_write_twice_a_job_at_most() {
    for warm_up in [0, WARM_UP] {
        let outcome = run(0, warm_up, 200);
        assert!(outcome.puts <= 2 * 200, "{} writes of 200 jobs, {warm_up} before", outcome.puts);
        assert_eq!(outcome.puts - outcome.conflicts, 200, "one claim a job stands");
    }
}

#[test]
fn the_only_free_engine_of_a_thousand_is_not_late() {
    for warm_up in [0, WARM_UP] {
        let outcome = run(999, warm_up, 1000);
        let p99 = outcome.percentile(99);
        assert!(p99 <= LATENCY_MAX, "p99 {p99:?} of 1,000 jobs, {warm_up} before");
        assert_eq!(outcome.puts, 1000, "nobody else writes");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    assert_eq!(run(990, 10, 50), run(990, 10, 50));
}

#[test]
fn an_engine_without_a_free_slot_asks_for_nothing() {
    let herd = Herd { engines: 1, busy_per_mille: 0, warm_up: 0, jobs: 0, seed: 1 };
    let mut region = Region::new(herd);
    for (number, wanted) in [(0, 1), (1, 0)] {
        region.engines[0].hear_spec(Duration::ZERO, Arc::new(spec(number)));
        let asked = region.engines[0].tick(Duration::from_secs(1));
        assert_eq!(asked.len(), wanted, "{asked:?}");
    }
}
