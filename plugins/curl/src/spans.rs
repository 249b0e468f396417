//! Where the time of a hop went, as durations that add up to all of it.

use blitz_plugin::web::{Failure, FailureKind, Phases};

/// Microseconds of each phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) dns_us: u64,
    pub(crate) connect_us: u64,
    /// `None` when no TLS was spoken.
    pub(crate) tls_us: Option<u64>,
    pub(crate) send_us: u64,
    /// From the end of the request to the first byte of the answer.
    pub(crate) wait_us: u64,
    pub(crate) download_us: u64,
}

impl Spans {
    /// Of a hop with an answer.
    pub(crate) fn whole(phases: Phases, has_tls: bool, total_us: u64) -> Self {
        let [dns_us, connect_us, tls_us, send_us, wait_us, download_us] = differences([
            phases.dns_us,
            phases.connect_us,
            phases.tls_us,
            phases.sent_us,
            phases.first_byte_us,
            total_us,
        ]);
        // Without TLS the host counts from connected to connected.
        let (tls_us, send_us) =
            if has_tls { (Some(tls_us), send_us) } else { (None, send_us + tls_us) };
        Self { dns_us, connect_us, tls_us, send_us, wait_us, download_us }
    }

    /// Of a hop that failed before its answer: what is left goes to the phase that was under way.
    pub(crate) fn broken(failure: &Failure, has_tls: bool, elapsed_us: u64) -> Self {
        let phases = failure.phases;
        let passed =
            [phases.dns_us, phases.connect_us, phases.tls_us, phases.sent_us, phases.first_byte_us];
        let mut under_way = passed.iter().rposition(|&at| at > 0).map_or(0, |last| last + 1);
        // A literal address takes no time to be found.
        let at_least = match failure.kind {
            FailureKind::Connect => 1,
            FailureKind::Tls | FailureKind::Certificate => 2,
            FailureKind::Send => 3,
            FailureKind::EmptyReply
            | FailureKind::Receive
            | FailureKind::Protocol
            | FailureKind::Malformed => 4,
            _ => usize::from(!failure.connection.addresses.is_empty()),
        };
        under_way = under_way.max(at_least);
        if under_way == 2 && !has_tls {
            under_way = 3;
        }
        let latest = passed.iter().copied().max().unwrap_or_default();
        let mut instants = [0; 6];
        let mut instant = 0;
        for (at, end) in instants.iter_mut().enumerate() {
            instant = match passed.get(at) {
                Some(&passed) if at < under_way => instant.max(passed),
                _ => elapsed_us.max(latest),
            };
            *end = instant;
        }
        let [dns_us, connect_us, tls_us, sent_us, first_byte_us, total_us] = instants;
        let phases = Phases { dns_us, connect_us, tls_us, sent_us, first_byte_us };
        Self::whole(phases, has_tls, total_us)
    }

    pub(crate) fn total_us(&self) -> u64 {
        let tls_us = self.tls_us.unwrap_or(0);
        self.dns_us + self.connect_us + tls_us + self.send_us + self.wait_us + self.download_us
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.dns_us += other.dns_us;
        self.connect_us += other.connect_us;
        self.send_us += other.send_us;
        self.wait_us += other.wait_us;
        self.download_us += other.download_us;
        if let Some(tls_us) = other.tls_us {
            self.tls_us = Some(self.tls_us.unwrap_or(0) + tls_us);
        }
    }
}

/// From each instant to the next one, which may not be before it.
fn differences(instants: [u64; 6]) -> [u64; 6] {
    let mut before = 0;
    instants.map(|instant| {
        let difference = instant.saturating_sub(before);
        before = before.max(instant);
        difference
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(instants: [u64; 5]) -> Phases {
        let [dns_us, connect_us, tls_us, sent_us, first_byte_us] = instants;
        Phases { dns_us, connect_us, tls_us, sent_us, first_byte_us }
    }

    fn list(spans: Spans) -> (u64, u64, Option<u64>, u64, u64, u64) {
        let Spans { dns_us, connect_us, tls_us, send_us, wait_us, download_us } = spans;
        (dns_us, connect_us, tls_us, send_us, wait_us, download_us)
    }

    #[test]
    fn spans_add_up_to_the_total() {
        for (instants, has_tls, total_us, expected) in [
            ([1, 3, 6, 10, 15], true, 21, (1, 2, Some(3), 4, 5, 6)),
            ([1, 3, 3, 7, 12], false, 18, (1, 2, None, 4, 5, 6)),
            ([1, 3, 6, 7, 12], false, 18, (1, 2, None, 4, 5, 6)),
            ([9, 1, 0, 20, 15], true, 10, (9, 0, Some(0), 11, 0, 0)),
        ] {
            let spans = Spans::whole(phases(instants), has_tls, total_us);
            assert_eq!(list(spans), expected, "{instants:?}");
        }
    }

    #[test]
    fn a_failure_spends_the_rest_in_the_phase_under_way() {
        for (kind, instants, has_tls, expected) in [
            (FailureKind::Resolve, [0; 5], false, (100, 0, None, 0, 0, 0)),
            (FailureKind::Timeout, [0; 5], true, (100, 0, Some(0), 0, 0, 0)),
            (FailureKind::Connect, [0; 5], false, (0, 100, None, 0, 0, 0)),
            (FailureKind::Connect, [7, 0, 0, 0, 0], false, (7, 93, None, 0, 0, 0)),
            (FailureKind::Timeout, [7, 20, 0, 0, 0], true, (7, 13, Some(80), 0, 0, 0)),
            (FailureKind::Timeout, [7, 20, 0, 0, 0], false, (7, 13, None, 80, 0, 0)),
            (FailureKind::Certificate, [7, 20, 0, 0, 0], true, (7, 13, Some(80), 0, 0, 0)),
            (FailureKind::EmptyReply, [7, 20, 20, 21, 0], false, (7, 13, None, 1, 79, 0)),
            (FailureKind::Partial, [7, 20, 20, 21, 30], false, (7, 13, None, 1, 9, 70)),
            (FailureKind::Timeout, [7, 200, 0, 0, 0], true, (7, 193, Some(0), 0, 0, 0)),
        ] {
            let failure = Failure { phases: phases(instants), ..Failure::new(kind, "") };
            let spans = Spans::broken(&failure, has_tls, 100);
            assert_eq!(list(spans), expected, "{kind:?} {instants:?}");
        }
    }

    #[test]
    fn sums_have_tls_when_any_hop_had() {
        let mut sum = Spans::default();
        sum.add(Spans { dns_us: 1, ..Spans::default() });
        assert_eq!(sum.tls_us, None);
        sum.add(Spans { tls_us: Some(5), ..Spans::default() });
        sum.add(Spans { dns_us: 2, ..Spans::default() });
        assert_eq!((sum.dns_us, sum.tls_us, sum.total_us()), (3, Some(5), 8));
    }
}
