//! Exchanges with servers on loopback that say exactly what a test wants.

mod server;
mod frames;
mod plain;
mod broken;
mod secure;
mod uploads;
mod limits;
mod rates;
mod trust;
#[cfg(feature = "http3")]
mod http3;
