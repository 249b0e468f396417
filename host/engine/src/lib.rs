//! The engine: it says that it is there, hears of its region's jobs, contends for them, runs what it wins and
//! reports.
//!
//! Read along the road: `chart` is what the near cluster says of the region and of all clusters, and `reach` the way into
//! them; the pure `course` says where the engine should be, `vigil` whether its home answers; `engine` begins and ends
//! stays accordingly. A `stay`, at one cluster and one home epoch, is the one loop that owns the state of its jobs: `entry`
//! is how it gets in, `going` how it goes on and ends, `siblings` what it knows of the others; `lanes` says which databases
//! it follows, `ears` bring it the jobs, by
//! `blitz_jobs::feed`; the pure `blitz_jobs::contest` decides; `tasks` are what is done beside the loop; `executor`
//! (whom the `house` lets in) runs one won job from its inputs to its end, which may have to wait for others in `meeting`; `outbox` turns its output into documents, as long as `gate` lets it.
//! [`token`] is how it came into the store at all, and [`imds`] what an instance of EC2 knows of itself: also that its machine
//! is about to be taken away.
//! Plugins come from the control database: `arrival` hears of them, `admission` decides by `trust`, and `shelf` has
//! them ready. `presence` says that the engine is there, and `pulse` what it holds, both through `own`; the
//! former learns by `census` who else is.
//!
//! `nearest` measures which of several clusters is the near one, before the engine starts.
//!
//! *Invariants:* one stay claims at a time, and at a cluster there is one stay at a time. No local state survives the process. Plugins come only through the control database. What
//! decides about claims is in `blitz-jobs`, what a plugin may do is in `blitz-runtime`.

pub mod config;
pub mod nearest;
mod chart;
mod reach;
mod course;
mod vigil;
mod engine;
mod error;
mod stay;
mod entry;
mod going;
mod siblings;
mod lanes;
mod patience;
mod ears;
mod tasks;
mod executor;
mod house;
mod meeting;
mod gate;
mod outbox;
pub mod trust;
pub mod token;
pub mod imds;
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
