//! Bundles: what a machine is given to run, known by its digest and signed.
//!
//! A bundle is the program `blitz`, which is engine, gateway and command line with its built-in plugins, and perhaps files of
//! other plugins, for one [`Target`]. Read along its way: it is [built](Bundle::build) of files whose need of the C library is
//! looked [up](elf), described by a [`Manifest`], signed by a [`SigningKey`] and stored under [keys](layout) that name content
//! and never change. What changes is a channel's [`Pointer`], which is signed too and counts up.
//!
//! *Invariants:* same files, same bytes: no time, no path and no random number is in a bundle. Manifest and pointer have one
//! form to the byte, with one fact a line, because the machine that boots reads them with a shell, after openssl said that
//! they are ours. Who reads one checks the signature first; there is no other way in from foreign bytes. Nothing here knows
//! where the objects are kept.

mod bad;
mod build;
mod digest;
pub mod elf;
mod key;
pub mod layout;
mod manifest;
mod pointer;
mod target;

pub use bad::BadBundle;
pub use build::{Bundle, Input, Object};
pub use digest::Digest;
pub use elf::Glibc;
pub use key::{BadKey, KeyFileError, PublicKey, SIGNATURE_BYTES, SigningKey};
pub use manifest::{BundleFile, MANIFEST_BYTES_MAX, Manifest, Mode, PROGRAM};
pub use pointer::{Channel, Expected, POINTER_BYTES_MAX, Pointer, SERIAL_MAX};
pub use target::Target;
