//! The engine: it says that it is there, hears of its region's jobs, contends for them, runs what it wins and
//! reports.
//!
//! Read along the road: `home` is what it must know of its region; `engine` is the one loop that owns the state, and
//! `going` how it ends; `ears` bring it the jobs, by
//! `blitz_jobs::feed`; the pure `blitz_jobs::contest` decides; `tasks` are what is done beside the loop; `executor`
//! runs one won job from its inputs to its end; `outbox` turns its output into documents, as long as `gate` lets it.
//! Plugins come from the control database: `arrival` hears of them, `admission` decides by `trust`, and `shelf` has
//! them ready. `presence` says that the engine is there, and `pulse` what it holds, both through `own`; the
//! former learns by `census` who else is.
//!
//! *Invariants:* no local state survives the process. Plugins come only through the control database. What
//! decides about claims is in `blitz-jobs`, what a plugin may do is in `blitz-runtime`.

pub mod config;
mod home;
mod engine;
mod going;
mod error;
mod ears;
mod tasks;
mod executor;
mod gate;
mod outbox;
pub mod trust;
mod shelf;
mod admission;
mod arrival;
mod presence;
mod pulse;
mod own;
mod census;

pub use config::Config;
pub use engine::run;
pub use error::Error;
pub use trust::Trust;
