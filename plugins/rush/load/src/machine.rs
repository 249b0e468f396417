//! What this process used of the processor, and how long it stood in line for it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::thread::set_current_timer_slack;

/// The kernel's account of this thread, the only one: nanoseconds on a processor, nanoseconds in which it could have run and did not, and
/// slices. Source: the kernel's `Documentation/scheduler/sched-stats.rst`.
const ACCOUNT: &str = "/proc/thread-self/schedstat";

/// Read once a second through a descriptor that stays open.
#[derive(Debug)]
pub(crate) struct Machine {
    account: Option<File>,
    seen: Used,
}

/// What was used since the last time, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Used {
    pub(crate) cpu_us: u64,
    pub(crate) starved_us: u64,
}

impl Machine {
    /// Opens the account. Where it cannot be read, both counts stay 0.
    pub(crate) fn open() -> Self {
        // Timers of ordinary processes may come 50 us late by default; ours is the pace of arrivals. Where that is refused, they do.
        let _ = set_current_timer_slack(std::num::NonZeroU64::new(1));
        let mut machine = Self { account: File::open(ACCOUNT).ok(), seen: Used::default() };
        machine.used();
        machine
    }

    /// Since the last call.
    pub(crate) fn used(&mut self) -> Used {
        let mut text = [0; 64];
        let read = self.account.as_ref().and_then(|file| file.read_at(&mut text, 0).ok());
        let Some(now) = read.and_then(|len| parse(&text[..len])) else { return Used::default() };
        let before = std::mem::replace(&mut self.seen, now);
        Used {
            cpu_us: now.cpu_us.saturating_sub(before.cpu_us),
            starved_us: now.starved_us.saturating_sub(before.starved_us),
        }
    }
}

fn parse(text: &[u8]) -> Option<Used> {
    let mut words = str::from_utf8(text).ok()?.split_ascii_whitespace();
    let mut next_us = || Some(words.next()?.parse::<u64>().ok()? / 1000);
    Some(Used { cpu_us: next_us()?, starved_us: next_us()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read() {
        assert_eq!(parse(b"87850 3108472 2\n"), Some(Used { cpu_us: 87, starved_us: 3108 }));
        assert_eq!(parse(b""), None);
        let mut machine = Machine::open();
        let mut used = Used::default();
        while used.cpu_us == 0 {
            used = machine.used();
        }
        assert!(machine.account.is_some());
    }
}
