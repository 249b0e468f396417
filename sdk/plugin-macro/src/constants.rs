//! The manifest as constants: its JSON, its name, and what command lines are matched against.

use blitz_contract::Argument;

use crate::manifest::Read;

/// What stands in the place of the constants of a manifest that is not one.
pub(crate) const NONE: &str = "const MANIFEST: &'static str = \"\";
    const NAME: &'static str = \"\";
    const ARGUMENTS: &'static [::blitz_plugin::embedded::Declared<'static>] = &[];";

/// The constants of `blitz_plugin::embedded::Embedded`.
pub(crate) fn of(read: &Read) -> String {
    let Read { path, manifest } = read;
    let arguments: String = manifest.arguments.iter().map(declared).collect();
    // Texts, numbers and lists of them have a form in JSON.
    let json = serde_json::to_string(manifest).unwrap_or_default();
    format!(
        "const MANIFEST: &'static str = {{ const _: &str = include_str!({path:?}); {json:?} }};
         const NAME: &'static str = {:?};
         const ARGUMENTS: &'static [::blitz_plugin::embedded::Declared<'static>] = &[{arguments}];",
        manifest.name,
    )
}

fn declared(argument: &Argument) -> String {
    let Argument {
        name, short, kind, positional, repeated, named, required, default, choices, ..
    } = argument;
    format!(
        "::blitz_plugin::embedded::Declared {{
            name: {name:?}, short: {short:?}, kind: ::blitz_plugin::embedded::ArgumentKind::{kind:?},
            positional: {positional}, repeated: {repeated}, named: {named}, required: {required},
            default: {default:?},
            choices: ::blitz_plugin::embedded::Choices::Constant(&{choices:?}),
        }},"
    )
}
