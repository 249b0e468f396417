//! What all load tests of an engine have together: of the engine, and of each target. A test takes its part before it
//! begins and gives it back when it is dropped, however it ended.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::LoadCaps;
use super::need::{Amount, Need};

/// A clone is the same ledger.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    engine: LoadCaps,
    target: LoadCaps,
    used: Arc<Mutex<Used>>,
}

#[derive(Debug, Default)]
struct Used {
    engine: Part,
    targets: HashMap<IpAddr, Part>,
}

/// What one test has, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Part {
    pub(super) connections: u64,
    pub(super) transactions_per_s: u64,
    pub(super) connects_per_s: u64,
}

/// The part of one test.
#[derive(Debug)]
pub(super) struct Taken {
    used: Arc<Mutex<Used>>,
    targets: BTreeSet<IpAddr>,
    pub(super) part: Part,
}

impl Ledger {
    pub(super) fn new(engine: LoadCaps, target: LoadCaps) -> Self {
        Self { engine, target, used: Arc::default() }
    }

    /// Takes what is needed, as much of it as is of use and free. Each target is counted as if all went there.
    ///
    /// # Errors
    ///
    /// The text of a limit, with the figures: nothing was taken.
    pub(super) fn take(
        &self,
        targets: impl IntoIterator<Item = IpAddr>,
        need: &Need,
    ) -> Result<Taken, String> {
        let targets: BTreeSet<IpAddr> =
            targets.into_iter().map(|address| address.to_canonical()).collect();
        let mut used = lock(&self.used);
        let none = Part::default();
        let mut part = Part {
            connections: need.connections.most,
            transactions_per_s: need.transactions_per_s,
            connects_per_s: need.connects_per_s.most,
        };
        let whose = targets.iter().map(|target| {
            let used = used.targets.get(target).unwrap_or(&none);
            (Some(*target), self.target, *used)
        });
        for (target, caps, used) in std::iter::once((None, self.engine, used.engine)).chain(whose) {
            let of = Of { target };
            let Amount { least, .. } = need.connections;
            let free = of.free("connections", least, caps.connections, used.connections)?;
            part.connections = part.connections.min(free);
            let rate = need.transactions_per_s;
            of.free(
                "transactions per second",
                rate,
                caps.transactions_per_s,
                used.transactions_per_s,
            )?;
            let Amount { least, .. } = need.connects_per_s;
            let free = of.free(
                "new connections per second",
                least,
                caps.connects_per_s,
                used.connects_per_s,
            )?;
            part.connects_per_s = part.connects_per_s.min(free);
        }
        // A target that closes after each answer takes all there are: the next run finds as many again.
        part.connects_per_s = (part.connects_per_s / 2).max(need.connects_per_s.least);
        used.engine.add(part);
        for target in &targets {
            used.targets.entry(*target).or_default().add(part);
        }
        drop(used);
        Ok(Taken { used: Arc::clone(&self.used), targets, part })
    }
}

/// Whose cap it is.
struct Of {
    target: Option<IpAddr>,
}

impl Of {
    fn free(&self, what: &str, needed: u64, cap: u32, used: u64) -> Result<u64, String> {
        let free = u64::from(cap).saturating_sub(used);
        if needed <= free {
            return Ok(free);
        }
        let others = match used {
            0 => String::new(),
            used => format!(", of which other runs have {used}"),
        };
        Err(match self.target {
            None => format!(
                "the plan takes {needed} {what} on this engine, it has {cap}{others}; ask for less, for more engines, or for a \
                 higher cap"
            ),
            Some(target) => format!(
                "the plan takes {needed} {what} to {target}, this engine gives a target {cap}{others}; ask for less, or for a \
                 higher cap"
            ),
        })
    }
}

impl Part {
    fn add(&mut self, other: Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.transactions_per_s = self.transactions_per_s.saturating_add(other.transactions_per_s);
        self.connects_per_s = self.connects_per_s.saturating_add(other.connects_per_s);
    }

    fn take_off(&mut self, other: Self) {
        self.connections = self.connections.saturating_sub(other.connections);
        self.transactions_per_s = self.transactions_per_s.saturating_sub(other.transactions_per_s);
        self.connects_per_s = self.connects_per_s.saturating_sub(other.connects_per_s);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut used = lock(&self.used);
        used.engine.take_off(self.part);
        for target in &self.targets {
            if let Some(part) = used.targets.get_mut(target) {
                part.take_off(self.part);
            }
        }
        used.targets.retain(|_, part| *part != Part::default());
    }
}

fn lock(used: &Mutex<Used>) -> MutexGuard<'_, Used> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: LoadCaps =
        LoadCaps { connections: 100, transactions_per_s: 1000, connects_per_s: 50 };
    const TARGET: LoadCaps =
        LoadCaps { connections: 60, transactions_per_s: 800, connects_per_s: 40 };

    fn need(connections: (u64, u64), transactions_per_s: u64, connects: u64) -> Need {
        let (least, most) = connections;
        Need {
            connections: Amount { least, most },
            transactions_per_s,
            connects_per_s: Amount { least: connects, most: u64::MAX },
        }
    }

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn caps_hold_over_all_runs_and_are_given_back() {
        let ledger = Ledger::new(ENGINE, TARGET);
        let one = ledger.take([at(1)], &need((50, 50), 10, 1)).unwrap();
        assert_eq!(one.part.connects_per_s, 20, "half of what is free");
        let text = ledger.take([at(1)], &need((20, 20), 10, 1)).unwrap_err();
        assert_eq!(
            text,
            "the plan takes 20 connections to 192.0.2.1, this engine gives a target 60, of which other runs have 50; ask \
             for less, or for a higher cap"
        );
        let two = ledger.take([at(2)], &need((20, 20), 10, 1)).unwrap();
        let text = ledger.take([at(3)], &need((31, 31), 10, 0)).unwrap_err();
        assert!(
            text.contains("31 connections on this engine, it has 100, of which other runs have 70"),
            "{text}"
        );
        drop((one, two));
        assert_eq!(lock(&ledger.used).targets.len(), 0);
        assert_eq!(lock(&ledger.used).engine, Part::default());
    }

    #[test]
    fn rates_have_caps_and_wishes_are_lowered() {
        let ledger = Ledger::new(ENGINE, TARGET);
        let text = ledger.take([at(1)], &need((1, 1), 801, 1)).unwrap_err();
        assert!(
            text.starts_with("the plan takes 801 transactions per second to 192.0.2.1"),
            "{text}"
        );
        let text = ledger.take([at(1)], &need((1, 1), 1001, 1)).unwrap_err();
        assert!(
            text.starts_with("the plan takes 1001 transactions per second on this engine"),
            "{text}"
        );
        let text = ledger.take([at(1)], &need((1, 1), 1, 41)).unwrap_err();
        assert!(text.starts_with("the plan takes 41 new connections per second to"), "{text}");
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let taken = ledger.take([at(1), mapped], &need((1, 5000), 1, 1)).unwrap();
        assert_eq!((taken.part.connections, taken.part.connects_per_s), (60, 20));
    }
}
