//! Sessions over real sockets: on loopback, and on chains of network namespaces, with rights and without.

mod chain;
mod forged;
mod loopback;
mod paths;
mod places;
mod rates;
mod rights;
mod tcp;

use std::time::Duration;

use blitz_contract::probes::{Answer, Outcome, Probe, Protocol, Target};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Live, Places};
use crate::bindings::blitz::plugin::probes::Error;
use crate::control::Control;
use crate::doing::Doing;
use crate::egress::{Egress, TargetPolicy};

/// Far more than any answer on this machine takes.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn target(host: &str, protocol: Protocol) -> Target {
    Target { host: host.to_owned(), protocol, ..Target::default() }
}

pub(super) fn probe(id: u32, ttl: u8) -> Probe {
    Probe { id, ttl, size_bytes: 60, flow: 0, port: 33_434 }
}

/// A session, and what a guest does with it.
pub(super) struct Guest {
    live: Box<Live>,
    control: Control,
}

impl Guest {
    pub(super) async fn open(target: &Target) -> Result<Self, Error> {
        let egress = Egress::new(TargetPolicy::any(), Vec::new());
        Self::with_egress(target, &egress).await
    }

    pub(super) async fn with_egress(target: &Target, egress: &Egress) -> Result<Self, Error> {
        Self::with(target, egress, Places::of(64, 64)).await
    }

    pub(super) async fn with(
        target: &Target,
        egress: &Egress,
        places: Places,
    ) -> Result<Self, Error> {
        let (_, live) = Live::open(egress, target, places, &Doing::default()).await?;
        let grace = Duration::from_millis(100);
        let control = Control { until: None, cancel: CancellationToken::new(), grace };
        Ok(Self { live, control })
    }

    pub(super) async fn send(&mut self, probes: &[Probe]) -> Result<(), Error> {
        self.live.send(probes, &Doing::default(), &self.control).await
    }

    /// Answers until there are so many, in the order of their probes.
    pub(super) async fn hear(&mut self, count: usize) -> Vec<Answer> {
        let until = Instant::now() + PATIENCE;
        let mut answers = Vec::new();
        while answers.len() < count && Instant::now() < until {
            answers
                .extend(self.live.next(Duration::from_millis(200), &self.control).await.unwrap());
        }
        answers.sort_by_key(|answer| answer.id);
        answers
    }

    /// All answers of so long.
    pub(super) async fn hear_for(&mut self, time: Duration) -> Vec<Answer> {
        let until = Instant::now() + time;
        let mut answers = Vec::new();
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            answers.extend(self.live.next(left, &self.control).await.unwrap());
        }
        answers
    }
}

/// What an answer is, without its time.
pub(super) fn short(answer: &Answer) -> (u32, Outcome, Option<String>) {
    (answer.id, answer.outcome, answer.from.map(|from| from.to_string()))
}
