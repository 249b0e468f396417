//! A load test of the host, asked by name.

use std::time::Duration;

use blitz_contract::native::HostTable;
use blitz_contract::native::wire::ask as words;

use super::paths::ask;
use crate::host::HostError;
use crate::load::{LoadTest, Opening, Plan, Tick};
use crate::web::milliseconds;

/// A test that runs; it is given back when it is dropped.
pub(super) struct LentTest {
    handle: Handle,
    opening: Opening,
}

struct Handle {
    host: &'static HostTable,
    test: u64,
}

impl LentTest {
    pub(super) fn start(host: &'static HostTable, plan: &Plan) -> Result<Self, HostError> {
        let words::Started { test } = ask(host, words::LOAD_START, plan)?;
        // From here on it is given back, also where its opening is none.
        let handle = Handle { host, test };
        let opening = ask(host, words::LOAD_OPENING, &handle.of())?;
        Ok(Self { handle, opening })
    }
}

impl LoadTest for LentTest {
    fn opening(&self) -> &Opening {
        &self.opening
    }

    fn next(&mut self, wait: Duration) -> Result<Vec<Tick>, HostError> {
        let question = words::NextTicks { test: self.handle.test, wait_ms: milliseconds(wait) };
        ask(self.handle.host, words::LOAD_NEXT, &question)
    }

    fn stop(&mut self) {
        // A host that cannot stop it ends the run, and the test with it.
        ask::<_, ()>(self.handle.host, words::LOAD_STOP, &self.handle.of()).ok();
    }
}

impl Handle {
    fn of(&self) -> words::OfTest {
        words::OfTest { test: self.test }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // As in `stop`.
        ask::<_, ()>(self.host, words::LOAD_CLOSE, &self.of()).ok();
    }
}
