//! A way of routers with their rate limits, over which a trace goes.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use blitz_plugin::probes::{Answer, Outcome, Probe};
use blitz_plugin::testing::{FakeHost, FakePath};

/// `10.0.TTL.1`.
pub(super) fn router(ttl: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, ttl, 1).into()
}

/// The target of [`FakePath`].
pub(super) fn target() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 1).into()
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An answer after its round trip.
pub(super) fn heard(answer: Answer) -> Vec<(Duration, Answer)> {
    vec![(Duration::from_nanos(answer.rtt_ns), answer)]
}

/// A router threw it away, or the target had it.
pub(super) fn plain(probe: &Probe, last: u8, rtt: Duration) -> Answer {
    let rtt_ns = u64::try_from(rtt.as_nanos()).unwrap();
    if probe.ttl >= last {
        let answer = Answer::new(probe.id, Outcome::Reached, Some(target()), rtt_ns);
        return Answer { icmp: Some((3, 3)), ..answer };
    }
    let from = Some(router(probe.ttl));
    Answer { icmp: Some((11, 0)), ..Answer::new(probe.id, Outcome::TimeExceeded, from, rtt_ns) }
}

/// Who stands on the way, and who has how many answers left; shared by several runs.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// Where the target is.
    pub(super) last: u8,
    pub(super) silent: &'static [u8],
    /// By distance, from 1.
    tokens: Rc<RefCell<Vec<(f64, Duration)>>>,
}

impl Way {
    /// The way of the measurements: 12 hops, of which 3 are silent, 10 ms each way behind the second.
    pub(super) fn measured() -> Self {
        let tokens = Rc::new(RefCell::new(vec![(6.0, Duration::ZERO); 256]));
        Self { last: 12, silent: &[3, 7, 8], tokens }
    }

    pub(super) fn rtt(ttl: u8) -> Duration {
        if ttl <= 2 { Duration::from_micros(100 + u64::from(ttl)) } else { ms(20) }
    }

    /// Each answers six times, and then once a second, as Linux does. A run begins `later` than the first.
    pub(super) fn path(&self, later: Duration) -> FakePath {
        let way = self.clone();
        let sent = Rc::<RefCell<Vec<(Duration, Probe)>>>::default();
        let times = Rc::clone(&sent);
        let mut path = FakePath::new(move |probe| {
            let now = later + times.borrow().last().map_or(Duration::ZERO, |(at, _)| *at);
            let who = probe.ttl.min(way.last);
            let (tokens, since) = &mut way.tokens.borrow_mut()[usize::from(who)];
            *tokens = (*tokens + (now.saturating_sub(*since)).as_secs_f64()).min(6.0);
            *since = now;
            if way.silent.contains(&who) || *tokens < 1.0 {
                return Vec::new();
            }
            *tokens -= 1.0;
            heard(plain(probe, way.last, Self::rtt(who)))
        });
        path.sent = sent;
        path
    }
}

/// A host with this one way.
pub(super) fn host(path: FakePath) -> FakeHost {
    FakeHost::default().path(path)
}
