//! Ends what runs by a right that was taken back: of a tenant, of one of its users, or to load a host.

use blitz_jobs::Spec;
use futures_util::future::join_all;

use crate::failure::Failure;
use crate::history;
use crate::server::Shared;
use crate::submit;

/// Jobs that are read at once: a tenant has as many open ones as its plan lets it.
const AT_ONCE: usize = 16;

/// Cancels those open jobs of a tenant that `ends` says: how many. One that cannot be read or cancelled is told of in the log, and
/// its engine hears nothing of it; asked again it is looked for again.
///
/// # Errors
///
/// When one of them was not reached.
pub(crate) async fn end(
    shared: &Shared,
    tenant: &str,
    ends: impl Fn(&Spec) -> bool,
) -> Result<usize, Failure> {
    let (mut ended, mut failed) = (0, None);
    for jobs in shared.quota.open_jobs(tenant).chunks(AT_ONCE) {
        let found = join_all(jobs.iter().map(|job| history::job(&shared.stores, job))).await;
        for (job, found) in jobs.iter().zip(found) {
            let cancelled = match found {
                Ok(Some(found)) if !found.is_over() && ends(&found.spec) => {
                    submit::cancel(&shared.stores, job).await.map(|()| 1)
                }
                found => found.map(|_| 0),
            };
            match cancelled {
                Ok(count) => ended += count,
                Err(error) => {
                    tracing::warn!(%job, %error, "a job whose right was taken back may go on");
                    failed = Some(error);
                }
            }
        }
    }
    match failed {
        None => Ok(ended),
        Some(error) => Err(Failure::store(&error)),
    }
}
