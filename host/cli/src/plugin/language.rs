//! The languages that `blitz plugin new` has templates for, and `blitz plugin build` knows how to build.

use clap::ValueEnum;

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Language {
    /// Rust with the SDK: typed, small, and tested without a server
    #[default]
    Rust,
    /// C with an ordinary main(), through zig or clang
    C,
    /// Python, through componentize-py
    Python,
    /// JavaScript, through componentize-js
    Javascript,
    /// Rust without the SDK: a plain command with a main()
    Wasi,
}

impl Language {
    /// The directory of its template, and its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Python => "python",
            Self::Javascript => "javascript",
            Self::Wasi => "wasi",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_that_of_the_command_line() {
        for language in Language::value_variants() {
            assert_eq!(language.to_possible_value().unwrap().get_name(), language.word());
        }
    }
}
