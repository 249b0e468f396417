//! Load tests: what is asked of the host as a [`Plan`], and what it says each second as a [`Tick`]. The WIT text is
//! `interface load`, where both travel as JSON.
//!
//! Everything in a tick adds up: ticks of workers, engines, regions and seconds are merged by addition, so that
//! percentiles are those of all requests together. A plan is divided exactly, by a [`Share`].

mod plan;
mod check;
mod origin;
mod share;
mod tick;
mod distribution;
#[cfg(not(target_family = "wasm"))]
mod consent;
#[cfg(not(target_family = "wasm"))]
pub mod proof;
#[cfg(not(target_family = "wasm"))]
mod terms;
#[cfg(not(target_family = "wasm"))]
pub mod work;

pub use check::PlanError;
#[cfg(not(target_family = "wasm"))]
pub use consent::{Consent, ConsentError, Pattern};
pub use distribution::{Distribution, VALUE_MAX};
pub use origin::{Origin, Scheme};
pub use plan::{
    BODY_BYTES_MAX, Body, HEADERS_MAX, HttpVersion, Plan, SEGMENTS_MAX, STEPS_MAX, Segment, Shape,
    Step, VARIABLES_MAX, Values, Variable,
};
#[cfg(not(target_family = "wasm"))]
pub use proof::{Proof, Way};
pub use share::Share;
#[cfg(not(target_family = "wasm"))]
pub use terms::{Terms, TermsError};
pub use tick::{ClassTick, Closing, ErrorKind, First, StepTick, Tick, Verdict};

/// The kind of the events that carry ticks.
pub const TICK_EVENT: &str = "load-tick";
/// The kind of the event that comes before all ticks: [`Opening`].
pub const OPENING_EVENT: &str = "load-open";

/// What is told once, before the first tick of an engine.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Opening {
    /// What all engines together do.
    pub plan: Plan,
    /// What of it this engine does.
    pub share: Share,
    /// Workers on this engine.
    pub workers: u32,
    /// The engine's clock at the start, in milliseconds since 1970: the achieved skew is the span of these.
    pub started_at_ms: u64,
    /// Engines that were asked for, and did not come in time.
    #[serde(default)]
    pub missing: u32,
    /// Where the requests go: each origin with the addresses that it is held to, as `IP:port`.
    pub targets: Vec<(String, Vec<String>)>,
}

#[cfg(test)]
mod tests;
