//! The import `load`: load tests, whose requests the engine's own workers send. Needs the grant `load`.
//!
//! Read in the order of a test. `start` is how it begins: `targets` are looked up and judged, and have
//! `shown` that their owner agrees, `agent` signs the requests,
//! the engines have their [`Meeting`], `need` is what a share takes, `ledger` what all tests of the engine have together, as
//! the operator's [`LoadConfig`] says. A `worker` is a process; in it, `child` shuts the `cage` before the worker's code
//! begins, and its connections are made here, by `connects`, as the kernel hands them over (`notify`). `line` are the frames
//! between both. `drive` is the test under way: `merge` adds the workers' seconds up, `parts` makes records of them, `queue` has
//! those for the plugin.
//!
//! *Invariants:* no packet goes to an address that policy and consent did not both allow, and a worker cannot change that.
//! The code of a worker is not here: the program gives it to [`crate::child_main_with`].

mod meeting;
mod config;
mod start;
mod targets;
mod shown;
mod agent;
mod need;
mod ledger;
mod worker;
mod child;
mod cage;
mod notify;
mod connects;
mod line;
mod drive;
mod merge;
mod parts;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::{Consent, OPENING_EVENT, TICK_EVENT};
use blitz_contract::{Capability, Stream};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

pub(crate) use child::{WORD as CHILD_WORD, main as child_main};
pub use config::{LoadCage, LoadCaps, LoadConfig};
pub use meeting::{Alone, LoadSetting, Meeting, Meets, Met};

use self::ledger::Ledger;
use self::queue::{Gone, Queue};
use self::start::{Lent, Running};
use self::targets::Agreed;
use crate::bindings::blitz::plugin::load::{Error, Host, HostTest};
use crate::child::ChildProgram;
use crate::control::Control;
use crate::doing::Activity;
use crate::job::Job;
use crate::output::Outlet;
use crate::tape::load as tape;

/// What a plugin that lets go of a test waits for its last tick.
const CLOSE_TIME: Duration = Duration::from_secs(8);

/// What all load tests of a runtime share.
#[derive(Debug)]
pub(crate) struct Loads {
    config: LoadConfig,
    child: Option<ChildProgram>,
    agreed: Agreed,
    ledger: Ledger,
    /// Trusted certificates, read once.
    roots: OnceCell<Arc<[String]>>,
}

impl Loads {
    pub(crate) fn new(config: LoadConfig, child: Option<ChildProgram>) -> Self {
        Self {
            agreed: Agreed::new(config.consent.clone()),
            ledger: Ledger::new(config.engine, config.target),
            config,
            child,
            roots: OnceCell::new(),
        }
    }

    /// From now on; tests under way are stopped where they may not go on.
    pub(crate) fn agree(&self, consent: Consent) {
        self.agreed.replace(consent);
    }
}

/// A load test that a guest holds open.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Test {
    /// That of a tape.
    number: u64,
    opening: String,
    /// `None` hears a tape.
    live: Option<Running>,
}

impl Host for Job {}

impl HostTest for Job {
    async fn start(&mut self, plan: String) -> wasmtime::Result<Result<Resource<Test>, Error>> {
        if let Err(denial) = self.granted(&Capability::Load) {
            return Ok(Err(Error::Denied(denial)));
        }
        if self.has_test {
            let text = "a run has one load test at a time; drop the last one first";
            return Ok(Err(Error::Limit(text.to_owned())));
        }
        let begun = match self.tape.replay(tape::START, &plan)? {
            Some(heard) => {
                let heard: tape::Heard<String> = heard;
                let opening = Result::from(heard);
                if let Ok(opening) = &opening {
                    self.outlet.give(&record(OPENING_EVENT), opening.as_bytes()).await?;
                }
                opening.map(|opening| (opening, None))
            }
            None => {
                let begun = self.begin(&plan).await;
                let opening = begun.as_ref().map(|running| running.opening.clone());
                let heard = tape::Heard::from(opening.map_err(Clone::clone));
                self.tape.record(tape::START, &plan, &heard)?;
                begun.map(|running| (running.opening.clone(), Some(running)))
            }
        };
        Ok(match begun {
            Err(error) => Err(error),
            Ok((opening, live)) => {
                let number = self.tape.next_test();
                let test = self.table.push(Test { number, opening, live })?;
                self.has_test = true;
                Ok(test)
            }
        })
    }

