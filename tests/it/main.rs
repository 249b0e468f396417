//! The stories: each module tells what a user, an operator or a machine goes through, on real sockets and real
//! processes.

mod layers;
mod contract;
mod clients;
mod couchdb_client;
mod road;
mod audit;
mod access;
mod quota;
mod tenants;
mod claims;
mod model;
mod networks;
mod takeover;
mod stays;
mod regions;
mod reach;
mod roles;
mod machines;
mod fleets;
mod versions;
mod bad;
#[expect(clippy::unwrap_used, reason = "a server of a test")]
mod tls;
#[expect(clippy::unwrap_used, reason = "runs of a test")]
mod trial;
mod curl;
mod canary;
mod differential;
mod targets;
mod paths;
mod load;
mod load_meeting;
mod consent;
mod wasi;
mod hostile;
mod hardened;
mod metacharacters;
mod security;
mod plugins;
mod cli;
mod screens;
mod languages;
mod everywhere;
#[expect(clippy::unwrap_used, reason = "helpers of tests may panic as the tests do")]
mod couchdb_command;
