//! Exchanges with servers on loopback that say exactly what a test wants.

mod server;
mod plain;
mod secure;
mod limits;
