//! Arrival without a store.

mod loads;
mod strangers;
