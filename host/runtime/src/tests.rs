//! Guests that behave badly, and a few that do not: raw components, written as text. `sockets` is for the tests of
//! all modules.

mod component;
mod load;
mod run;
pub(crate) mod sockets;
