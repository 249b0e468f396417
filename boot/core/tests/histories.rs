//! Fleets under random faults: whatever happens to clouds, engines, stores, clocks and drivers, nobody is ended who should live,
//! never is more launched than may be, and in the end nothing is left over.

#[path = "histories/cloud.rs"]
mod cloud;
#[path = "histories/driver.rs"]
mod driver;
#[path = "histories/fault.rs"]
mod fault;
#[path = "histories/world.rs"]
mod world;

use std::cell::RefCell;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use fault::{History, history};
use world::{Count, World};

const HISTORIES: u32 = 1_000;

/// Minutes after the last fault in which all must be well: an engine that is silent and whose last beat names jobs is ended an hour
/// after it was asked to drain, and the circuit breaker may hold until launches that were refused are tried again, an hour later.
const CALM_MINUTES: u32 = 240;

/// And in which no more may happen to those who live.
const CALM_MINUTES_MIN: u32 = 20;

#[test]
fn a_thousand_fault_histories_end_nobody_wrongly_and_leave_nothing_over() {
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let total = RefCell::new(Count::default());
    let result = TestRunner::new(config).run(&history(), |history| {
        let count = live(&history).map_err(TestCaseError::fail)?;
        total.borrow_mut().add(&count);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, history)) => panic!("{reason}\nin {history:?}"),
        Err(error) => panic!("{error}"),
    }
    // What never happens is not tested. The rarest does so a hundred times.
    let total = total.into_inner();
    assert!(total.all().iter().all(|(_, count)| *count >= 20), "{:?}", total.all());
}

fn live(history: &History) -> Result<Count, String> {
    let mut world = World::new(history);
    for (seconds, faults) in &history.steps {
        for fault in faults {
            world.suffer(fault);
        }
        world.step(*seconds)?;
    }
    world.calm();
    rest(&mut world)?;
    if world.is_held() {
        // It says so, and an operator looks.
        world.force();
        rest(&mut world)?;
    }
    match world.leftovers() {
        left if left.is_empty() => Ok(world.count()),
        left => Err(format!("left over: {left:?}; the last round said {:?}", world.said())),
    }
}

fn rest(world: &mut World) -> Result<(), String> {
    for minute in 0..CALM_MINUTES {
        world.step(60)?;
        if minute >= CALM_MINUTES_MIN && world.leftovers().is_empty() {
            break;
        }
    }
    Ok(())
}
