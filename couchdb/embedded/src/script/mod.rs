//! Functions of design documents, run by QuickJS within limits of memory and time.
//!
//! [`Scripts`] is a small pool of threads, each with interpreters of its own. A caller gives a
//! [`Design`], which is the text of a design document's functions, and JSON; it gets JSON. Nothing of a
//! document outlives its call, and no function can reach anything but its arguments.
//!
//! Read in this order: [`pool`] (threads, and which compiled form is kept), [`machine`] (one
//! interpreter), [`compile`], `driver.js` (what functions find there), [`limits`].
//!
//! # What one function may leave for another
//!
//! A [`Design`] has an interpreter of its own, with its own memory and globals. What a function sets
//! there can be seen by later calls of the same `Arc<Design>` on the same thread, as in CouchDB, and by
//! nothing else: another design, or an equal one of another database, does not see it.

mod compile;
mod limits;
mod machine;
mod pool;
#[cfg(test)]
mod tests;

use pool::{Pool, Source};
use std::sync::Arc;

/// The functions of one design document, as text. Who holds the same [`Arc`] shares the compiled form
/// and the globals, so keep one for as long as the design document stays, and one for each database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Design {
    /// What `require` of CommonJS finds: the whole design document for filters and validation, the
    /// member `views` for map functions (`views.lib`). None where there is nothing to require.
    pub(crate) library: Option<Arc<str>>,
    /// The functions that are called, by their place.
    pub(crate) functions: Vec<Arc<str>>,
}

/// A row that a map function emitted: key and value as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) key: Box<str>,
    pub(crate) value: Box<str>,
}

/// What one document gave to each function of a design.
pub(crate) type Mapped = Vec<Vec<Emitted>>;

/// Why a function gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScriptError {
    /// The text is no function.
    #[error("{reason}")]
    Compilation {
        /// What the interpreter said.
        reason: String,
    },
    /// It threw; `name` is the first member of a thrown object such as `forbidden`.
    #[error("{reason}")]
    Thrown {
        /// `forbidden`, `unauthorized`, or the name of an error.
        name: String,
        /// What it said.
        reason: String,
    },
    /// It took more memory or time than [`limits`] has.
    #[error("{0}")]
    Limit(&'static str),
    /// The threads have ended.
    #[error("the interpreters have ended")]
    Closed,
}

/// The pool.
#[derive(Debug)]
pub(crate) struct Scripts {
    pool: Pool,
}

impl Scripts {
    /// Starts no thread yet: most stores never run a function.
    pub(crate) fn new() -> Scripts {
        Scripts { pool: Pool::new(limits::TIMES) }
    }

    /// Calls each function of the design with each document, which emit rows. A function that throws
    /// has no rows for that document; one that does not compile fails the whole call.
    pub(crate) async fn map(
        &self,
        design: &Arc<Design>,
        documents: Vec<Box<str>>,
    ) -> Result<Vec<Mapped>, ScriptError> {
        let source = Source::Design(Arc::clone(design));
        self.pool.run(source, move |machine| machine.map(&documents)).await
    }

    /// Calls a reduce function once for each group. Both texts of a group are JSON: the keys
    /// (`[[key, id], ..]`, or `null` for a reduction of reductions) and the values (a list).
    pub(crate) async fn reduce(
        &self,
        function: &Arc<str>,
        groups: Vec<(Box<str>, Box<str>)>,
    ) -> Result<Vec<Result<Box<str>, ScriptError>>, ScriptError> {
        let source = Source::Function(Arc::clone(function));
        self.pool.run(source, move |machine| machine.reduce(&groups)).await
    }

    /// Calls the function of a design that validates: JSON of the new document, the old one or `null`,
    /// the user and `_security`.
    pub(crate) async fn validate(
        &self,
        design: &Arc<Design>,
        arguments: [Box<str>; 4],
    ) -> Result<(), ScriptError> {
        let source = Source::Design(Arc::clone(design));
        self.pool.run(source, move |machine| machine.validate(&arguments)).await
    }

    /// Calls the filter function of a design for each document with the same request.
    pub(crate) async fn filter(
        &self,
        design: &Arc<Design>,
        documents: Vec<Box<str>>,
        request: Box<str>,
    ) -> Result<Vec<bool>, ScriptError> {
        let source = Source::Design(Arc::clone(design));
        self.pool.run(source, move |machine| machine.filter(&documents, &request)).await
    }

    /// Whether the map function of a design emits anything for each document. Unlike in [`Self::map`],
    /// what it throws ends the call.
    pub(crate) async fn filter_view(
        &self,
        design: &Arc<Design>,
        documents: Vec<Box<str>>,
    ) -> Result<Vec<bool>, ScriptError> {
        let source = Source::Design(Arc::clone(design));
        self.pool.run(source, move |machine| machine.filter_view(&documents)).await
    }

    /// Compiles the functions of a design, and runs none.
    pub(crate) async fn compile(&self, design: &Arc<Design>) -> Result<(), ScriptError> {
        self.pool.run(Source::Design(Arc::clone(design)), |_| Ok(())).await
    }
}
