//! What was sent and heard, and the figures that follow. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

/// Sequence numbers of which it is remembered whether they were answered: what the host remembers of a session.
const REMEMBERED_MAX: u32 = 4096;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The sequence number of the last one, and how many there were.
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) duplicates: u32,
    pub(crate) errors: u32,
    /// Most that were out at once.
    pub(crate) pipe: u32,
    /// Times of the first and the last that was sent.
    pub(crate) first_sent: Duration,
    pub(crate) last_sent: Duration,
    heard: BTreeSet<u32>,
    min_us: u64,
    max_us: u64,
    sum_us: f64,
    sum_of_squares: f64,
    /// The time before this one, and the sum of all steps.
    last_us: Option<u64>,
    steps_us: f64,
}

/// Of all answers, duplicates included, as in ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rtt {
    pub(crate) min_us: u64,
    pub(crate) avg_us: u64,
    pub(crate) max_us: u64,
    /// Standard deviation.
    pub(crate) mdev_us: u64,
}

impl Tally {
    /// The next one leaves now; gives its sequence number.
    pub(crate) fn send(&mut self, now: Duration) -> u32 {
        if self.sent == 0 {
            self.first_sent = now;
        }
        self.last_sent = now;
        self.sent = self.sent.saturating_add(1);
        self.sent
    }

    /// An answer came; false when it is a duplicate.
    pub(crate) fn receive(&mut self, sequence: u32, rtt_us: u64) -> bool {
        let out = self.sent.saturating_sub(sequence).saturating_add(1);
        self.pipe = self.pipe.max(out);
        self.min_us = if self.sum_of_squares == 0.0 { rtt_us } else { self.min_us.min(rtt_us) };
        self.max_us = self.max_us.max(rtt_us);
        let time = as_float(rtt_us.max(1));
        self.sum_us += time;
        self.sum_of_squares += time * time;
        let is_new = self.heard(sequence);
        if !is_new {
            self.duplicates = self.duplicates.saturating_add(1);
            return false;
        }
        self.received = self.received.saturating_add(1);
        if let Some(last) = self.last_us.replace(rtt_us) {
            self.steps_us += as_float(rtt_us.abs_diff(last));
        }
        true
    }

    /// Somebody said that it does not arrive; false when it was answered before.
    pub(crate) fn fail(&mut self, sequence: u32) -> bool {
        let is_new = self.heard(sequence);
        self.errors = self.errors.saturating_add(u32::from(is_new));
        is_new
    }

    /// Whether there was an answer, of any kind.
    pub(crate) fn is_answered(&self, sequence: u32) -> bool {
        self.heard.contains(&sequence)
    }

    fn heard(&mut self, sequence: u32) -> bool {
        let oldest = self.sent.saturating_sub(REMEMBERED_MAX);
        while self.heard.first().is_some_and(|first| *first < oldest) {
            self.heard.pop_first();
        }
        self.heard.insert(sequence)
    }

    /// All times; `None` before the first answer.
    pub(crate) fn rtt(&self) -> Option<Rtt> {
        let count = as_float((self.received + self.duplicates).into());
        if count == 0.0 {
            return None;
        }
        let avg = self.sum_us / count;
        let variance = (self.sum_of_squares / count - avg * avg).max(0.0);
        Some(Rtt {
            min_us: self.min_us,
            avg_us: whole(avg),
            max_us: self.max_us,
            mdev_us: whole(variance.sqrt()),
        })
    }

    /// The mean step from one time to the next; `None` before the second answer.
    pub(crate) fn jitter_us(&self) -> Option<u64> {
        let steps_count = self.received.checked_sub(1).filter(|count| *count > 0)?;
        Some(whole(self.steps_us / f64::from(steps_count)))
    }

    /// 0 to 100.
    pub(crate) fn loss_percent(&self) -> f64 {
        let lost = self.sent.saturating_sub(self.received);
        if self.sent == 0 { 0.0 } else { f64::from(lost) * 100.0 / f64::from(self.sent) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of centuries fit into 53 bits")]
fn as_float(us: u64) -> f64 {
    us as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of numbers that were u64; the conversion saturates"
)]
fn whole(us: f64) -> u64 {
    us as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_ping() {
        let mut tally = Tally::default();
        for (index, rtt_us) in [23_491, 20_469, 20_488].into_iter().enumerate() {
            tally.send(Duration::from_millis(u64::try_from(index).unwrap() * 200));
            assert!(tally.receive(tally.sent, rtt_us));
        }
        let rtt = tally.rtt().unwrap();
        // ping printed 20.469/21.482/23.491/1.420 for such times.
        assert_eq!(
            (rtt.min_us, rtt.avg_us, rtt.max_us, rtt.mdev_us),
            (20_469, 21_482, 23_491, 1420)
        );
        assert_eq!(tally.jitter_us(), Some((3022 + 19) / 2));
        assert_eq!((tally.loss_percent(), tally.pipe), (0.0, 1));
    }

    #[test]
    fn what_comes_twice_is_a_duplicate_and_loss_is_counted() {
        let mut tally = Tally::default();
        assert_eq!((tally.rtt(), tally.jitter_us()), (None, None));
        for _ in 0..3 {
            tally.send(Duration::ZERO);
        }
        assert!(tally.receive(1, 0));
        assert!(!tally.receive(1, 10));
        assert!(tally.fail(2));
        assert!(!tally.fail(2));
        assert_eq!((tally.received, tally.duplicates, tally.errors, tally.pipe), (1, 1, 1, 3));
        assert!((tally.loss_percent() - 66.666).abs() < 0.01);
        assert_eq!(tally.rtt().unwrap().min_us, 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut tally = Tally::default();
        for _ in 0..20_000 {
            let sequence = tally.send(Duration::ZERO);
            tally.receive(sequence, 1);
        }
        assert!(tally.heard.len() <= 4098);
    }
}
