//! The worker as its engine sees it: over a socket, against real little servers on loopback, good ones and bad ones.

mod bad;
mod engine;
mod good;
mod measure;
mod secure;
mod servers;
mod shape;
