//! What a plugin author uses: one trait, one macro, and a host to test against.
//!
//! A plugin is a library crate of type `cdylib` with a `plugin.toml` beside its `Cargo.toml`:
//!
//! ```
//! use blitz_plugin::{Call, Host, Plugin};
//!
//! #[derive(Debug)]
//! pub struct Greet;
//!
//! impl Plugin for Greet {
//!     fn run(call: &Call, host: &mut dyn Host) -> u8 {
//!         let name = call.args.value("NAME").unwrap_or("world");
//!         let said = writeln!(host.stdout(), "hello {name} from {}", call.region);
//!         u8::from(said.is_err())
//!     }
//! }
//!
//! # /*
//! blitz_plugin::export!(Greet);
//! # */
//! use blitz_plugin::testing::{FakeHost, run};
//! let manifest = r#"
//!     name = "greet"
//!     version = "0.1.0"
//!     summary = "says hello"
//!     contract = "0.1.0"
//!     [[arguments]]
//!     name = "NAME"
//!     positional = true
//! "#;
//! let mut host = FakeHost::default();
//! assert_eq!(run::<Greet>(manifest, &["Ada"], &mut host), 0);
//! assert_eq!(host.stdout_text(), "hello Ada from testing\n");
//! ```
//!
//! Read in this order: [`plugin`] is the trait and how a call becomes one, [`host`] is what the
//! host lends, [`web`] the words of an HTTP exchange, [`testing`] a host for unit tests; the
//! private module `guest` ties them to the WIT package and exists on WASM only.
//!
//! *Invariant:* plugins see [`Host`] and never the generated bindings, so that the same source can
//! get another carrier.

pub mod plugin;
pub mod host;
pub mod web;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use blitz_contract::arguments::duration;
pub use blitz_contract::{Arguments, Manifest, UsageError};
pub use host::{Host, HostError, read_whole_input};
pub use plugin::{Call, Plugin};

/// Makes a type the plugin of this crate.
///
/// Reads and checks `plugin.toml` beside the author's `Cargo.toml` while compiling. On a native target
/// it expands to nothing, so that a plugin can be unit-tested there.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;
            impl $crate::guest::Embedded for Exported {
                type Plugin = $plugin;
                $crate::guest::manifest_items!();
            }
            type Guest = $crate::guest::Adapter<Exported>;
    $crate::guest::export_component!(Guest with_types_in $crate::guest::bindings);
        };
    };
}
