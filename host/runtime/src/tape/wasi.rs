//! What WASI tells a plugin of the world, on a tape: clocks, random numbers, and which of several things is ready.
//!
//! These take the place of wasmtime-wasi's own functions in the linker. A live run goes straight on to them. On a
//! replay nothing waits: `poll` and `block` answer at once with what was ready in the recorded run, and the clocks
//! show its times.

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Duration, Instant};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{self, Datetime};
use wasmtime_wasi::p2::bindings::io::poll;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::random::WasiRandomView as _;

use crate::job::Job;

/// Puts these functions in the place of those that are there.
pub(crate) fn add_to_linker(linker: &mut Linker<Job>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<_, HasSelf<Job>>(linker, |job| job)?;
    monotonic_clock::add_to_linker::<_, HasSelf<Job>>(linker, |job| job)?;
    random::add_to_linker::<_, HasSelf<Job>>(linker, |job| job)?;
    insecure::add_to_linker::<_, HasSelf<Job>>(linker, |job| job)?;
    insecure_seed::add_to_linker::<_, HasSelf<Job>>(linker, |job| job)?;
    poll::add_to_linker::<_, HasSelf<Job>>(linker, |job| job)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl wall_clock::Host for Job {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let (seconds, nanoseconds) = self.hear("wasi.wall", &(), |job| {
            let now = wall_clock::Host::now(&mut job.clocks())?;
            Ok((now.seconds, now.nanoseconds))
        })?;
        Ok(Datetime { seconds, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        let (seconds, nanoseconds) = self.hear("wasi.wall-resolution", &(), |job| {
            let grain = wall_clock::Host::resolution(&mut job.clocks())?;
            Ok((grain.seconds, grain.nanoseconds))
        })?;
        Ok(Datetime { seconds, nanoseconds })
    }
}

impl monotonic_clock::Host for Job {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        self.hear("wasi.monotonic", &(), |job| monotonic_clock::Host::now(&mut job.clocks()))
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        self.hear("wasi.monotonic-resolution", &(), |job| {
            monotonic_clock::Host::resolution(&mut job.clocks())
        })
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        // The handle is the machine's own; that it is ready is what the tape tells.
        monotonic_clock::Host::subscribe_instant(&mut self.clocks(), when)
    }

    fn subscribe_duration(&mut self, when: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        monotonic_clock::Host::subscribe_duration(&mut self.clocks(), when)
    }
}

impl random::Host for Job {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.hear("wasi.random", &length, |job| {
            random::Host::get_random_bytes(job.random(), length)
        })
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.hear("wasi.random-u64", &(), |job| random::Host::get_random_u64(job.random()))
    }
}

impl insecure::Host for Job {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.hear("wasi.insecure", &length, |job| {
            insecure::Host::get_insecure_random_bytes(job.random(), length)
        })
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.hear("wasi.insecure-u64", &(), |job| {
            insecure::Host::get_insecure_random_u64(job.random())
        })
    }
}

impl insecure_seed::Host for Job {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.hear("wasi.insecure-seed", &(), |job| insecure_seed::Host::insecure_seed(job.random()))
    }
}

impl poll::Host for Job {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let deck = self.tape.clone();
        if deck.is_live() {
            return poll::Host::poll(self.ctx().table, pollables).await;
        }
        let asks = pollables.len();
        let live = poll::Host::poll(self.ctx().table, pollables);
        deck.wait("wasi.poll", &asks, live).await
    }
}

impl poll::HostPollable for Job {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let deck = self.tape.clone();
        let live = poll::HostPollable::ready(self.ctx().table, pollable);
        deck.wait("wasi.ready", &(), live).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let deck = self.tape.clone();
        let live = poll::HostPollable::block(self.ctx().table, pollable);
        // Null on a tape would be the same as no answer.
        deck.wait("wasi.block", &(), async { live.await.map(|()| true) }).await?;
        Ok(())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.ctx().table, pollable)
    }
}
