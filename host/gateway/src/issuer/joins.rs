//! Places for those who ask for tokens, and have shown nothing yet: while their bodies come, and while they are served.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::desk::issuer;
use crate::connections::network;
use crate::failure::Failure;
use crate::request::Asked;
use crate::server::Shared;
use crate::share::{Share, Shares};

/// Requests under way at once: anybody may ask, and the store has other things to do. An engine that is told to come
/// again does so within half a minute.
const JOINS_MAX: usize = 16;

/// Requests whose bodies are still to come: each holds a connection at work until then, which nobody takes away. More than are
/// served at once: if sixteen slow ones had all the places, no engine would get a token.
const ARRIVING_MAX: usize = 256;

/// Those of one address, of IPv6 of one network: it takes sixteen to leave no place for others. Loopback has no such limit, as a
/// proxy there carries everybody's.
const ARRIVING_PER_ADDRESS_MAX: u32 = 16;

/// All places.
#[derive(Debug)]
pub(crate) struct Joins {
    arriving: Arc<Semaphore>,
    of_one: Shares<IpAddr>,
    served: Semaphore,
}

/// What is asked before a body is read: whether tokens are issued here, and a place until the body has come.
#[derive(Debug)]
pub(super) struct Arriving {
    _place: OwnedSemaphorePermit,
    _share: Option<Share<IpAddr>>,
}

impl FromRequestParts<Arc<Shared>> for Arriving {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Failure> {
        issuer(shared)?;
        let asked = parts.extensions.get::<Asked>();
        shared.joins.arrive(asked.and_then(|asked| asked.from))
    }
}

impl Default for Joins {
    fn default() -> Self {
        Self {
            arriving: Arc::new(Semaphore::new(ARRIVING_MAX)),
            of_one: Shares::new(ARRIVING_PER_ADDRESS_MAX),
            served: Semaphore::new(JOINS_MAX),
        }
    }
}

impl Joins {
    /// A place for a request from this address until its body has come.
    fn arrive(&self, from: Option<IpAddr>) -> Result<Arriving, Failure> {
        let share = match from.filter(|from| !from.to_canonical().is_loopback()) {
            None => None,
            Some(from) => {
                let share = self.of_one.take(network(from), 1);
                Some(share.ok_or_else(|| {
                    Failure::crowded(&format!(
                        "the bodies of {ARRIVING_PER_ADDRESS_MAX} joins from one address are still to come, which is the limit"
                    ))
                })?)
            }
        };
        let place = Arc::clone(&self.arriving).try_acquire_owned().map_err(|_| Failure::busy())?;
        Ok(Arriving { _place: place, _share: share })
    }

    /// A place among those who are served at once.
    pub(super) fn serve(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.served.try_acquire().map_err(|_| Failure::busy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_bodies_have_places_of_their_own_and_one_address_has_few() {
        let joins = Joins::default();
        let mut held = Vec::new();
        let mut arrive = |from: &str, count: u32| {
            for _ in 0..count {
                held.push(joins.arrive(from.parse().ok())?);
            }
            Ok::<_, Failure>(())
        };
        assert_eq!(arrive("2001:db8::1", ARRIVING_PER_ADDRESS_MAX), Ok(()));
        let refused = format!("{:?}", arrive("2001:db8::2", 1).unwrap_err());
        for part in ["503", "busy", "16 joins", "try again"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert_eq!(arrive("2001:db8:0:1::1", 1), Ok(()), "another network");
        // A proxy on this machine: of all together there are so many.
        let rest = u32::try_from(ARRIVING_MAX).unwrap() - ARRIVING_PER_ADDRESS_MAX - 1;
        assert_eq!(arrive("127.0.0.1", rest), Ok(()));
        assert!(arrive("127.0.0.1", 1).is_err() && arrive("192.0.2.1", 1).is_err());
        assert!(joins.serve().is_ok(), "who has come is served");
        drop(held);
        assert!(joins.arrive("2001:db8::2".parse().ok()).is_ok());
    }
}
