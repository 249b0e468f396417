//! Two network namespaces and the traffic between them: what an engine sends is counted, packet by packet.
//!
//! [`Lab`] is the whole: `engine`, in which engines run, and `world`, which is everything that they could
//! reach. `namespace` makes and removes them, `traffic` counts what leaves for an address that is not
//! public, [`server`] answers in `world` at every address there is, and [`dns`] gives names any address that
//! a test wants. [`guests`] runs plugins in `engine` without the road of a job.
//!
//! [`path::Path`] is another lab: many routers in a row, for the tools that look at the way. [`Wan`] is a third: places far
//! from each other, whose ways can be cut.

pub mod dns;
pub mod guests;
mod lab;
mod namespace;
pub mod path;
mod process;
pub mod server;
mod traffic;
mod wan;

pub use lab::{Lab, Part, Up};
pub use namespace::{Namespace, Unavailable};
pub use traffic::Count;
pub use wan::{LAB, Wan, WanCut};

/// The engine's own addresses. They look public: a rule for private networks does not refuse them.
pub const ENGINE_V4: &str = "5.5.5.2";
/// As [`ENGINE_V4`].
pub const ENGINE_V6: &str = "2a05:5::2";
/// Where the store of the engines listens, in `world`.
pub const STORE: &str = "5.5.5.9:5984";
/// The name server of the engine's system, and what `--resolver` may name.
pub const NAME_SERVER_V4: &str = "9.9.9.9";
/// As [`NAME_SERVER_V4`].
pub const NAME_SERVER_V6: &str = "2620:fe::fe";
/// Where the gateway listens, in `engine`.
pub const GATEWAY_PORT: u16 = 8042;
/// The private network and port that an allow rule may open: counted apart.
pub const ALLOWED_NETWORK: &str = "10.9.0.0/16";
/// As [`ALLOWED_NETWORK`].
pub const ALLOWED_PORT: u16 = 8080;
/// The port that a deny rule may close: counted apart.
pub const DENIED_PORT: u16 = 25;
