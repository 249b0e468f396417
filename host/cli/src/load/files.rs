//! The forms in which a report is written to files.

use std::path::{Path, PathBuf};

use blitz_report::{Outcome, Report};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Csv,
    OpenMetrics,
    Hlog,
    Junit,
}

/// A report that the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportFile {
    pub(crate) form: Form,
    pub(crate) path: PathBuf,
}

impl Form {
    /// The option that asks for it, without dashes.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Csv => "csv",
            Self::OpenMetrics => "openmetrics",
            Self::Hlog => "hlog",
            Self::Junit => "junit",
        }
    }

    /// The whole file.
    pub(crate) fn bytes(self, report: &Report, outcomes: &[Outcome]) -> Vec<u8> {
        match self {
            Self::Html => blitz_report::html(report, outcomes).into_bytes(),
            Self::Csv => blitz_report::csv(report).into_bytes(),
            Self::OpenMetrics => blitz_report::open_metrics(report).into_bytes(),
            Self::Hlog => blitz_report::hlog(report),
            Self::Junit => blitz_report::junit(report, outcomes).into_bytes(),
        }
    }
}

impl ReportFile {
    /// `-`
    pub(crate) fn is_stdout(&self) -> bool {
        self.path == Path::new("-")
    }
}
