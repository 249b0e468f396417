//! Reads `plugin.toml` while a plugin compiles: a mistake in it is an error of the build, no guest carries a TOML
//! parser, which would double the size of a small one, and none parses anything before it looks at its arguments.
//!
//! Read in this order: `manifest` finds and checks the file, `constants` makes of it what `blitz_plugin::export!`
//! embeds, `typed` the struct of `blitz_plugin::arguments!`. Authors meet both under those names only.
//!
//! *Invariant:* what cannot be done is a `compile_error!` that names the file, never a panic.

mod manifest;
mod constants;
mod typed;

use proc_macro::TokenStream;

/// The manifest of the crate being compiled, as the constants of `blitz_plugin::embedded::Embedded`.
#[doc(hidden)]
#[proc_macro]
pub fn manifest_items(_: TokenStream) -> TokenStream {
    match manifest::read().and_then(manifest::Read::with_version_checked) {
        Ok(manifest) => rust(&constants::of(&manifest)),
        // The constants all the same: that they are missing is not what is wrong.
        Err(problem) => rust(&format!("{} {}", error(&problem), constants::NONE)),
    }
}

/// Makes a struct with a typed field for each argument that `plugin.toml` declares.
///
/// `blitz_plugin::arguments!(pub struct Args);` makes `Args` with `Args::of(call)`. Attributes and documentation may
/// stand before `pub`; the struct has `Debug`, `Clone` and `PartialEq`. A field has its argument's name in
/// `snake_case` (`max-time` is `max_time`, `URL` is `url`, `type` is `r#type`) and this type:
///
/// | kind | type |
/// |---|---|
/// | `flag` | `bool`; repeated `u32`, how often it was given |
/// | `integer` | `i64` |
/// | `number` | `f64` |
/// | `duration` | `std::time::Duration` |
/// | `text`, `url`, `host`, `form` | `String` |
/// | `secret` | `blitz_plugin::arguments::Secret` |
/// | `input-file` | `blitz_plugin::arguments::InputFile` |
/// | `text-or-input-file` | `blitz_plugin::arguments::TextOrInputFile` |
/// | `output-file` | `blitz_plugin::arguments::OutputFile` |
///
/// An argument that is `required` or has a `default` is a plain value, a `repeated` one a `Vec`, any other an
/// `Option`; a `named` one is a `Vec` of the names that the user gave and their values.
#[proc_macro]
pub fn arguments(declaration: TokenStream) -> TokenStream {
    let made = typed::Declaration::read(declaration).and_then(|declaration| {
        let manifest = manifest::read()?;
        let fields = typed::fields(&manifest)?;
        Ok(declaration.with(&fields, &manifest))
    });
    made.unwrap_or_else(|problem| rust(&error(&problem)))
}

fn error(problem: &str) -> String {
    format!("compile_error!({problem:?});")
}

/// Text that this crate made of Rust's own notation.
fn rust(code: &str) -> TokenStream {
    code.parse().unwrap_or_default()
}
