//! Who looks for the proofs of targets: whoever may make connections, which a gateway may not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use blitz_contract::load::{Proof, Way};
use blitz_jobs::accounts::Target;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::pace::Pace;
use crate::failure::Failure;

/// Looks for a proof.
pub trait Prover: fmt::Debug + Send + Sync {
    /// Looks at the host for its token, by every way at once. The error is a text for the tenant: what was found instead, by
    /// each way.
    fn prove(&self, proof: Proof) -> Proves<'_>;
}

/// A look under way.
pub type Proves<'a> = Pin<Box<dyn Future<Output = Result<Way, String>> + Send + 'a>>;

/// Looks at once: each is a handful of connections for some seconds.
const AT_ONCE: usize = 8;

/// Looks of one tenant in a minute: who is changing a server tries some times. Each is up to some dozens of requests to a host
/// that may be anybody's, so that many would be a load of their own.
const PER_MINUTE: u32 = 10;

/// The whole look: two schemes with a lookup and up to three answers each, of 5 s.
const TIME: Duration = Duration::from_secs(45);

/// What bounds looks.
#[derive(Debug)]
pub(super) struct Looks {
    at_once: Semaphore,
    pace: Pace,
}

impl Default for Looks {
    fn default() -> Self {
        Self { at_once: Semaphore::new(AT_ONCE), pace: Pace::default() }
    }
}

impl Looks {
    /// Has a target looked at.
    pub(super) async fn look(&self, prover: &dyn Prover, target: &Target) -> Result<Way, Failure> {
        let Target { tenant, host, token, .. } = target;
        if let Err(after) = self.pace.take(tenant, 1, PER_MINUTE, Instant::now()) {
            let reason = format!(
                "tenant {tenant} has had its targets looked at {PER_MINUTE} times in a minute, which is the limit \
                 target_looks_per_minute; again in {} s",
                after.as_secs() + 1
            );
            return Err(Failure::too_often("target_looks_per_minute", reason, after));
        }
        let _place = self.at_once.try_acquire().map_err(|_| Failure::busy())?;
        let proof = Proof { host: host.clone(), token: Some(token.clone()) };
        match tokio::time::timeout(TIME, prover.prove(proof)).await {
            Ok(Ok(way)) => Ok(way),
            Ok(Err(text)) => Err(Failure::conflict("not_proved", text)),
            Err(_) => {
                let text = format!("{host} could not be looked at in {} s", TIME.as_secs());
                Err(Failure::conflict("not_proved", text))
            }
        }
    }
}
