//! How engines appear by themselves, and are gone when they are gone: what is decided, and what is written down for it.
//!
//! Read along the life of an instance: [`fleet`] is what an operator wants, of one region at one provider; [`provider`] is
//! who launches and ends machines, [`instance`] what it says of them; [`process`] is the provider whose machines are processes of
//! this one. [`iam`] is who may do what of it
//! at AWS, and [`cloudformation`] sets that up.
//!
//! *Invariants:* whatever decides is pure: what was seen, the time and the fleet go in, actions with their reasons come
//! out. No cloud is known here: a provider is a trait, and AWS is in `boot/aws`.

pub mod fleet;
pub mod instance;
pub mod provider;
pub mod process;
pub mod iam;
pub mod cloudformation;
