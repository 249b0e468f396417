//! The worker of a load test: one thread, one epoll, as many connections as it may open.
//!
//! An engine starts one process for each core that it gives to load, in a cage, and says over a socket what to do
//! (`blitz_contract::load::work`). A request costs one `send` and one `recv`: an answer is read into one buffer that all
//! connections share, parsed where it lies, and followed at once by what comes next on its connection. A connection is added to
//! epoll once and changed once, when it stands; from then on it is told of by edges. A plain one costs less than 128 bytes. In the order to read in:
//!
//! - `worker`: the road from the first order to the last tick; `control`: the frames on its socket.
//! - `runner`: the loop. Events, instants that have come, and what both lead to. It owns all state.
//! - `lane`: what carries transactions out, one after the other: a user, or a place for an arrival.
//! - `connection`, `socket`: what a lane sends on, and how it is opened.
//! - `answer`: the reader of HTTP/1 answers; knows no socket.
//! - `deadline`: time-outs; `clock`, `machine`: what the system says about time and about us; `system`: calls that need `unsafe`.
//! - `pace`: when what is due. `script`: what is sent. `record`: what is counted. All three are pure.
//! - `tls`, `h2`: what lies between connection and answer for targets that speak them; plain connections do not pay for it.
//!
//! Deliberately absent: names (the engine has looked them up), redirects (a step is one request), any connection to an
//! address that is not in the order.

mod worker;
mod control;
mod runner;
mod lane;
mod connection;
mod socket;
mod answer;
mod deadline;
mod clock;
mod machine;
mod system;
mod failure;
mod pace;
mod script;
mod record;
mod tls;
mod h2;

pub use worker::worker;
