//! The figures of one hop, out of its round-trip times one by one. Pure. The definitions are those of mtr.

/// All times are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Stats {
    pub(crate) received: u32,
    pub(crate) last: f64,
    pub(crate) best: f64,
    pub(crate) worst: f64,
    pub(crate) mean: f64,
    pub(crate) geometric_mean: f64,
    /// Between the last two.
    pub(crate) jitter: f64,
    pub(crate) jitter_mean: f64,
    pub(crate) jitter_worst: f64,
    /// Sixteen times the interarrival jitter, whole microseconds, as mtr keeps and shows it.
    ///
    /// Source: RFC 1889, appendix A.8.
    pub(crate) jitter_interarrival: u64,
    /// Of the differences from the mean: Welford's algorithm, which loses no digits to large sums.
    squares: f64,
}

impl Stats {
    /// Takes one more answer in.
    pub(crate) fn add(&mut self, rtt_us: f64) {
        let is_first = self.received == 0;
        self.jitter = if is_first { 0.0 } else { (rtt_us - self.last).abs() };
        self.last = rtt_us;
        self.best = if is_first { rtt_us } else { self.best.min(rtt_us) };
        self.worst = self.worst.max(rtt_us);
        self.jitter_worst = self.jitter_worst.max(self.jitter);
        self.received += 1;
        let count = f64::from(self.received);
        let before = self.mean;
        self.mean += (rtt_us - before) / count;
        self.squares += (rtt_us - before) * (rtt_us - self.mean);
        self.jitter_mean += (self.jitter - self.jitter_mean) / count;
        let settled = self.jitter_interarrival.saturating_add(8) >> 4;
        self.jitter_interarrival = self.jitter_interarrival - settled + microseconds(self.jitter);
        self.geometric_mean = if is_first {
            rtt_us
        } else {
            self.geometric_mean.powf((count - 1.0) / count) * rtt_us.powf(1.0 / count)
        };
    }

    /// The standard deviation of a sample; nothing for one answer.
    pub(crate) fn deviation(&self) -> f64 {
        if self.received < 2 {
            return 0.0;
        }
        (self.squares / f64::from(self.received - 1)).sqrt()
    }
}

/// Whole ones; what is no time is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and no time is negative"
)]
pub(crate) fn microseconds(time: f64) -> u64 {
    time.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[f64]) -> Stats {
        let mut stats = Stats::default();
        times.iter().for_each(|time| stats.add(*time));
        stats
    }

    #[test]
    fn one_answer_has_no_spread() {
        let one = of(&[1500.0]);
        assert_eq!((one.last, one.best, one.worst, one.mean), (1500.0, 1500.0, 1500.0, 1500.0));
        assert_eq!((one.geometric_mean, one.deviation(), one.jitter), (1500.0, 0.0, 0.0));
        assert_eq!((one.jitter_mean, one.jitter_worst, one.jitter_interarrival), (0.0, 0.0, 0));
        assert_eq!(Stats::default().deviation(), 0.0);
    }

    #[test]
    fn figures_are_those_of_the_definitions() {
        let times = [1000.0, 3000.0, 2000.0, 6000.0];
        let four = of(&times);
        assert_eq!((four.received, four.last), (4, 6000.0));
        assert_eq!((four.best, four.worst, four.mean), (1000.0, 6000.0, 3000.0));
        // Deviations from 3000: 2000, 0, 1000, 3000.
        assert!((four.deviation() - (14e6_f64 / 3.0).sqrt()).abs() < 1e-6, "{four:?}");
        assert!((four.geometric_mean - 36e12_f64.powf(0.25)).abs() < 1e-6, "{four:?}");
        // Differences: 2000, 1000, 4000; the first answer counts as one without.
        assert_eq!((four.jitter, four.jitter_worst, four.jitter_mean), (4000.0, 4000.0, 1750.0));
        // 2000; 2000 - 125 + 1000; 2875 - 180 + 4000.
        assert_eq!(four.jitter_interarrival, 6695);
    }

    #[test]
    fn a_small_spread_on_a_large_delay_keeps_its_digits() {
        let mut stats = Stats::default();
        for at in 0..100_000 {
            stats.add(1e9 + f64::from(at % 2));
        }
        assert!((stats.deviation() - 0.5).abs() < 1e-3, "{}", stats.deviation());
    }
}
