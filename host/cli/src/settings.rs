//! Ready-to-use settings of a plugin's command, from the flags as typed.

use std::time::Duration;

use crate::color::ColorChoice;
use crate::commands::Globals;
use crate::exit_code::FailOn;

/// What the rest of the program works with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Names, `any`, `all` or `a|b`, each once.
    pub(crate) regions: Vec<String>,
    pub(crate) engines: u32,
    pub(crate) format: Format,
    pub(crate) timeout: Option<Duration>,
    pub(crate) queue_timeout: Option<Duration>,
    pub(crate) detach: bool,
    pub(crate) fail_on: FailOn,
    pub(crate) quiet: bool,
    pub(crate) raw: bool,
    pub(crate) host: Option<String>,
    pub(crate) color: ColorChoice,
}

/// How the output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The remote stdout, as it comes or at the end.
    Text { buffer: bool },
    /// A section for each job, when it has ended.
    Group,
    /// A column for each job.
    SideBySide,
    /// A row for each job, at the end.
    Table,
    /// One document at the end.
    Json,
    /// A line for each event.
    Ndjson,
}

/// A region list with an empty name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--region '{list}' has an empty name; use -r virginia,japan")]
pub(crate) struct EmptyRegion {
    list: String,
}

impl Settings {
    /// Checks and completes the flags.
    pub(crate) fn new(globals: Globals) -> Result<Self, EmptyRegion> {
        let mut regions: Vec<String> = Vec::new();
        for list in &globals.regions {
            for name in list.split(',').map(str::trim) {
                if name.is_empty() {
                    return Err(EmptyRegion { list: list.clone() });
                }
                if !regions.iter().any(|known| known == name) {
                    regions.push(name.to_owned());
                }
            }
        }
        if regions.is_empty() {
            regions.push("any".to_owned());
        }
        // Two of them together do not come so far.
        let format = match &globals {
            Globals { json: true, .. } => Format::Json,
            Globals { ndjson: true, .. } => Format::Ndjson,
            Globals { table: true, .. } => Format::Table,
            Globals { group: true, .. } => Format::Group,
            Globals { side_by_side: true, .. } => Format::SideBySide,
            _ => Format::Text { buffer: globals.buffer },
        };
        Ok(Self {
            regions,
            engines: globals.engines.unwrap_or(1),
            format,
            timeout: globals.timeout,
            queue_timeout: globals.queue_timeout,
            detach: globals.detach,
            fail_on: globals.fail_on.unwrap_or_default(),
            quiet: globals.quiet,
            raw: globals.raw,
            host: globals.host,
            color: globals.color.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(lists: &[&str]) -> Result<Vec<String>, String> {
        let regions = lists.iter().map(|l| (*l).to_owned()).collect();
        Settings::new(Globals { regions, ..Globals::default() })
            .map(|s| s.regions)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn region_lists_are_read() {
        for (lists, names) in [
            (&[][..], &["any"][..]),
            (&["japan"], &["japan"]),
            (&["virginia,japan", "ireland"], &["virginia", "japan", "ireland"]),
            (&["japan, japan"], &["japan"]),
            (&["japan|local,all"], &["japan|local", "all"]),
        ] {
            assert_eq!(regions(lists).unwrap(), names, "{lists:?}");
        }
        for list in ["", ",", "japan,"] {
            assert_eq!(
                regions(&[list]).unwrap_err(),
                format!("--region '{list}' has an empty name; use -r virginia,japan")
            );
        }
    }
}
