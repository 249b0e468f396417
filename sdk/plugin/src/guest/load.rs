//! The import `load`, as a plugin sees it.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::bindings::blitz::plugin::load as wire;
use crate::host::HostError;
use crate::load::{LoadTest, Opening, Plan, Tick};
use crate::web::milliseconds;

/// A test of the host, which is given back when it is dropped.
struct Lent {
    test: wire::Test,
    opening: Opening,
}

pub(super) fn start(plan: &Plan) -> Result<Box<dyn LoadTest>, HostError> {
    let plan = serde_json::to_string(plan).map_err(|e| HostError::Failed(e.to_string()))?;
    let test = wire::Test::start(&plan)?;
    let opening = read("the opening of the load test", &test.opening())?;
    Ok(Box::new(Lent { test, opening }))
}

impl LoadTest for Lent {
    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn next(&mut self, wait: Duration) -> Result<Vec<Tick>, HostError> {
        let ticks = self.test.next(milliseconds(wait))?;
        ticks.iter().map(|tick| read("a tick of the load test", tick)).collect()
    }

    fn stop(&mut self) {
        self.test.stop();
    }
}

/// The host writes what this reads, unless it is much newer.
fn read<T: DeserializeOwned>(what: &str, json: &str) -> Result<T, HostError> {
    serde_json::from_str(json)
        .map_err(|e| HostError::Failed(format!("{what} is not of this contract: {e}")))
}
