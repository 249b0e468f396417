//! Ends what runs against a host that was taken back.

use blitz_jobs::JobId;

use crate::caller::Caller;
use crate::failure::Failure;
use crate::history;
use crate::server::Shared;
use crate::submit;

/// Jobs of a region that are looked through, the newest: load tests are few, and end within their time. More than these are not
/// found; their engines look at the proof all the same.
const JOBS_MAX: usize = 2000;

/// Cancels the open jobs of a tenant that carry a proof of this host: how many. A region that does not answer is told of in the
/// log, and its engines hear nothing of it until it does.
pub(super) async fn end(shared: &Shared, tenant: &str, host: &str) -> Result<usize, Failure> {
    let mut found: Vec<JobId> = Vec::new();
    let mut failed = None;
    for region in shared.catalog.all_regions() {
        // Whoever takes it back, it is taken back from all users of the tenant.
        match history::newest(&shared.stores, &region, &Caller::Operator, JOBS_MAX).await {
            Ok(jobs) => {
                let open = jobs.into_iter().filter(|job| {
                    let is_over =
                        job.cancelled || job.run.as_ref().is_some_and(|run| run.is_final());
                    let is_there = job.spec.terms.proofs.iter().any(|proof| proof.host == host);
                    !is_over && is_there && job.spec.tenant.as_deref() == Some(tenant)
                });
                found.extend(open.map(|job| job.spec.job));
            }
            Err(error) => {
                tracing::warn!(region = region.name.as_str(), %error, "its load tests against a target that was taken back may go on");
                failed = Some(error);
            }
        }
    }
    for job in &found {
        if let Err(error) = submit::cancel(&shared.stores, job).await {
            tracing::warn!(%job, %error, "a load test against a target that was taken back is not cancelled");
            failed = Some(error);
        }
    }
    match failed {
        None => Ok(found.len()),
        Some(error) => Err(Failure::store(&error)),
    }
}
