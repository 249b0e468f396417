//! The clusters that this process can enter: the file that says so (`--clusters FILE`, `BLITZ_CLUSTERS`), and clients made of
//! it. Names and passwords stand in it and nowhere else, so that only its owner may read it.
//!
//! ```toml
//! own = "tokyo"                              # the near cluster; or --cluster tokyo
//!
//! [tokyo]
//! url = "https://couch.tokyo.example:6984"   # may be left out where the cluster's document has it
//! user = "blitz-gateway"
//! password = "..."                           # or password_file = "tokyo.password", beside this file
//! roots = "ca.pem"                           # who signs its certificate, beside those that this machine trusts
//! operator = true                            # an administrator of the server: may make and drop databases
//! ```

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use blitz_couchdb::Client;
use blitz_engine::nearest::Candidate;
use blitz_jobs::cluster::{Cluster, Clusters};
use blitz_jobs::region::CONTROL;
use blitz_jobs::setup::Operators;
use clap::Args;

use crate::environment::Environment;
use crate::exit_code::ExitCode;
use crate::text::without_os_code;

use file::ClustersFile;
pub(crate) use file::without_credentials;

/// The flags of every command that enters more than one cluster.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClusterArgs {
    /// A file with the clusters that can be entered, names and passwords in it [env: BLITZ_CLUSTERS]
    #[arg(long, value_name = "FILE")]
    pub(crate) clusters: Option<PathBuf>,
    /// The name of the near cluster: that of --store, or one of the file
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
}

/// The clusters that can be entered, and how.
#[derive(Debug, Clone)]
pub(crate) struct Entered {
    pub(crate) clusters: Clusters,
    /// Those in which databases may be made and dropped.
    pub(crate) operators: BTreeSet<String>,
    /// The file says who enters the near cluster.
    pub(crate) own_is_in_file: bool,
}

/// Why they are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("cannot read the file '{}': {}", path.display(), without_os_code(&source.to_string()))]
    Io { path: PathBuf, source: io::Error },
    /// Somebody else may have read the passwords.
    #[error(
        "the file '{}' is open to others (mode {mode:04o}) and holds passwords; 'chmod 600' it", path.display()
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
    /// What is in it.
    #[error("the clusters file '{}', line {line}: {problem}", path.display())]
    Content { path: PathBuf, line: usize, problem: String },
    /// A name that no cluster has.
    #[error("cluster '{name}' is not in the clusters file '{}'; it has {}", path.display(), listed(known))]
    Unknown { path: PathBuf, name: String, known: Vec<String> },
    /// A name that no cluster can have.
    #[error(transparent)]
    Name(#[from] blitz_jobs::id::BadName),
    /// The file has several, and none is the near one.
    #[error(
        "the clusters file '{}' has {}: which is the near one? give --cluster NAME, or write own = \"NAME\" at its top",
        path.display(), listed(known)
    )]
    NoOwn { path: PathBuf, known: Vec<String> },
    /// An address is nowhere.
    #[error(
        "cluster '{name}' has no url: neither in the clusters file nor in a document of the near cluster; write url = \"...\" \
         under [{name}], or add it with 'blitz cluster add {name} --url URL'"
    )]
    NoUrl { name: String },
    /// An administrator's password would go where a document says.
    #[error(
        "the clusters file '{}' has operator = true for '{name}' and no url: an administrator's password is sent to no address \
         that stands in a document only; write url = \"...\" under [{name}]", path.display()
    )]
    OperatorUrl { path: PathBuf, name: String },
    /// An address or a password that cannot be used.
    #[error("cluster '{name}': {source}")]
    Client { name: String, source: blitz_couchdb::Error },
    /// The near cluster did not say where others are.
    #[error("ask the near cluster where '{name}' is: {source}")]
    Near { name: String, source: blitz_couchdb::Error },
}

impl Error {
    /// The row of the exit code table.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Near { .. } => ExitCode::UNREACHABLE,
            _ => ExitCode::USAGE,
        }
    }
}

