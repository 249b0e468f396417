//! The stories: each module tells what a user, an operator or a machine goes through, on real sockets and real
//! processes.

mod layers;
mod couchdb_client;
mod road;
#[expect(clippy::unwrap_used, reason = "a server of a test")]
mod tls;
mod curl;
mod differential;
mod targets;
mod hostile;
mod cli;
