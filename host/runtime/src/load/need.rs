//! What a share of a plan takes: connections, a rate, and workers that may hold them. Pure.

use blitz_contract::load::{HttpVersion, Plan, Shape, Share};

/// Descriptors of a worker that are no connections: its streams, its line, epoll, and those on their way.
pub(super) const DESCRIPTORS_BASE: u64 = 64;
/// Workers of one test: as many cores as large machines have.
const WORKERS_MAX: u64 = 256;
/// New connections in a second that are too few to begin with.
const CONNECTS_PER_S_MIN: u64 = 10;

/// What a share of a plan takes of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) connections: Amount,
    /// At the peak.
    pub(super) transactions_per_s: u64,
    pub(super) connects_per_s: Amount,
}

/// What is needed at least, and of what no more is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Amount {
    fn exactly(count: u64) -> Self {
        Self { least: count, most: count }
    }
}

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    /// Cores that are given to load.
    pub(super) cores: u64,
    /// Descriptors that one process may open.
    pub(super) descriptors: u64,
    /// Pairs of a source address and port, for each target.
    pub(super) ports: u64,
}

impl Machine {
    /// Connections of one worker.
    fn connections(&self) -> u64 {
        self.descriptors.saturating_sub(DESCRIPTORS_BASE)
    }

    /// Connections to so many targets.
    fn connections_max(&self, targets: u64) -> u64 {
        let opened = self.connections().saturating_mul(WORKERS_MAX);
        opened.min(self.ports.saturating_mul(targets.max(1)))
    }
}

impl Need {
    pub(super) fn of(plan: &Plan, share: Share) -> Self {
        let origins = u64::try_from(plan.origins().len()).unwrap_or(u64::MAX).max(1);
        let streams = match plan.version {
            HttpVersion::Http1 => 1,
            HttpVersion::Http2 => u64::from(plan.streams.max(1)),
        };
        // A user keeps a connection to each origin, or has one at a time.
        let kept = if plan.keep_alive { origins } else { 1 };
        let peak = plan.shape.peak();
        match &plan.shape {
            Shape::Users { .. } => {
                let users = share.of_first(whole(peak)).max(1);
                let connections = users.saturating_mul(kept).div_ceil(streams);
                // The pace of new connections is the cap's; the users wait for it.
                let connects_per_s = Amount { least: CONNECTS_PER_S_MIN, most: u64::MAX };
                Self {
                    connections: Amount::exactly(connections),
                    transactions_per_s: 0,
                    connects_per_s,
                }
            }
            Shape::Rate { .. } => {
                let rate = peak / f64::from(share.of.max(1));
                let steps = u64::try_from(plan.steps.len()).unwrap_or(u64::MAX);
                let connections = match plan.connections {
                    Some(all) => Amount::exactly(share.of_first(all.into()).max(1)),
                    None => {
                        // More are never in use: what is asked in the longest time that a transaction takes.
                        let longest_s = plan.steps.iter().fold(0.0, |sum, step| {
                            sum + f64::from(u32::try_from(step.timeout_ms).unwrap_or(u32::MAX))
                                / 1000.0
                        });
                        let most = whole(rate * longest_s).max(1).saturating_mul(kept);
                        Amount { least: kept, most }
                    }
                };
                let connects = whole(rate).saturating_mul(steps);
                let least = if plan.keep_alive { CONNECTS_PER_S_MIN } else { connects };
                let connects_per_s = Amount { least: least.max(1), most: u64::MAX };
                Self { connections, transactions_per_s: whole(rate), connects_per_s }
            }
        }
    }

    /// The same within what this machine can hold.
    ///
    /// # Errors
    ///
    /// The text of a limit, with the figures.
    pub(super) fn within(mut self, machine: &Machine, targets: u64) -> Result<Self, String> {
        let Amount { least, most } = self.connections;
        let per_worker = machine.connections();
        let (opened, ports) = (per_worker.saturating_mul(WORKERS_MAX), machine.ports);
        if least > opened {
            return Err(format!(
                "the plan takes {least} connections on this engine, and one process may open {} descriptors: {} workers would \
                 be needed, at most {WORKERS_MAX} are started; raise the engine's limit of open files (LimitNOFILE) or ask for more engines",
                machine.descriptors,
                least.div_ceil(per_worker.max(1)),
            ));
        }
        if least > ports.saturating_mul(targets.max(1)) {
            return Err(format!(
                "the plan takes {least} connections on this engine, which has {ports} source ports for each of {targets} target \
                 addresses; widen net.ipv4.ip_local_port_range, give the engine more source addresses, or ask for more engines"
            ));
        }
        self.connections.most = most.min(machine.connections_max(targets));
        Ok(self)
    }
}

