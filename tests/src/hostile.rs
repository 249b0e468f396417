//! Servers that do what no server should, and what must become of a `curl` that meets them.
//!
//! A server is a [`Script`]: what it says byte for byte, how fast, how often, and how it leaves. A [`Case`] is a
//! script with a command line and its end: the exit code, the limit that the message names, and the time.
//! Read `script`, then `case`, then the tables: [`http1`], [`bodies`], [`redirects`], [`tls`], [`http2`], [`bombs`].

pub mod bodies;
pub mod bombs;
mod case;
pub mod http1;
pub mod http2;
mod pki;
mod play;
pub mod redirects;
mod script;
pub mod tls;

pub use case::{Case, End, case};
pub use pki::{Identity, Pki};
pub use play::Server;
pub use script::{Door, Script, Step, say};

/// Every case but the bombs, whose memory is measured one by one.
#[must_use]
pub fn table(pki: &Pki) -> Vec<Case> {
    [http1::cases(), bodies::cases(), redirects::cases(pki), tls::cases(pki), http2::cases(pki)]
        .concat()
}
