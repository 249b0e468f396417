//! The audit: who did what, from where, and what became of it, as documents that nobody changes.
//!
//! Read along an entry's road: `record` stands around every request that changes something and tells what came of it, `ends`
//! hears how jobs end, `writer` puts both into the store in batches, and `read` shows them. What an entry says is
//! [`blitz_jobs::accounts::audit`]'s.
//!
//! *Invariant:* a member's request changes nothing while its entry has no place in the queue, and none has while the store
//! does not take entries. The operator is served all the same, with a warning: who mends a store must not be kept out by it.
//! Nobody waits for an entry to be stored: what a gateway that is killed had not written is at most what came in a fifth of a
//! second, and of a job its spec says as much (see there).

mod ends;
mod read;
mod record;
mod refusals;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use blitz_jobs::accounts::audit::{AuditKind, Deed, Entry, Who, new_id, submit_id};
use blitz_jobs::clock::now_ms;
use tokio::sync::mpsc::{self, OwnedPermit};

use crate::caller::Caller;
use crate::failure::Failure;
use crate::request::Asked;
use crate::share::{Share, Shares};
use ends::Ends;
use refusals::Refusals;
use writer::Standing;

pub(crate) use read::list;
pub(crate) use record::{Line, Told, record};
pub(crate) use writer::Writer;

/// Entries that wait to be written: some seconds of the busiest gateway, in a few MB.
const WAITING_MAX: usize = 4096;

/// Of those, what one tenant has at once, from the request on: half. A burst of a thousand submissions has room while the ones
/// before it are written, and others have as much.
const TENANT_MAX: u32 = 2048;

/// An entry with its id, and its tenant's share of the queue until it is written.
#[derive(Debug)]
pub(crate) struct Waiting {
    id: String,
    entry: Entry,
    _share: Option<Share>,
}

/// Takes entries. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    entries: mpsc::Sender<Waiting>,
    shares: Shares,
    standing: Arc<Standing>,
    refusals: Arc<Mutex<Refusals>>,
    ends: Arc<Mutex<Ends>>,
    gateway: Arc<str>,
}

/// Room for the entry of one request.
#[derive(Debug)]
pub(crate) struct Place {
    permit: OwnedPermit<Waiting>,
    share: Option<Share>,
}

impl Audit {
    /// The audit of the gateway of this name, and who writes it.
    pub(crate) fn new(gateway: &str) -> (Self, Writer) {
        let (entries, waiting) = mpsc::channel(WAITING_MAX);
        let standing = Arc::new(Standing::default());
        let audit = Self {
            entries,
            shares: Shares::new(TENANT_MAX),
            standing: Arc::clone(&standing),
            refusals: Arc::default(),
            ends: Arc::default(),
            gateway: gateway.into(),
        };
        (audit, Writer::new(waiting, standing))
    }

    /// Room for the entry of a request that may change something. The operator goes on without.
    ///
    /// # Errors
    ///
    /// To a member, when there is none or the store takes no entries, or when its tenant has too many.
    pub(crate) fn place(&self, caller: &Caller) -> Result<Option<Place>, Failure> {
        let share = match caller.tenant() {
            None => None,
            Some(tenant) => Some(self.shares.take(tenant.to_owned(), 1).ok_or_else(|| {
                Failure::share_used(tenant, &format!("{TENANT_MAX} requests that change something"))
            })?),
        };
        let permit = self.entries.clone().try_reserve_owned().ok();
        let place = permit.map(|permit| Place { permit, share });
        match (caller, self.standing.is_late() || place.is_none()) {
            (_, false) => Ok(place),
            (Caller::Operator, true) => {
                tracing::warn!(
                    "the store takes no entries of the audit, the operator goes on without"
                );
                Ok(place)
            }
            (Caller::Member(_), true) => Err(Failure::unaudited()),
        }
    }

    /// Tells what a request has done.
    fn tell(&self, place: Option<Place>, who: Who, asked: Option<Asked>, deed: Deed) {
        let Some(Place { permit, share: _share }) = place else { return };
        let id = match &deed {
            Deed::Submit { run, .. } => submit_id(who.tenant(), run),
            _ => new_id(who.tenant()),
        };
        let (request, from) = asked.map(|asked| (asked.id, asked.from)).unzip();
        let entry = Entry {
            kind: AuditKind::Audit,
            blitz: blitz_jobs::BUILD.to_owned(),
            at_ms: now_ms(),
            gateway: Some(self.gateway.to_string()),
            request,
            who,
            from: from.flatten().map(|from| from.to_string()),
            deed,
        };
        permit.send(Waiting { id, entry, _share });
    }

    /// Whether a refusal gets an entry: with how many before it that got none.
    fn tells_refusal(&self, tenant: &str) -> Option<u64> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.hear(tenant, tokio::time::Instant::now())
    }

    /// Hears what becomes of jobs. An end that finds no room is told in the log alone: the job's run has it, too.
    pub(crate) fn hear(&self, thing: &blitz_jobs::feed::Heard) {
        let ended = self.ends.lock().unwrap_or_else(PoisonError::into_inner).hear(thing);
        if let Some((id, entry)) = ended
            && let Err(error) = self.entries.try_send(Waiting { id, entry, _share: None })
        {
            tracing::warn!(%error, "the end of a job is not in the audit");
        }
    }
}

/// Who a caller is, as the audit names them.
fn who(caller: &Caller) -> Who {
    match caller {
        Caller::Operator => Who::default(),
        Caller::Member(member) => Who {
            tenant: Some(member.key.tenant.clone()),
            user: Some(member.key.user.clone()),
            key: Some(member.key.id.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use blitz_jobs::accounts::Scopes;

    use super::*;

    #[test]
    fn one_tenant_leaves_places_for_others() {
        let (audit, mut writer) = Audit::new("g");
        let acme = Caller::member("acme", Scopes::default(), &[]);
        let mut places: Vec<_> =
            (0..TENANT_MAX).map(|_| audit.place(&acme).unwrap().unwrap()).collect();
        let refused = format!("{:?}", audit.place(&acme).unwrap_err());
        let many = format!("{TENANT_MAX} requests");
        for part in ["503", "busy", "tenant acme", &many, "try again", "retry_after_s: Some"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        let other = Caller::member("other", Scopes::default(), &[]);
        assert!(audit.place(&other).is_ok() && audit.place(&Caller::Operator).is_ok());
        // What waits to be written is its tenant's still.
        let deed =
            Deed::Change { action: String::new(), path: String::new(), status: 200, of: None };
        audit.tell(places.pop(), who(&acme), None, deed);
        assert!(audit.place(&acme).is_err());
        writer.forget();
        assert!(audit.place(&acme).is_ok());
    }
}
