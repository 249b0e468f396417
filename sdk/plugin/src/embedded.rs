//! A plugin with its manifest as constants: what [`export!`](crate::export) gives to each carrier.

pub use blitz_contract::ArgumentKind;
pub use blitz_contract::arguments::{Choices, Declared};
pub use blitz_plugin_macro::manifest_items;

use crate::plugin::Plugin;

/// A plugin with its manifest; [`export!`](crate::export) makes one per crate.
pub trait Embedded {
    /// The author's type.
    type Plugin: Plugin;
    /// `plugin.toml` as JSON, checked while the plugin was compiled. No run reads it.
    const MANIFEST: &'static str;
    /// The plugin's name in it.
    const NAME: &'static str;
    /// What command lines are matched against.
    const ARGUMENTS: &'static [Declared<'static>];
}
