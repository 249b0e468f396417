//! A document on its way in ([`draft`]) and out ([`render`]), and what is kept of its attachments.
//!
//! The members that the user wrote are kept as the text that came, so that big numbers, the order of
//! members and `1.0` survive. The store adds `_id`, `_rev` and the other names with an underscore.

pub(crate) mod attachment;
pub(crate) mod check;
pub(crate) mod draft;
pub(crate) mod object;
pub(crate) mod packing;
pub(crate) mod render;
