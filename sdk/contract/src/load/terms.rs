//! What a load test may be at most, whatever plan a plugin hands over: what a tenant has paid for, as a rule.

use std::time::Duration;

use super::plan::{Plan, Shape};

/// The most that a load test of a run may be, over all its engines together: each does its [`Share`](super::Share) of a plan, so
/// that a plan which is held to them whole is held to them by all.
///
/// Each limit is one of its own kind of shape: users answer to `users`, a rate to `rate_per_s`. How often users come is
/// decided by the server that they wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Virtual users of a [`Shape::Users`].
    pub users: Option<u64>,
    /// Requests in a second of a [`Shape::Rate`]: its transactions times their steps.
    pub rate_per_s: Option<u64>,
    /// How long all load tests of one engine last, one after the other.
    pub duration: Option<Duration>,
}

/// A plan that is more than the terms allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Too many users.
    #[error(
        "a load test of {asked} users, {max} are allowed (load_users); ask for fewer, or for another plan of the tenant"
    )]
    Users {
        /// Of the plan.
        asked: u64,
        /// By the terms.
        max: u64,
    },
    /// Too high a rate.
    #[error(
        "a load test of {asked} requests in a second, {max} are allowed (load_rate_per_s); ask for fewer, or for another plan \
         of the tenant"
    )]
    Rate {
        /// Of the plan, with all steps.
        asked: u64,
        /// By the terms.
        max: u64,
    },
    /// Too long.
    #[error(
        "a load test of {} s, {} s of today's are left for it on this engine (load_minutes_per_day); make it shorter, or try again \
         when other load tests have ended or tomorrow", .asked.as_secs_f64(), .left.as_secs_f64()
    )]
    Duration {
        /// Of the plan.
        asked: Duration,
        /// By the terms.
        left: Duration,
    },
}

impl Terms {
    /// Whether a plan is within them.
    ///
    /// # Errors
    ///
    /// [`TermsError`] names the first limit that it passes.
    pub fn check(&self, plan: &Plan) -> Result<(), TermsError> {
        let peak = whole(plan.shape.peak());
        match plan.shape {
            Shape::Users { .. } => {
                if let Some(max) = self.users.filter(|max| peak > *max) {
                    return Err(TermsError::Users { asked: peak, max });
                }
            }
            Shape::Rate { .. } => {
                let steps = u64::try_from(plan.steps.len()).unwrap_or(u64::MAX);
                let asked = peak.saturating_mul(steps);
                if let Some(max) = self.rate_per_s.filter(|max| asked > *max) {
                    return Err(TermsError::Rate { asked, max });
                }
            }
        }
        let asked = plan.shape.duration();
        match self.duration.filter(|left| asked > *left) {
            Some(left) => Err(TermsError::Duration { asked, left }),
            None => Ok(()),
        }
    }

    /// What is left of them after a load test that was so long.
    pub fn spend(&mut self, time: Duration) {
        self.duration = self.duration.map(|left| left.saturating_sub(time));
    }
}

/// The next whole number; heights are far below the limits of both types.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is too large or below zero becomes the nearest end of the range"
)]
fn whole(height: f64) -> u64 {
    height.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Segment, Step};

    #[test]
    fn a_plan_is_held_to_users_rate_and_time_as_its_shape_is() {
        let second = Duration::from_secs(1);
        let step = || Step::new("GET", "http://127.0.0.1:1/", second);
        let ramp = |to: f64| vec![Segment { from: 1.0, to, duration_ms: 60_000 }];
        let users = |to| Plan::new(vec![step()], Shape::Users { segments: ramp(to) });
        let rate = |to, steps| {
            let shape = Shape::Rate { segments: ramp(to), poisson: false };
            Plan::new((0..steps).map(|_| step()).collect(), shape)
        };
        let terms = Terms { users: Some(250), rate_per_s: Some(100), duration: Some(second * 60) };
        for (plan, limit) in [
            (users(250.0), None),
            (users(251.0), Some("251 users, 250 are allowed (load_users)")),
            (rate(100.0, 1), None),
            (rate(100.5, 1), Some("101 requests in a second, 100 are allowed (load_rate_per_s)")),
            (rate(50.0, 2), None),
            (rate(51.0, 2), Some("102 requests in a second")),
        ] {
            let checked = terms.check(&plan).map_err(|error| error.to_string());
            match limit {
                None => assert_eq!(checked, Ok(())),
                Some(text) => assert!(checked.as_ref().unwrap_err().contains(text), "{checked:?}"),
            }
            assert_eq!(Terms::default().check(&plan), Ok(()));
        }
        let mut terms = terms;
        terms.spend(second / 2);
        let late = terms.check(&users(1.0)).unwrap_err().to_string();
        assert!(late.starts_with("a load test of 60 s, 59.5 s of today's are left"), "{late}");
        terms.spend(second * 100);
        assert_eq!(terms.duration, Some(Duration::ZERO));
    }
}