    async fn opening(&mut self, this: Resource<Test>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.opening.clone())
    }

    async fn next(
        &mut self,
        this: Resource<Test>,
        wait_ms: u64,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let test = self.table.get(&this)?;
        let asked = tape::AskedNext { test: test.number, wait_ms };
        let Some(live) = &test.live else {
            let heard = self.tape.replay::<tape::Heard<Vec<String>>>(tape::NEXT, &asked)?;
            let Some(heard) = heard.map(Result::from) else {
                wasmtime::bail!("a load test without its tape")
            };
            for tick in heard.iter().flatten() {
                self.outlet.give(&record(TICK_EVENT), tick.as_bytes()).await?;
            }
            return Ok(heard);
        };
        let waiting = live.queue.next(Duration::from_millis(wait_ms));
        let heard = self.doing.during(Activity::Load, waiting).await.map_err(gone);
        self.tape.record(tape::NEXT, &asked, &tape::Heard::from(heard.clone()))?;
        Ok(heard)
    }

    async fn stop(&mut self, this: Resource<Test>) -> wasmtime::Result<()> {
        if let Some(live) = &self.table.get(&this)?.live {
            live.stop.cancel();
        }
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Test>) -> wasmtime::Result<()> {
        let test = self.table.delete(this)?;
        self.has_test = false;
        if let Some(Running { stop, task, .. }) = test.live {
            stop.cancel();
            let closing = tokio::time::timeout(CLOSE_TIME, task);
            match self.doing.during(Activity::Load, closing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a load test failed"),
                Err(_) => tracing::warn!("a load test did not end in time: its workers are killed"),
            }
        }
        Ok(())
    }
}

impl Job {
    async fn begin(&mut self, plan: &str) -> Result<Running, Error> {
        let lent = Lent {
            loads: Arc::clone(&self.loads),
            http: self.http.clone(),
            control: self.control.clone(),
            outlet: self.outlet.beside(),
            doing: self.doing.clone(),
            setting: self.load.clone(),
        };
        let Control { cancel, grace, .. } = &self.control;
        // Who has no grace is dropped where it waits.
        let cancel = if grace.is_zero() { CancellationToken::new() } else { cancel.clone() };
        let running = tokio::select! {
            begun = Box::pin(start::begin(lent, plan)) => begun?,
            () = cancel.cancelled() => {
                return Err(Error::Limit("the job is asked to end".to_owned()));
            }
        };
        self.load.terms.spend(running.lasts);
        Ok(running)
    }
}

/// The records of a test, each to the run's output and then to the plugin: one that has seen the last tick may go.
async fn give_out(
    opening: String,
    mut ticks: mpsc::Receiver<String>,
    outlet: Outlet,
    queue: Arc<Queue>,
) {
    let mut is_taken = outlet.give(&record(OPENING_EVENT), opening.as_bytes()).await.is_ok();
    // When it is not, the run is over: whoever gives ticks sees a closed channel.
    while is_taken && let Some(tick) = ticks.recv().await {
        is_taken = outlet.give(&record(TICK_EVENT), tick.as_bytes()).await.is_ok();
        queue.push(tick);
    }
    queue.end();
}

fn record(kind: &str) -> Stream {
    Stream::Event(kind.to_owned())
}

fn gone(gone: Gone) -> Error {
    match gone {
        Gone::Ended => {
            Error::Failed("the load test has ended: its last tick had a closing".to_owned())
        }
        Gone::Lost(count) => Error::Limit(format!(
            "{count} ticks were not taken in time, and are gone: ask for them each second (the records have all of them)"
        )),
    }
}
