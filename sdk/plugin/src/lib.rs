//! What a plugin author uses: one trait, one macro, and a host to test against.
//!
//! A plugin is a library crate of type `cdylib` with a `plugin.toml` beside its `Cargo.toml`:
//!
//! ```
//! use blitz_plugin::{Call, Failure, Host, Plugin};
//!
//! // Every argument that plugin.toml declares, as a typed field.
//! blitz_plugin::arguments!(pub struct Args);
//!
//! #[derive(Debug)]
//! pub struct Greet;
//!
//! blitz_plugin::export!(Greet);
//!
//! impl Plugin for Greet {
//!     fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
//!         let args = Args::of(call);
//!         for _ in 0..args.times {
//!             writeln!(host.stdout(), "hello {} from {}", args.name, call.region)?;
//!         }
//!         Ok(0)
//!     }
//! }
//!
//! use blitz_plugin::testing;
//! let ran = testing::run!(Greet, ["Ada", "--times=1"]);
//! assert_eq!(ran.stdout(), "hello Ada from testing\n");
//! ```
//!
//! with this `plugin.toml`:
//!
//! ```toml
#![cfg_attr(doc, doc = include_str!("../plugin.toml"))]
//! ```
//!
//! `sdk/README.md` is the way from there to every region in ten minutes, and the reference of `plugin.toml`.
//!
//! Read in this order: [`plugin`] is the trait and how a call becomes one, [`arguments`](mod@arguments) what a typed argument can
//! be, [`host`] what the host lends, [`Record`] a structured record, [`web`] the words of an HTTP exchange, [`dns`] those
//! of a lookup, [`probes`] those of probes, [`load`] those of a load test, [`testing`] a host for unit tests. The hidden module `embedded` is the manifest as constants; the
//! private module `guest` ties them to the WIT package and exists on WASM only, `native` to the tables of a shared
//! library with the feature of that name.
//!
//! *Invariant:* plugins see [`Host`] and never the generated bindings, so that the same source can
//! get another carrier.

pub mod plugin;
pub mod arguments;
pub mod host;
mod failure;
mod record;
pub mod web;
pub mod dns;
pub mod probes;
pub mod load;
#[doc(hidden)]
pub mod embedded;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
#[cfg(all(not(target_family = "wasm"), feature = "native"))]
#[doc(hidden)]
pub mod native;
/// The manifest's constants are written for the module of the carrier.
#[cfg(all(not(target_family = "wasm"), feature = "native"))]
#[doc(hidden)]
pub use native as guest;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use blitz_contract::arguments::{Given, duration};
pub use blitz_contract::{Arguments, Manifest, UsageError, secret};
pub use blitz_plugin_macro::arguments;
pub use failure::Failure;
pub use host::{Host, HostError, read_whole_input};
pub use plugin::{Call, Plugin};
pub use record::{Json, Record, emit};

/// Makes a type the plugin of this crate.
///
/// Reads and checks `plugin.toml` beside the author's `Cargo.toml` while compiling, on every target: a mistake in it is
/// an error of the build, also of unit tests. On WASM the crate becomes the component, with the feature `native` a shared
/// library.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            struct Exported;
            impl $crate::embedded::Embedded for Exported {
                type Plugin = $plugin;
                $crate::embedded::manifest_items!();
            }
            #[cfg(target_family = "wasm")]
            const _: () = {
                type Guest = $crate::guest::Adapter<Exported>;
        $crate::guest::export_component!(Guest with_types_in $crate::guest::bindings);
            };
            #[cfg(not(target_family = "wasm"))]
            const _: () = {
                $crate::export_native!(Exported);
            };
        };
    };
}

/// The part of [`export!`] for a native library: nothing without the feature `native`, so that unit tests and
/// plain builds export nothing.
#[cfg(not(feature = "native"))]
#[doc(hidden)]
#[macro_export]
macro_rules! export_native {
    ($exported:ident) => {
        // Names what unit tests leave unused.
        const _: $exported = $exported;
    };
}

/// The part of [`export!`] for a native library.
#[cfg(feature = "native")]
#[doc(hidden)]
#[macro_export]
macro_rules! export_native {
    ($exported:ident) => {
        $crate::export_library!($exported);
    };
}

/// The README's small examples are compiled and run like any documentation.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
