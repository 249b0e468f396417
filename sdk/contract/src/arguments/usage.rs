//! Why a command line is not one that the plugin takes.

/// A command line that the plugin does not take. The text reads after the plugin's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An option that is not declared.
    #[error("option {option} is not supported")]
    Unknown {
        /// As typed, with its dashes.
        option: String,
    },
    /// An option without its value.
    #[error("option {option} requires a value")]
    MissingValue {
        /// As typed.
        option: String,
    },
    /// An option without the name that the user gives it.
    #[error("option {option} requires a name behind it: {option}:NAME")]
    MissingName {
        /// As typed, without what is behind it.
        option: String,
    },
    /// A flag that was given a value.
    #[error("option {option} takes no value")]
    UnexpectedValue {
        /// As typed.
        option: String,
    },
    /// A value that is not of the declared kind.
    #[error("{}: {value:?} is not {wanted}", named(.option))]
    BadValue {
        /// As typed; of a positional argument its declared name.
        option: String,
        /// As typed.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A value that is none of the declared ones.
    #[error("{}: {value:?} is not one of {choices}", named(.option))]
    NotAChoice {
        /// As typed; of a positional argument its declared name.
        option: String,
        /// As typed.
        value: String,
        /// The declared ones, joined by commas.
        choices: String,
    },
    /// More positional arguments than declared.
    #[error("unexpected argument {value:?}")]
    Extra {
        /// The first one too many.
        value: String,
    },
    /// A required argument is not there.
    #[error("{name} is missing")]
    Missing {
        /// Its declared name.
        name: String,
    },
}

impl UsageError {
    /// The same without what was typed as a value, for whoever may pass the text on: a secret may stand where none belongs.
    #[must_use]
    pub fn without_values(self) -> Self {
        let hidden = || super::mask::MASK.to_owned();
        match self {
            Self::BadValue { option, wanted, .. } => {
                Self::BadValue { option, value: hidden(), wanted }
            }
            Self::NotAChoice { option, choices, .. } => {
                Self::NotAChoice { option, value: hidden(), choices }
            }
            Self::Extra { .. } => Self::Extra { value: hidden() },
            // A name that stands behind a colon is typed, too: `--user:name`.
            Self::Unknown { option } => {
                let (option, _) = option.split_once(':').unwrap_or((&option, ""));
                Self::Unknown { option: option.to_owned() }
            }
            Self::MissingValue { .. }
            | Self::MissingName { .. }
            | Self::UnexpectedValue { .. }
            | Self::Missing { .. } => self,
        }
    }
}

fn named(option: &str) -> String {
    let what = if option.starts_with('-') { "option" } else { "argument" };
    format!("{what} {option}")
}
