//! A network for unit tests: what each probe hears is the test's to say, and time passes without waiting.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use crate::host::HostError;
use crate::probes::{Answer, PROBES_MAX, Probe, Session};

/// What one probe hears, each after so long.
type Hears = dyn FnMut(&Probe) -> Vec<(Duration, Answer)>;

/// The way to one target.
pub struct FakePath {
    /// The target's address; 192.0.2.1 when nothing else is said.
    pub address: IpAddr,
    /// The engine's own.
    pub source: IpAddr,
    /// Of the first link, in bytes.
    pub mtu: u32,
    /// What addresses are called.
    pub names: BTreeMap<IpAddr, String>,
    hears: Box<Hears>,
    /// What was sent, and when; a test keeps a clone.
    pub sent: Rc<RefCell<Vec<(Duration, Probe)>>>,
}

impl FakePath {
    /// `hears` is asked for each probe: the answers, each after so long. None is silence.
    #[must_use]
    pub fn new(hears: impl FnMut(&Probe) -> Vec<(Duration, Answer)> + 'static) -> Self {
        Self {
            address: Ipv4Addr::new(192, 0, 2, 1).into(),
            source: Ipv4Addr::new(198, 51, 100, 1).into(),
            mtu: 1500,
            names: BTreeMap::new(),
            hears: Box::new(hears),
            sent: Rc::default(),
        }
    }

    /// The target has this address.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// An address has this name.
    #[must_use]
    pub fn name(mut self, address: IpAddr, name: &str) -> Self {
        self.names.insert(address, name.to_owned());
        self
    }
}

impl fmt::Debug for FakePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakePath").field("address", &self.address).finish_non_exhaustive()
    }
}

/// One session over a [`FakePath`].
pub(super) struct FakeSession {
    path: FakePath,
    /// Of all sessions of the run.
    clock: Rc<Cell<Duration>>,
    opened: Duration,
    /// By the time of arrival, and in the order of sending.
    due: BTreeMap<(Duration, u64), Answer>,
    answers_count: u64,
    /// The job is asked to end at this time of the clock.
    end: Option<Duration>,
}

impl FakeSession {
    pub(super) fn new(path: FakePath, clock: Rc<Cell<Duration>>, end: Option<Duration>) -> Self {
        let opened = clock.get();
        Self { path, clock, opened, due: BTreeMap::new(), answers_count: 0, end }
    }
}

impl Session for FakeSession {
    fn address(&self) -> IpAddr {
        self.path.address
    }

    fn source(&self) -> IpAddr {
        self.path.source
    }

    fn mtu(&self) -> u32 {
        self.path.mtu
    }

    fn elapsed(&self) -> Duration {
        self.clock.get() - self.opened
    }

    fn send(&mut self, probes: &[Probe]) -> Result<(), HostError> {
        if probes.len() > PROBES_MAX {
            let text =
                format!("at most {PROBES_MAX} probes are sent at once, not {}", probes.len());
            return Err(HostError::Limit(text));
        }
        let now = self.clock.get();
        for probe in probes {
            if probe.ttl == 0 {
                return Err(HostError::Failed("a time to live is 1 to 255, not 0".to_owned()));
            }
            self.path.sent.borrow_mut().push((now - self.opened, *probe));
            for (after, answer) in (self.path.hears)(probe) {
                self.due.insert((now + after, self.answers_count), answer);
                self.answers_count += 1;
            }
        }
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Vec<Answer>, HostError> {
        let now = self.clock.get();
        let until = self.end.map_or(now + wait, |end| (now + wait).min(end));
        let now = match self.due.first_key_value() {
            Some(((at, _), _)) if *at <= until => now.max(*at),
            _ => now.max(until),
        };
        self.clock.set(now);
        let later = self.due.split_off(&(now + Duration::from_nanos(1), 0));
        let here = std::mem::replace(&mut self.due, later);
        Ok(here.into_values().collect())
    }

    fn names(&mut self, addresses: &[IpAddr], _wait: Duration) -> Vec<Option<String>> {
        addresses.iter().map(|address| self.path.names.get(address).cloned()).collect()
    }
}
