//! What came of a load test: the ticks of all its engines merged exactly, judged, written, and compared with another.
//!
//! Pure: no file, no clock, no network. Whoever follows the jobs hands their events to a [`Run`]; it gives the rows for a live
//! view and, in the end, a [`Report`], from which everything else is made. Percentiles are never averaged: histograms are added,
//! and read afterwards. What a lost engine did not tell is missing and named, never guessed.
//!
//! Read in the order of the modules: how histograms add up ([`Latency`]), what a part told, how parts become rows and figures,
//! the report, the judgement on the generator itself, the knee, then the forms in which a report is read.

mod pile;
mod latency;
mod tally;
mod sum;
mod part;
mod second;
mod run;
mod report;
mod measured;
mod judgement;
mod backlog;
mod knee;
pub mod words;
mod meaning;
mod highlights;
mod check;
mod measure;
mod csv;
mod open_metrics;
mod hlog;
mod junit;
mod html;
mod random;
mod statistics;
mod bootstrap;
mod compare;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;

pub use check::{Check, CheckError, Outcome};
pub use compare::{Comparison, Figure, compare};
pub use csv::csv;
pub use highlights::highlights;
pub use hlog::hlog;
pub use html::html;
pub use judgement::{Finding, Judgement, Limit, is_undecided};
pub use junit::junit;
pub use knee::Knee;
pub use latency::Latency;
pub use open_metrics::open_metrics;
pub use part::{Part, PartEnd};
pub use report::{
    FORMAT, Figures, PartFigures, Peaks, RegionFigures, Report, ReportError, StepTally,
};
pub use run::Run;
pub use second::Second;
pub use tally::{Errors, Tally};
