//! Turns `plugin.toml` into JSON while a plugin compiles: a mistake in it is an error of the build, and
//! no guest carries a TOML parser, which would double the size of a small one.
//!
//! Not for authors: `blitz_plugin::export!` calls it.

use std::path::Path;

use blitz_contract::Manifest;
use proc_macro::TokenStream;

/// The manifest of the crate being compiled, as a string literal of JSON.
#[expect(clippy::missing_panics_doc, reason = "Rust's own notation of strings is Rust")]
#[proc_macro]
pub fn manifest_json(_: TokenStream) -> TokenStream {
    let code = match read() {
        // The text is included, too, so that cargo sees when the file changes.
        Ok((path, json)) => format!("{{ const _: &str = include_str!({path:?}); {json:?} }}"),
        Err(problem) => format!("compile_error!({problem:?})"),
    };
    code.parse().expect("string literals of Rust")
}

fn read() -> Result<(String, String), String> {
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
    Ok((path.display().to_string(), json))
}
