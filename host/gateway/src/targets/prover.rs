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
use crate::share::Shares;

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

/// Looks of one tenant at once: who proves some hosts in one go has them looked at two by two, and four tenants are needed to
/// leave no place for others.
const AT_ONCE_PER_TENANT: u32 = 2;

/// Looks of one tenant in a minute: who is changing a server tries some times. Each is up to some dozens of requests to a host
/// that may be anybody's, so that many would be a load of their own.
const PER_MINUTE: u32 = 10;

/// The whole look: two schemes with a lookup and up to three answers each, of 5 s.
const TIME: Duration = Duration::from_secs(45);

/// What bounds looks.
#[derive(Debug)]
pub(super) struct Looks {
    at_once: Semaphore,
    tenants: Shares,
    pace: Pace,
}

impl Default for Looks {
    fn default() -> Self {
        let tenants = Shares::new(AT_ONCE_PER_TENANT);
        Self { at_once: Semaphore::new(AT_ONCE), tenants, pace: Pace::default() }
    }
}

impl Looks {
    /// Has a target looked at.
    pub(super) async fn look(&self, prover: &dyn Prover, target: &Target) -> Result<Way, Failure> {
        let Target { tenant, host, token, .. } = target;
        // Before the pace: what is refused here costs no look.
        let share = self.tenants.take(tenant.clone(), 1).ok_or_else(|| {
            Failure::share_used(tenant, &format!("{AT_ONCE_PER_TENANT} looks at targets"))
        });
        let _share = share?;
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

#[cfg(test)]
mod tests {
    use blitz_jobs::accounts::TargetHost;
    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    /// Looks until it is told to find something.
    #[derive(Debug, Default)]
    struct Slow(Notify);

    impl Prover for Slow {
        fn prove(&self, _: Proof) -> Proves<'_> {
            Box::pin(async {
                self.0.notified().await;
                Err("nothing is there".to_owned())
            })
        }
    }

    #[tokio::test]
    async fn one_tenant_leaves_looks_for_others() {
        let (looks, prover) = (Looks::default(), Slow::default());
        let host = TargetHost::parse("a.example").unwrap();
        let targets = ["acme", "other"].map(|tenant| Target::new(&[7; 32], tenant, &host, 0));
        let look = |target| Box::pin(looks.look(&prover, target));
        let (mut one, mut two, mut other) =
            (look(&targets[0]), look(&targets[0]), look(&targets[1]));
        for under_way in [&mut one, &mut two, &mut other] {
            assert!(under_way.now_or_never().is_none());
        }
        let third = look(&targets[0]).now_or_never().expect("refused at once");
        let refused = format!("{:?}", third.unwrap_err());
        for part in ["503", "busy", "tenant acme has 2 looks", "try again"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        drop(one);
        assert!(look(&targets[0]).now_or_never().is_none(), "it looks");
    }
}