impl Entered {
    /// Finds out which clusters can be entered. `store` is the near one where it was named by its address; without one the
    /// file must have it. `None` when neither names any.
    ///
    /// With a file or a name, the near cluster is asked for the addresses that the file does not have.
    pub(crate) async fn find(
        args: &ClusterArgs,
        store: Option<Client>,
        environment: &Environment,
    ) -> Result<Option<Self>, Error> {
        let path = args.clusters.as_ref().or(environment.clusters_file.as_ref());
        let Some(path) = path else {
            let Some(store) = store else { return Ok(None) };
            let clusters = match &args.cluster {
                Some(name) => {
                    Cluster::new(name, "", None)?;
                    Clusters::new(name, store, BTreeMap::new())
                }
                None => Clusters::alone(store),
            };
            let operators = BTreeSet::new();
            return Ok(Some(Self { clusters, operators, own_is_in_file: false }));
        };
        let file = ClustersFile::read(path)?;
        let own = file.own(args.cluster.as_deref(), store.is_some())?;
        let near = match (store, file.sections.get(&own)) {
            (Some(store), _) => store,
            (None, Some(section)) => {
                let url = section.url.clone().ok_or_else(|| Error::NoUrl { name: own.clone() })?;
                file.client(&own, section, url)?
            }
            (None, None) => return Err(file.unknown(&own)),
        };
        let mut others = BTreeMap::new();
        for (name, section) in file.sections.iter().filter(|(name, _)| **name != own) {
            let url = match &section.url {
                Some(url) => url.clone(),
                // An administrator's password goes where its owner says, and not where a document does.
                None if section.operator => {
                    return Err(Error::OperatorUrl { path: path.clone(), name: name.clone() });
                }
                None => document_url(&near, name).await?,
            };
            others.insert(name.clone(), file.client(name, section, url)?);
        }
        let operators = file.sections.iter().filter(|(_, section)| section.operator);
        let operators = operators.map(|(name, _)| name.clone()).collect();
        let own_is_in_file = file.sections.contains_key(&own);
        Ok(Some(Self { clusters: Clusters::new(&own, near, others), operators, own_is_in_file }))
    }
}

/// Those of the file that may be the near cluster of an engine, where neither file nor flag says which one is; none where
/// one does.
pub(crate) fn candidates(
    args: &ClusterArgs,
    environment: &Environment,
) -> Result<Vec<Candidate>, Error> {
    let path = args.clusters.as_ref().or(environment.clusters_file.as_ref());
    let Some(path) = path.filter(|_| args.cluster.is_none()) else { return Ok(Vec::new()) };
    let file = ClustersFile::read(path)?;
    if file.own.is_some() {
        return Ok(Vec::new());
    }
    let known = file.sections.iter().filter_map(|(name, section)| {
        let url = section.url.clone()?;
        let client = file.client(name, section, url);
        Some(client.map(|client| Candidate { name: Some(name.clone()), client }))
    });
    known.collect()
}

impl Entered {
    /// The same, for who makes things. Who names the near store by its address, and in no file, is its administrator.
    pub(crate) fn operators(self) -> Operators {
        let Self { clusters, operators: mut names, own_is_in_file } = self;
        if let (false, Some(own)) = (own_is_in_file, clusters.own()) {
            names.insert(own.to_owned());
        }
        Operators { clusters, names }
    }
}

/// Where the document of a cluster says that it is.
async fn document_url(near: &Client, name: &str) -> Result<String, Error> {
    let id = format!("cluster:{name}");
    let found = near.database(CONTROL).get::<Cluster>(&id).await;
    let found = match found {
        Ok(found) => found,
        // A store that has nothing yet.
        Err(blitz_couchdb::Error::NotFound { .. }) => None,
        Err(source) => return Err(Error::Near { name: name.to_owned(), source }),
    };
    found.map(|found| found.body.url).ok_or_else(|| Error::NoUrl { name: name.to_owned() })
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
#[path = "clusters/tests.rs"]
mod tests;
