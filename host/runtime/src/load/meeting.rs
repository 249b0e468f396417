//! Where the engines of one run meet before the first packet: who does which share, and when it begins.
//!
//! The runtime knows neither jobs nor databases, so whoever makes the [`crate::Invocation`] says how to meet.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::{Proof, Share, Terms};

/// What a load test of a run is given beside its plan.
#[derive(Debug, Clone)]
pub struct LoadSetting {
    /// Who asks, for whoever reads a log of the target: the job and a contact. Ends the `user-agent` of every request, in
    /// parentheses. Empty where nobody asks but the machine's own user.
    pub signature: String,
    /// The most that load tests of the run may be.
    pub terms: Terms,
    /// How this engine meets the others of the run.
    pub meeting: Arc<dyn Meeting>,
    /// Which hosts it may go to beside those that the operator agrees to. They are looked for before the first packet, and
    /// while it runs.
    pub proofs: Vec<Proof>,
}

impl Default for LoadSetting {
    /// Of a run without others.
    fn default() -> Self {
        Self {
            signature: String::new(),
            terms: Terms::default(),
            meeting: Arc::new(Alone),
            proofs: Vec::new(),
        }
    }
}

/// The engines of one run meet.
pub trait Meeting: fmt::Debug + Send + Sync {
    /// Called once this engine's workers have their work and wait for the word: says to the others that this one is
    /// ready, and waits until it is known who takes part. Called at most once for each load test of a run.
    ///
    /// The future is dropped when the run is cancelled or its time is over: that must leave nothing behind that waits.
    /// What it does until then is not bounded here; a deadline and a quorum are the implementation's.
    ///
    /// The error is a text for the user: why it does not begin (too few came, and how many), and the next step.
    fn meet(&self) -> Meets<'_>;
}

/// A meeting under way.
pub type Meets<'a> = Pin<Box<dyn Future<Output = Result<Met, String>> + Send + 'a>>;

/// What was agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    /// What of the plan this engine does.
    pub share: Share,
    /// From now until all begin.
    pub starts_in: Duration,
    /// Engines that were asked for, and did not come in time.
    pub missing: u32,
}

/// A run without others: everything, at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Alone;

impl Meeting for Alone {
    fn meet(&self) -> Meets<'_> {
        let met = Met { share: Share::WHOLE, starts_in: Duration::ZERO, missing: 0 };
        Box::pin(std::future::ready(Ok(met)))
    }
}
