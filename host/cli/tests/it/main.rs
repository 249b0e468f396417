//! The `blitz` binary as a user runs it, against a scripted gateway.
//!
//! One binary for all stories. What needs engines is in the workspace's `tests`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod gateway;
mod blitz;
mod job;
mod load;
mod regions;
mod formats;
mod output;
mod interrupt;
mod resume;
mod usage;
mod lists;
mod plugin_new;
mod up;
mod trial;
mod completion;
mod pins;
mod doctor;
mod operate;
mod login;
mod accounts;
mod team;
