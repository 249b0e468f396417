//! What the user of a load test sees: a plugin whose manifest asks for `load` has options of ours ([`options`]), and a
//! renderer of its own over the crate `blitz-report`, which merges the ticks of all parts and judges them.
//!
//! Read [`show`] first: it hears the events and chooses a face. [`parts`] knows how each job stands, `row` is one second
//! in columns, `lines` are the plain lines, `view` is what a terminal shows and `paint` draws it (`chart` its points), `end`
//! is what stays, `verdict` its exit code. `files` are the forms of a report that are written, [`local`] the commands `rush diff` and `rush report`.

pub(crate) mod options;
mod files;
mod row;
mod parts;
mod lines;
mod view;
mod chart;
mod paint;
mod end;
mod verdict;
mod show;
pub(crate) mod local;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub(crate) use options::{LoadOptions, is_load};
pub(crate) use show::Load;
pub(crate) use view::View;
