//! Turns `plugin.toml` into JSON and constants while a plugin compiles: a mistake in it is an error of the build,
//! no guest carries a TOML parser, which would double the size of a small one, and none parses anything before
//! it looks at its arguments.
//!
//! Not for authors: `blitz_plugin::export!` calls it.

use std::path::Path;

use blitz_contract::{Argument, Manifest};
use proc_macro::TokenStream;

/// The manifest of the crate being compiled, as the constants of `blitz_plugin::guest::Embedded`.
#[expect(clippy::missing_panics_doc, reason = "Rust's own notation of strings is Rust")]
#[proc_macro]
pub fn manifest_items(_: TokenStream) -> TokenStream {
    let code = match read() {
        // The text is included, too, so that cargo sees when the file changes.
        Ok((path, manifest, json)) => format!(
            "const MANIFEST: &'static str = {{ const _: &str = include_str!({path:?}); {json:?} }};
             const NAME: &'static str = {:?};
             const ARGUMENTS: &'static [::blitz_plugin::guest::Declared<'static>] = &[{}];",
            manifest.name,
            manifest.arguments.iter().map(declared).collect::<String>()
        ),
        Err(problem) => format!("compile_error!({problem:?})"),
    };
    code.parse().expect("constants of Rust")
}

fn declared(argument: &Argument) -> String {
    let Argument { name, short, kind, positional, repeated, required, .. } = argument;
    format!(
        "::blitz_plugin::guest::Declared {{
            name: {name:?}, short: {short:?}, kind: ::blitz_plugin::guest::ArgumentKind::{kind:?},
            positional: {positional}, repeated: {repeated}, required: {required},
        }},"
    )
}

fn read() -> Result<(String, Manifest, String), String> {
    let directory = std::env::var("CARGO_MANIFEST_DIR")
        .map_err(|error| format!("CARGO_MANIFEST_DIR: {error}"))?;
    let path = Path::new(&directory).join("plugin.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("read {}: {error}", path.display()))?;
    let manifest =
        Manifest::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let package = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    if manifest.version != package {
        return Err(format!(
            "{}: version {} is not the {package} of Cargo.toml; give both the same",
            path.display(),
            manifest.version
        ));
    }
    let json = serde_json::to_string(&manifest).map_err(|error| error.to_string())?;
    Ok((path.display().to_string(), manifest, json))
}
