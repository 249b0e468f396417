//! The stories: each module tells what a user, an operator or a machine goes through, on real sockets and real
//! processes.

mod layers;
mod clients;
mod couchdb_client;
mod road;
mod claims;
#[expect(clippy::unwrap_used, reason = "a server of a test")]
mod tls;
mod curl;
mod differential;
mod targets;
mod hostile;
mod cli;
#[expect(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]
mod couchdb_command;
