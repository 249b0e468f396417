//! Who operates clusters, and how what was done is told.

use std::collections::BTreeMap;
use std::fmt;

use blitz_jobs::setup::{Applied, Known, Operators, SetupError, What};
use clap::Args;

use crate::clusters::ClusterArgs;
use crate::environment::{Environment, Hidden};
use crate::exit_code::ExitCode;
use crate::key_file::BadKeyFile;
use crate::run::say;
use crate::serve;

/// Where an operator's commands begin.
#[derive(Args)]
pub(crate) struct OperatorArgs {
    #[command(flatten)]
    pub(crate) clusters: ClusterArgs,
    /// The near store, as an administrator: http://HOST:PORT; with NAME:PASSWORD@ better in BLITZ_STORE
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
}

impl fmt::Debug for OperatorArgs {
    /// Without the store, whose URL may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorArgs")
            .field("clusters", &self.clusters)
            .field("store", &self.store.as_ref().map(|_| Hidden))
            .finish()
    }
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The clusters that can be entered.
    #[error(transparent)]
    Enter(#[from] serve::Error),
    /// What was to be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The keys of regions.
    #[error(transparent)]
    RegionKeys(#[from] BadKeyFile),
    /// A key of a region that cannot be retired.
    #[error("region {region} has no key {id} that is not retired; it has: {known}")]
    NoKey { region: String, id: String, known: String },
    /// An address that cannot be one.
    #[error("--url: {0}")]
    Url(String),
    /// A name or a password that cannot be used.
    #[error("cluster '{name}': {source}")]
    Client { name: String, source: blitz_couchdb::Error },
}

impl Error {
    /// The row of the exit code table.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Enter(serve::Error::Clusters(error)) => error.code(),
            Self::Setup(error) => of_setup(error),
            Self::Enter(_)
            | Self::RegionKeys(_)
            | Self::NoKey { .. }
            | Self::Url(_)
            | Self::Client { .. } => ExitCode::USAGE,
        }
    }
}

/// The row for what could not be set up.
pub(crate) fn of_setup(error: &SetupError) -> ExitCode {
    match error {
        SetupError::Silent { .. } | SetupError::Cluster { .. } | SetupError::Store(_) => {
            ExitCode::UNREACHABLE
        }
        SetupError::Changed { .. } | SetupError::Random => ExitCode::FAILURE,
        _ => ExitCode::USAGE,
    }
}

impl OperatorArgs {
    /// Enters the clusters.
    pub(crate) async fn enter(self, environment: &Environment) -> Result<Operators, Error> {
        Ok(serve::enter(&self.clusters, self.store, environment).await?.operators())
    }

    /// Enters the clusters and reads what they know. Says which do not answer.
    pub(crate) async fn read(self, environment: &Environment) -> Result<(Operators, Known), Error> {
        let operators = self.enter(environment).await?;
        let known = Known::read(&operators).await?;
        for (cluster, error) in &known.silent {
            say(&format!(
                "blitz: cluster '{cluster}' does not tell what it has: could not {error}"
            ));
        }
        Ok((operators, known))
    }
}

/// Says what an operator should know.
pub(crate) fn warn(applied: &Applied) {
    for warning in &applied.warnings {
        say(&format!("blitz: {warning}"));
    }
}

/// What was done, a line for each cluster: `  tokyo     4 databases, 6 replications, 1 user`.
pub(crate) fn done(applied: &Applied) -> String {
    let mut by_cluster: BTreeMap<&str, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for step in &applied.steps {
        let word = match step.what {
            What::Database => "database",
            What::Replication => "replication",
            What::User => "user",
            What::Security => "_security",
            What::Designs => "design document",
            What::Removal => "replication removed",
            What::Document => "document",
        };
        *by_cluster.entry(&step.cluster).or_default().entry(word).or_default() += 1;
    }
    let lines = by_cluster.iter().map(|(cluster, words)| {
        let words: Vec<String> = words.iter().map(|(word, count)| counted(*count, word)).collect();
        ((*cluster).to_owned(), words.join(", "))
    });
    described(&lines.collect::<Vec<_>>())
}

fn counted(count: usize, word: &str) -> String {
    match (count, word.split_once(' ')) {
        (1, _) => format!("1 {word}"),
        (_, Some(("replication", rest))) => format!("{count} replications {rest}"),
        _ => format!("{count} {word}s"),
    }
}

/// Names and what stands beside them, under each other and two characters in.
pub(crate) fn described(lines: &[(String, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let line = |(name, text): &(String, String)| {
        let line = format!("  {name:width$}  {text}");
        format!("{}\n", line.trim_end())
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use blitz_jobs::setup::Step;

    use super::*;

    #[test]
    fn what_was_done_is_told_by_cluster() {
        let step =
            |cluster: &str, what| Step { cluster: cluster.to_owned(), what, name: "x".to_owned() };
        let steps = vec![
            step("tokyo", What::Database),
            step("tokyo", What::Database),
            step("tokyo", What::Document),
            step("virginia", What::Removal),
            step("virginia", What::Removal),
            step("virginia", What::User),
        ];
        let text = done(&Applied { steps, warnings: Vec::new() });
        assert_eq!(
            text,
            "  tokyo     2 databases, 1 document\n  virginia  2 replications removed, 1 user\n"
        );
        assert_eq!(done(&Applied::default()), "");
    }
}
