//! How readers of `_changes` hear of a commit: [`hub`] tells them, [`filter`] decides what is theirs.
//!
//! Those with equal filters are an [`audience`]: the [`herald`] tries each change once for all of them,
//! and wakes them for what they want. One of them that slept skips what it need not see.
//!
//! A feed has no queue. It remembers the sequence that it has come to, and takes what lies after it
//! from the [`hub::Hub`]'s short memory, or from the store when it has fallen behind that. So a slow
//! reader costs the writer nothing and the server one position.

mod audience;
pub(crate) mod change;
pub(crate) mod filter;
pub(crate) mod herald;
pub(crate) mod hub;
