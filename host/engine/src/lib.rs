//! The engine: it says that it is there, hears of its region's jobs, contends for them, runs what it wins and
//! reports.
//!
//! Read along the road: `engine` is the one loop that owns the state; `blitz_jobs::feed` brings it the
//! jobs; the pure `blitz_jobs::contest` decides; `executor` runs one won job from its inputs to its end;
//! `outbox` turns its output into documents; plugins come from the control database: `arrival` hears of
//! them, `admission` decides by `trust`, and `shelf` has them ready; `presence` says that the engine is there, through `own`.
//!
//! *Invariants:* no local state survives the process. Plugins come only through the control database. What
//! decides about claims is in `blitz-jobs`, what a plugin may do is in `blitz-runtime`.

pub mod config;
mod engine;
mod executor;
mod outbox;
pub mod trust;
mod shelf;
mod admission;
mod arrival;
mod presence;
mod own;

pub use config::Config;
pub use engine::{Error, run};
pub use trust::Trust;
