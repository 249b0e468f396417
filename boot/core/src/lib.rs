//! How engines appear by themselves, and are gone when they are gone: what is decided, and what is written down for it.
//!
//! Read along the life of an instance: [`fleet`] is what an operator wants, of one region at one provider; [`provider`] is
//! who launches and ends machines, [`instance`] what it says of them; [`scale`] decides how many engines there shall be, and
//! [`launches`] keeps a launch from happening twice; [`reconcile`] compares machines and engines, and ends what is neither.
//! [`bundle`] is what a machine is given to run, and [`user_data`] what it is told at its first boot. [`process`] is the
//! provider whose machines are processes of this one, and [`netns`] the one where each has a network namespace and instance
//! metadata ([`imds`]) of its own. [`iam`] is who may do what of all that at AWS, and [`cloudformation`]
//! sets it up.
//!
//! [`round`] goes one round of a region: it lists the provider, and then reads the engines' documents at the region's [`home`]
//! and the [`demand`]; asks [`reconcile::decide`], settles the launches that were intended ([`launches::settle`]), and asks
//! [`scale::decide`] with the capacity that both found; writes memory, history and intent down; and acts. [`shift`] goes one round
//! after the other, as long as it has the duty. What failed waits by `pause`, each time longer.
//!
//! *Invariants:* whatever decides is pure: what was seen, the time and the fleet go in, actions with their reasons come
//! out. No cloud is known here: a provider is a trait, and AWS is in `boot/aws`.

pub mod fleet;
pub mod instance;
pub mod provider;
pub mod scale;
pub mod launches;
pub mod reconcile;
pub mod bundle;
pub mod user_data;
pub mod home;
pub mod demand;
pub mod round;
pub mod shift;
mod pause;
pub mod process;
pub mod netns;
pub mod imds;
pub mod iam;
pub mod cloudformation;
