//! Stories of boot: what a machine does with what it is told, with real programs and without a cloud.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails at once")]

mod files;
mod installer;
mod instance;
mod machine;
mod server;
mod shop;
mod store;
mod tampered;
mod tools;
