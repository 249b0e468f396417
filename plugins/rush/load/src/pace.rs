//! When what is due: of an open model each transaction, of a closed one each user, of one share of the plan.
//!
//! Every instant is computed from an index: transaction `k` of the plan is due when the integral of the rate passes `k`
//! ([`Curve::reach`]), and user `j` exists while the height is above `j`. Nothing is added up on the way, so nothing
//! drifts, and the parts of all shares together are exactly the plan, however many there are.

mod arrivals;
mod curve;
mod random;
#[cfg(test)]
mod tests;
mod users;

pub(crate) use arrivals::Arrivals;
pub(crate) use random::Random;
pub(crate) use users::{Change, Users};

use blitz_contract::load::{Plan, Shape, Share};

/// How many requests a share may send, of a plan with a number of them: together exactly that number. `None` is as many as
/// its shape has. Of a closed model with fewer users than shares only the shares that have a user get any.
pub(crate) fn quota(plan: &Plan, share: Share) -> Option<u64> {
    plan.requests.map(|all| part_of(all, plan, share))
}

/// The same of a number of transactions.
pub(crate) fn transactions(plan: &Plan, share: Share) -> Option<u64> {
    plan.transactions.map(|all| part_of(all, plan, share))
}

fn part_of(all: u64, plan: &Plan, share: Share) -> u64 {
    let of = match &plan.shape {
        Shape::Rate { .. } => share.of,
        Shape::Users { .. } => {
            let users = u32::try_from(curve::whole(plan.shape.peak())).unwrap_or(u32::MAX);
            share.of.min(users.max(1))
        }
    };
    if share.index < of { Share { index: share.index, of }.of_first(all) } else { 0 }
}
