//! The SDK as authors meet it: crates of their own that depend on it. What compiles is tested, and what does not is
//! refused with the line that says why.
//!
//! All crates are members of one workspace below cargo's directory for tests, so that the SDK is compiled once. It
//! has the lock file of the repository: whoever could build that has everything.

#[path = "authors/workspace.rs"]
mod workspace;
#[path = "authors/kinds.rs"]
mod kinds;
#[path = "authors/mistakes.rs"]
mod mistakes;
#[path = "authors/readme.rs"]
mod readme;
