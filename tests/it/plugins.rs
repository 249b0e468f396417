//! Plugins of third parties, from a publisher's file to every region.

mod publish;
mod native;