/// How many workers share so many connections. At least one, and none without a connection.
pub(super) fn workers(plan: &Plan, share: Share, connections: u64, machine: &Machine) -> u32 {
    let needed = connections.div_ceil(machine.connections().max(1));
    let peak = whole(plan.shape.peak() / f64::from(share.of.max(1)));
    let useful = machine.cores.min(connections).min(peak).max(1);
    u32::try_from(needed.max(useful).min(WORKERS_MAX)).unwrap_or(1)
}

/// Rounded up.
fn whole(height: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a plan's heights are 0 to 10^8, and its times below a month"
    )]
    let count = height.max(0.0).ceil() as u64;
    count
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MACHINE: Machine = Machine { cores: 2, descriptors: 20_064, ports: 28_000 };

    fn plan(shape: &serde_json::Value, more: &serde_json::Value) -> Plan {
        let mut plan = json!({"steps": [{"method": "GET", "url": "http://127.0.0.1/", "timeout_ms": 2000}], "shape": shape});
        for (key, value) in more.as_object().unwrap() {
            plan[key] = value.clone();
        }
        Plan::from_json(&plan.to_string()).unwrap()
    }

    fn shape(kind: &str, to: f64) -> serde_json::Value {
        json!({kind: {"segments": [{"from": 1.0, "to": to, "duration_ms": 1000}]}})
    }

    #[test]
    fn what_a_share_takes() {
        let half = Share { index: 1, of: 2 };
        for (kind, to, more, share, connections, rate, connects) in [
            ("users", 250.0, json!({}), Share::WHOLE, (250, 250), 0, 10),
            ("users", 251.0, json!({}), half, (125, 125), 0, 10),
            (
                "users",
                250.0,
                json!({"version": "http2", "streams": 10}),
                Share::WHOLE,
                (25, 25),
                0,
                10,
            ),
            ("rate", 1001.0, json!({}), half, (1, 1001), 501, 10),
            ("rate", 1000.0, json!({"connections": 7}), half, (3, 3), 500, 10),
            ("rate", 1000.0, json!({"keep_alive": false}), Share::WHOLE, (1, 2000), 1000, 1000),
        ] {
            let plan = plan(&shape(kind, to), &more);
            let need = Need::of(&plan, share);
            let (least, most) = connections;
            assert_eq!(need.connections, Amount { least, most }, "{kind} {to} {more}");
            assert_eq!((need.transactions_per_s, need.connects_per_s.least), (rate, connects));
        }
    }

    #[test]
    fn more_descriptors_than_one_process_has_take_more_workers() {
        let plan = plan(&shape("users", 51_000.0), &json!({}));
        for (connections, wanted) in [(1, 1), (2, 2), (40_000, 2), (40_001, 3), (51_000, 3)] {
            assert_eq!(
                workers(&plan, Share::WHOLE, connections, &MACHINE),
                wanted,
                "{connections}"
            );
        }
    }

    #[test]
    fn what_the_machine_has_not_is_said() {
        let plan = plan(&shape("users", 51_000.0), &json!({}));
        let need = Need::of(&plan, Share::WHOLE);
        let text = need.within(&MACHINE, 1).unwrap_err();
        assert!(
            text.contains("51000 connections") && text.contains("28000 source ports"),
            "{text}"
        );
        assert_eq!(need.within(&MACHINE, 2), Ok(need));
        let few = Machine { descriptors: 128, ..MACHINE };
        let text = need.within(&few, 2).unwrap_err();
        assert!(text.contains("128 descriptors") && text.contains("797 workers"), "{text}");
    }
}
