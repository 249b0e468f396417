//! What one run of a plugin is given.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use blitz_contract::{Capability, Frame, Limits};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::egress::Rule;
use crate::load::LoadSetting;
use crate::tape::Tape;

/// One run: what the plugin is told, what it may use, and where its output goes.
pub struct Invocation {
    /// As the user typed them, without the plugin's name.
    pub args: Vec<String>,
    /// The region that the job runs in.
    pub region: String,
    /// The run's time, from the call of [`crate::Plugin::run`] to the acceptance of its last output.
    pub deadline: Duration,
    /// What the manifest asks for; lowered to the host's maxima.
    pub limits: Limits,
    /// The rights that were granted. An import without its right answers `denied`.
    pub capabilities: Vec<Capability>,
    /// Files of the user's machine by the name that the command line gave; `-` is stdin.
    pub inputs: BTreeMap<String, Bytes>,
    /// Takes the output in the order in which the plugin gives it. The plugin waits while it is full, so
    /// its capacity times 64 KiB is what a flood can occupy. When the receiver is dropped, the run is
    /// cancelled.
    pub output: mpsc::Sender<Frame>,
    /// Ends the run: at once, also when the plugin computes, or after the grace that `limits` names. What the plugin
    /// prints in its grace is delivered.
    pub cancel: CancellationToken,
    /// Whether what the run hears is the world's, and is recorded, or comes from a tape.
    pub tape: Tape,
    /// Where it may go at most, beside what the engine's policy says of it; none is wherever that lets it.
    pub targets: Vec<Rule>,
    /// What its load tests are given.
    pub load: LoadSetting,
}

impl fmt::Debug for Invocation {
    /// Without what the user typed and sent along: secrets are among it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Invocation");
        shown.field("region", &self.region).field("deadline", &self.deadline);
        shown.field("limits", &self.limits).field("capabilities", &self.capabilities);
        shown.finish_non_exhaustive()
    }
}
