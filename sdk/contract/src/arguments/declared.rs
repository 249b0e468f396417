//! What a command line is matched against: declarations without their words for help.
//!
//! They borrow, so that a guest has them as constants and parses no manifest.

use crate::manifest::{Argument, ArgumentKind};

/// An [`Argument`] without its words for help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared<'a> {
    /// As in [`Argument::name`].
    pub name: &'a str,
    /// As in [`Argument::short`].
    pub short: Option<char>,
    /// What the value is.
    pub kind: ArgumentKind,
    /// True for an argument without dashes.
    pub positional: bool,
    /// May be given more than once.
    pub repeated: bool,
    /// As in [`Argument::named`].
    pub named: bool,
    /// Must be given.
    pub required: bool,
    /// Taken when the user gives none.
    pub default: Option<&'a str>,
    /// The only values that are taken; empty takes any.
    pub choices: Choices<'a>,
}

/// A list of texts, in a manifest or in a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choices<'a> {
    /// Of a manifest that was read.
    Read(&'a [String]),
    /// Of a constant.
    Constant(&'a [&'a str]),
}

impl Choices<'_> {
    /// Whether the list has none, and takes any value therefore, or this one.
    pub(super) fn take(self, value: &str) -> bool {
        match self {
            Self::Read(list) => list.is_empty() || list.iter().any(|choice| choice == value),
            Self::Constant(list) => list.is_empty() || list.contains(&value),
        }
    }

    pub(super) fn joined(self) -> String {
        match self {
            Self::Read(list) => list.join(", "),
            Self::Constant(list) => list.join(", "),
        }
    }
}

impl<'a> From<&'a Argument> for Declared<'a> {
    fn from(argument: &'a Argument) -> Self {
        let &Argument { short, kind, positional, repeated, named, required, .. } = argument;
        Self {
            name: &argument.name,
            short,
            kind,
            positional,
            repeated,
            named,
            required,
            default: argument.default.as_deref(),
            choices: Choices::Read(&argument.choices),
        }
    }
}
