//! Large bodies of JSON, for the one route that needs them: there is room for so many bytes of them at once, of all requests
//! together and of each tenant, and it is asked for before anything is read.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use blitz_jobs::spec::INPUTS_BYTES_MAX;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{must_be_json, parse, read_all, too_large};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::limits::{
    BODY_BYTES_MAX, LARGE_BODIES_BYTES, LARGE_BODIES_BYTES_PER_TENANT, LARGE_BODY_WAIT,
};
use crate::server::Shared;
use crate::share::{Share, Shares};

/// The largest body: all inputs in base64, and room for the rest.
pub(crate) const LARGE_BODY_BYTES_MAX: usize = INPUTS_BYTES_MAX / 3 * 4 + (1 << 20);

/// Room is counted in KiB: a semaphore has too few permits for bytes.
const UNIT_BYTES: usize = 1 << 10;

/// A body of JSON that may be large, with the room that it takes: who keeps what was in it keeps the room.
#[derive(Debug)]
pub(crate) struct Large<T>(pub(crate) T, pub(crate) Room);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Large<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Failure> {
        must_be_json(request.headers())?;
        // What does not say how long it is may be as long as any.
        let announced = request.body().size_hint().exact();
        let bytes = announced
            .map_or(LARGE_BODY_BYTES_MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if bytes > LARGE_BODY_BYTES_MAX {
            return Err(too_large(LARGE_BODY_BYTES_MAX));
        }
        let caller = request.extensions().get::<Caller>();
        let tenant = caller.and_then(Caller::tenant);
        let mut room = shared.rooms.enter(tenant, bytes).await?;
        let body = read_all(request, LARGE_BODY_BYTES_MAX).await?;
        room.keep(body.len());
        Ok(Self(parse(&body)?, room))
    }
}

/// The room for all large bodies.
#[derive(Debug)]
pub(crate) struct Rooms {
    all: Arc<Semaphore>,
    tenants: Shares,
}

/// What one body takes of it, until it is dropped. A small one takes nothing.
#[derive(Debug, Default)]
pub(crate) struct Room {
    all: Option<OwnedSemaphorePermit>,
    tenant: Option<Share>,
}

impl Default for Rooms {
    fn default() -> Self {
        let all = Arc::new(Semaphore::new(LARGE_BODIES_BYTES / UNIT_BYTES));
        Self { all, tenants: Shares::new(units(LARGE_BODIES_BYTES_PER_TENANT)) }
    }
}

impl Rooms {
    /// Room for a body of so many bytes. The operator has no share, but all.
    ///
    /// # Errors
    ///
    /// When there is none within [`LARGE_BODY_WAIT`], and at once when the tenant has its share already.
    pub(crate) async fn enter(&self, tenant: Option<&str>, bytes: usize) -> Result<Room, Failure> {
        if bytes <= BODY_BYTES_MAX {
            return Ok(Room::default());
        }
        let mib = bytes.div_ceil(1 << 20);
        let tenant = match tenant {
            None => None,
            Some(tenant) => {
                let share = self.tenants.take(tenant.to_owned(), units(bytes));
                Some(share.ok_or_else(|| {
                    let max = LARGE_BODIES_BYTES_PER_TENANT >> 20;
                    Failure::crowded(&format!(
                        "submissions of tenant {tenant} may have {max} MiB at once, and this one's {mib} MiB are too much beside \
                         those that are under way (one without a content-length counts as the longest)"
                    ))
                })?)
            }
        };
        let waits = Arc::clone(&self.all).acquire_many_owned(units(bytes));
        match timeout(LARGE_BODY_WAIT, waits).await {
            Ok(Ok(all)) => Ok(Room { all: Some(all), tenant }),
            Ok(Err(_)) | Err(_) => {
                let max = LARGE_BODIES_BYTES >> 20;
                Err(Failure::crowded(&format!(
                    "the submissions of all who ask this gateway may have {max} MiB at once, and there is no room for {mib} MiB"
                )))
            }
        }
    }
}

impl Room {
    /// Gives back what a body of so many bytes does not need.
    fn keep(&mut self, bytes: usize) {
        let units = units(bytes);
        if let Some(all) = &mut self.all {
            let kept = usize::try_from(units).unwrap_or(usize::MAX);
            drop(all.split(all.num_permits().saturating_sub(kept)));
        }
        if let Some(tenant) = &mut self.tenant {
            tenant.keep(units);
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_bodies_together_have_so_much_room_and_each_tenant_less() {
        let rooms = Rooms::default();
        let enter = async |tenant: &'static str, bytes| rooms.enter(Some(tenant), bytes).await;
        let most = LARGE_BODY_BYTES_MAX;
        let mut held = Vec::new();
        for tenant in ["a", "a", "b", "b", "c"] {
            held.push(enter(tenant, most).await.unwrap());
        }
        let refused = format!("{:?}", enter("a", most).await.unwrap_err());
        for part in ["503", "busy", "tenant a may have 96 MiB", "retry_after_s: Some(2)"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        let refused = format!("{:?}", enter("c", most).await.unwrap_err());
        for part in ["503", "busy", "256 MiB at once", "retry_after_s: Some(2)"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert!(rooms.enter(None, most).await.is_err(), "nobody makes room for the operator");
        assert!(enter("a", BODY_BYTES_MAX).await.is_ok(), "small ones need none");
        // One was shorter than it might have been, and makes room for who waits.
        let waits = enter("c", most);
        let ends = async {
            tokio::task::yield_now().await;
            held[0].keep(1 << 10);
        };
        let (entered, ()) = tokio::join!(waits, ends);
        held.push(entered.unwrap());
        assert!(rooms.tenants.take("a".to_owned(), units(most)).is_some(), "so has its tenant");
        held.clear();
        assert_eq!(rooms.all.available_permits(), LARGE_BODIES_BYTES / UNIT_BYTES);
    }
}
