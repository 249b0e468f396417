//! Who comes in by what a request shows, and what those are told who do not.

use std::net::IpAddr;
use std::sync::Arc;

use blitz_jobs::accounts::Subject;
use blitz_jobs::clock::now_ms;

use super::{Book, Doors, Refused};
use crate::caller::Caller;
use crate::failure::Failure;
use crate::guard::Shown;

/// Who asks. `from` is the address of the connection, where it is known.
pub(crate) fn enter(
    book: &Book,
    doors: &Doors,
    shown: &Shown,
    from: Option<IpAddr>,
) -> Result<Caller, Failure> {
    let wrong = |reason: &str| match from.map_or(Ok(()), |from| doors.wrong(from)) {
        Ok(()) => Err(Failure::unauthorized(reason)),
        Err(after) => {
            let reason = "too many wrong keys and tokens came from this address; try again later";
            Err(Failure::too_often("too_many_wrong_keys", reason, after))
        }
    };
    let secret = match shown {
        Shown::Token => return Ok(Caller::Operator),
        Shown::Other => return wrong("the token is not this gateway's"),
        Shown::Key(secret) => secret,
    };
    match book.admit(secret, now_ms()) {
        Ok(member) => Ok(Caller::Member(Arc::new(member))),
        Err(Refused::Unknown) => wrong("this key is not known"),
        Err(refused) => Err(told(&refused)),
    }
}

/// What somebody is told whom a key does not let in.
pub(crate) fn told(refused: &Refused) -> Failure {
    const NEXT: &str = "ask an administrator of your tenant for a new one, then 'blitz login'";
    match refused {
        Refused::Unknown => Failure::unauthorized("this key is not known"),
        Refused::NotServed => Failure::unauthorized(
            "this gateway takes no API keys: its operator starts it with --accounts-key FILE",
        ),
        Refused::NoAccounts => Failure::no_keys(
            "this gateway's store has no database of accounts; its operator runs 'blitz doctor' to see how to make it",
        ),
        Refused::Unread => {
            Failure::no_keys("this gateway has not read its accounts yet; try again")
        }
        Refused::Stale(silent) => Failure::no_keys(format!(
            "this gateway has not heard of its accounts for {} s: a key may have been taken back meanwhile; try again, or \
             at another gateway",
            silent.as_secs()
        )),
        Refused::Expired { id } => {
            Failure::key_refused("key_expired", format!("key {id} is over; {NEXT}"))
        }
        Refused::Revoked { what, reason } => {
            let what = match what {
                Subject::Key(id) => format!("key {id}"),
                Subject::User { tenant, user } => format!("user {user} of tenant {tenant}"),
                Subject::Tenant(tenant) => format!("tenant {tenant}"),
                Subject::Target { .. } => what.to_string(),
            };
            let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            Failure::key_refused("key_revoked", format!("{what} was revoked{why}; {NEXT}"))
        }
        Refused::NoTenant { tenant } => Failure::key_refused(
            "key_revoked",
            format!("there is no tenant {tenant} any more; {NEXT}"),
        ),
    }
}

/// Takes one of the submissions that a key has in a minute.
pub(crate) fn take(doors: &Doors, key: &str, per_minute: u32) -> Result<(), Failure> {
    doors.take(key, per_minute).map_err(|after| {
        let reason = format!(
            "key {key} may submit {per_minute} times a minute at this gateway; the next time is in {} s",
            after.as_millis().div_ceil(1000)
        );
        Failure::too_often("rate_of_key", reason, after)
    })
}
