//! The rounds: which probes go out when, and how long answers are waited for.
//!
//! The first round finds out how far it is, in waves; each later one asks all hops at once, and so each router once.

use std::ops::ControlFlow;
use std::time::Duration;

use blitz_plugin::probes::{Probe, Protocol, Session};
use blitz_plugin::{Host, HostError};

use crate::path::Path;
use crate::record;
use crate::settings::Settings;

/// Hops asked at once before the way's length is known.
const WAVE_HOPS: u8 = 6;
/// With UDP a target answers those beyond it with ICMP errors, of which Linux lets six go at once and then one a second.
const WAVE_HOPS_UDP: u8 = 3;

/// Flows of TCP probes that are out at once: without raw sockets each needs a port of its own, as in mtr.
const TCP_FLOWS: u32 = 2048;

/// How long a wave waits for its last hop before the next one goes.
const WAVE_WAIT: Duration = Duration::from_millis(250);

/// How long the last round waits: three times the slowest answer, and this at least.
const LINGER_MIN: Duration = Duration::from_millis(500);
/// As mtr has it.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// Twice a second is as often as a person reads a table.
const LIVE_INTERVAL: Duration = Duration::from_millis(500);

/// What is kept of the job's time for the last answers and the report: three times the slowest answer, within these.
const RESERVE_MIN: Duration = Duration::from_millis(500);
const RESERVE_MAX: Duration = Duration::from_secs(3);
/// And no more than one part of so many: a short job is for probes, too.
const RESERVE_PARTS: u32 = 5;

/// A run's state.
pub(crate) struct Rounds<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) session: Box<dyn Session>,
    pub(crate) path: Path,
    /// When the latest record was given, and whether something has changed since.
    shown_at: Option<Duration>,
    is_changed: bool,
    /// Of the whole job.
    time: Duration,
    /// The job's time had no room for all that was asked for.
    pub(crate) is_cut: bool,
}

/// `Break` when the job was asked to end.
type Flow = Result<ControlFlow<()>, HostError>;

/// Goes on unless the job was asked to end.
macro_rules! on {
    ($flow:expr) => {
        if $flow?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    };
}

impl<'a> Rounds<'a> {
    /// `time` is what the job has, all in all.
    pub(crate) fn new(settings: &'a Settings, session: Box<dyn Session>, time: Duration) -> Self {
        let path = Path::new(settings.first_ttl, settings.last_ttl);
        Self { settings, session, path, shown_at: None, is_changed: false, time, is_cut: false }
    }

    /// Makes all rounds, or as many as there is time for.
    ///
    /// # Errors
    ///
    /// What the network said.
    pub(crate) fn run(&mut self, host: &mut dyn Host) -> Flow {
        // Routers answer one a second: each flow has its own turn.
        let pace = self.settings.interval;
        let mut begun = self.session.elapsed();
        'rounds: for round in 1..=self.settings.rounds {
            for flow in 0..self.settings.flows {
                let is_first = round == 1 && flow == 0;
                let at = begun + pace * u32::from(flow);
                if !is_first && !self.has_room(at, host) {
                    self.is_cut = true;
                    break 'rounds;
                }
                on!(self.listen(at, host));
                if flow == 0 {
                    // Later than planned when the way was long to find.
                    begun = self.session.elapsed();
                    self.path.next_round(begun);
                }
                if is_first {
                    on!(self.discover(host));
                } else {
                    self.send(self.settings.first_ttl, self.path.horizon(), flow)?;
                }
            }
            begun += pace * u32::from(self.settings.flows);
        }
        let slowest = self.path.slowest().map_or(LINGER_MAX, |slowest| slowest * 3).min(LINGER_MAX);
        let room = host.time_left().saturating_sub(self.reserve() / 2);
        let linger = slowest.max(LINGER_MIN).min(room);
        let until = self.session.elapsed() + linger;
        while self.path.is_waiting() && self.session.elapsed() < until {
            on!(self.step(until, host));
        }
        // Without the time for an answer none is lost.
        if linger >= slowest || !self.path.is_waiting() {
            self.path.next_round(self.session.elapsed());
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Sends farther and farther until the target has answered, or nobody does any more.
    fn discover(&mut self, host: &mut dyn Host) -> Flow {
        let is_udp = self.settings.target.protocol == Protocol::Udp;
        let wave_hops = if is_udp { WAVE_HOPS_UDP } else { WAVE_HOPS };
        let mut ttl = self.settings.first_ttl;
        while self.path.end().is_none() && ttl <= self.path.horizon() {
            let until = self.session.elapsed() + WAVE_WAIT;
            if ttl > self.settings.first_ttl && !self.has_room(until, host) {
                self.is_cut = true;
                break;
            }
            let last = ttl.saturating_add(wave_hops - 1).min(self.path.horizon());
            self.send(ttl, last, 0)?;
            let until = self.session.elapsed() + WAVE_WAIT;
            while self.path.end().is_none()
                && !self.path.has_answer(last)
                && self.session.elapsed() < until
            {
                on!(self.step(until, host));
            }
            ttl = last + 1;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether the job's time has room for what is sent at this time of the session, and for its answers.
    fn has_room(&self, at: Duration, host: &mut dyn Host) -> bool {
        let wait = at.saturating_sub(self.session.elapsed());
        host.time_left() >= wait.saturating_add(self.reserve())
    }

    /// What is kept of the job's time.
    fn reserve(&self) -> Duration {
        let needed = self.path.slowest().map_or(RESERVE_MIN, |slowest| slowest * 3);
        needed.clamp(RESERVE_MIN, RESERVE_MAX).min(self.time / RESERVE_PARTS)
    }

    fn send(&mut self, first: u8, last: u8, flow: u16) -> Result<(), HostError> {
        let now = self.session.elapsed();
        let &Settings { port, size_bytes, ref target, flows, .. } = self.settings;
        let is_connecting = target.protocol == Protocol::Tcp && flows == 1;
        let probe = |ttl| {
            let id = self.path.send(ttl, flow, now);
            let own = u16::try_from(id % TCP_FLOWS).unwrap_or_default();
            Probe { id, ttl, size_bytes, flow: if is_connecting { own } else { flow }, port }
        };
        let probes: Vec<Probe> = (first..=last).map(probe).collect();
        self.session.send(&probes)
    }

    fn listen(&mut self, until: Duration, host: &mut dyn Host) -> Flow {
        while self.session.elapsed() < until {
            on!(self.step(until, host));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Waits for one batch of answers, or until a record is due.
    fn step(&mut self, until: Duration, host: &mut dyn Host) -> Flow {
        let now = self.session.elapsed();
        let show_at = self.shown_at.map_or(now, |shown_at| shown_at + LIVE_INTERVAL);
        let wake =
            if self.is_changed && self.settings.is_live { until.min(show_at) } else { until };
        for answer in self.session.next(wake.saturating_sub(now))? {
            self.is_changed |= self.path.take(answer);
        }
        let now = self.session.elapsed();
        if self.settings.is_live && self.is_changed && now >= show_at {
            (self.shown_at, self.is_changed) = (Some(now), false);
            record::emit_path(self, host)?;
        }
        let is_cancelled = host.is_cancelled();
        Ok(if is_cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}
