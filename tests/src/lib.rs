//! The harness of the stories: a real store, a real gateway and real engines on loopback, and the real program.
//!
//! [`store`] is the embedded store in memory, or the Apache CouchDB of `BLITZ_TEST_COUCHDB`; [`Stack`] is
//! everything of a few regions in this process, with all durations of the protocol shortened; [`regions`] is the same
//! over several clusters, with links that can be cut; [`Api`] speaks to
//! a gateway as any client would; [`publisher`] signs and publishes plugins;
//! [`cable`] cuts an engine off from its store, [`recorder`] remembers what a gateway asks of it, [`proxy`] does it in more ways, and [`witness`] sees its jobs begin and stop;
//! [`imds`] is what an instance of EC2 is told of itself, and [`machine`] such an instance, from its user data to a job;
//! [`program`] runs `blitz` as a process, and [`printed`] a plugin without an engine; [`mmdb`] writes databases of
//! networks; [`Web`] is what
//! `curl` talks to, and [`Counter`] what a load test loads, and [`owner`] what shows whether it may. [`hostile`] is what it should never have talked to, and [`net`] two namespaces: an engine,
//! and a world that answers at every address and counts what reaches it; and paths of many routers.

pub mod api;
pub mod cable;
pub mod counter;
pub mod hostile;
pub mod imds;
pub mod machine;
pub mod mmdb;
pub mod net;
pub mod owner;
pub mod printed;
pub mod program;
pub mod proxy;
pub mod publisher;
pub mod recorder;
pub mod regions;
pub mod stack;
pub mod web;
pub mod witness;
mod wait;

pub use api::{Api, Event};
pub use cable::Cable;
pub use counter::Counter;
pub use imds::Imds;
pub use program::{Home, Outcome};
pub use recorder::Recorder;
pub use stack::{EngineHandle, Stack, region_name, store, troubled_store};
pub use wait::{until, within};
pub use web::Web;
pub use witness::Witness;

/// The component of the plugin `fixture`, which does what a story asks it to.
pub const FIXTURE: &[u8] = include_bytes!(env!("BLITZ_FIXTURE_WASM"));

/// The manifest of the plugin `fixture`.
pub const FIXTURE_MANIFEST: &str = include_str!("../fixture/plugin.toml");
