//! Guests that behave badly, and a few that do not: raw components, written as text. `sockets` is for the tests of
//! all modules.

mod command;
mod component;
mod hostile;
mod imports;
mod counts;
mod load;
mod probes;
mod run;
mod tape;
pub(crate) mod sockets;
