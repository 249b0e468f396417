//! Several clusters in this process, with regions that have their home in one and copies in others, and with links
//! between all of them that can be cut one by one.
//!
//! [`Plan`] says what there is, [`World`] is it: a `cluster` is one store, `links` are the ways of each process to
//! each store, [`topology`] sets clusters and regions up, `operator` moves and mends them, `parts` starts gateways and
//! engines. Everything is joined by real sockets, and the durations of the protocol are shortened as in
//! [`Stack`](crate::Stack).
//!
//! Who stands at the near end of a link is told by name: a gateway, an engine, or [`REPLICATORS`]. Each has a place, the
//! cluster beside which it runs: [`World::isolate`] cuts what goes from place to place.

mod cluster;
mod links;
mod operator;
mod parts;
mod plan;
pub mod topology;
mod world;

pub use cluster::Cluster;
pub use links::Cut;
pub use operator::REPLICATORS;
pub use parts::GatewayHandle;
pub use plan::Plan;
pub use world::World;
