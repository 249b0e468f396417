//! Which clusters an engine can enter, and which of them is the near one: the one that was named, or of several the
//! nearest.

use std::io::{self, Write as _};
use std::time::Duration;

use blitz_couchdb::Client;
use blitz_engine::nearest::{self, Candidate, Measured};
use blitz_jobs::cluster::Clusters;

use crate::clusters::{self, ClusterArgs, Entered};
use crate::environment::Environment;
use crate::serve::{Error, enter, store};
use crate::stack;

/// Candidates none of which answers are asked again after this long.
const AGAIN: Duration = Duration::from_secs(2);

/// The clusters of an engine.
pub(crate) struct Near {
    pub(crate) clusters: Clusters,
    /// Whether the near one is that of `blitz up`, on this machine.
    pub(crate) is_local: bool,
    /// Which one it is, and how far each is where there was a choice.
    pub(crate) said: String,
}

impl Near {
    /// Finds them. Where several may be the near one, waits until one of them answers.
    pub(crate) async fn find(
        stores: Vec<String>,
        args: &ClusterArgs,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let candidates = candidates(&stores, args, environment)?;
        if candidates.len() > 1 {
            return Self::nearest(candidates, args, environment).await;
        }
        let named = stores.into_iter().next();
        let names_none = named.is_none()
            && environment.store.is_none()
            && environment.clusters_file.is_none()
            && args.clusters.is_none();
        let clusters = match names_none {
            true => {
                let (store, _) = store(None, environment)?;
                Entered::find(args, Some(store), environment).await?.ok_or(Error::NoStore)?.clusters
            }
            false => enter(args, named, environment).await?.clusters,
        };
        let said = format!("store    {}\n", shown(clusters.own(), clusters.near()));
        Ok(Self { clusters, is_local: names_none, said })
    }

    /// The one store that an engine has joined; what else it can enter is in the clusters file.
    pub(crate) async fn joined(
        store: Client,
        args: &ClusterArgs,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let entered = Entered::find(args, Some(store), environment).await?;
        let clusters = entered.ok_or(Error::NoStore)?.clusters;
        let said = format!("store    {}\n", shown(clusters.own(), clusters.near()));
        Ok(Self { clusters, is_local: false, said })
    }

    async fn nearest(
        candidates: Vec<Candidate>,
        args: &ClusterArgs,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let mut was_said = false;
        let (nearest, said) = loop {
            let measured = nearest::measure(candidates.clone()).await;
            let said: String = measured.iter().map(line).collect();
            match measured.into_iter().next() {
                Some(Measured { candidate, round_trip: Ok(_) }) => break (candidate, said),
                _ if !was_said => {
                    was_said = true;
                    // Who does not read it does not need it.
                    let text = format!("no store answers, waiting for one\n{said}");
                    drop(io::stderr().lock().write_all(text.as_bytes()));
                }
                _ => {}
            }
            tokio::time::sleep(AGAIN).await;
        };
        let Candidate { name, client } = nearest;
        let args = ClusterArgs { cluster: name.or_else(|| args.cluster.clone()), ..args.clone() };
        let entered = Entered::find(&args, Some(client), environment).await?;
        let clusters = entered.ok_or(Error::NoStore)?.clusters;
        Ok(Self { clusters, is_local: false, said })
    }
}

/// Those that may be the near one: the stores that were named, with the names that the clusters file has for them; where
/// none was, those of the file.
fn candidates(
    stores: &[String],
    args: &ClusterArgs,
    environment: &Environment,
) -> Result<Vec<Candidate>, Error> {
    if stores.is_empty() && environment.store.is_some() {
        return Ok(Vec::new());
    }
    let known = clusters::candidates(args, environment)?;
    if stores.is_empty() {
        return Ok(known);
    }
    let mut candidates = Vec::with_capacity(stores.len());
    for url in stores {
        let client = Client::new(url).map_err(stack::Error::from)?;
        let same = known.iter().find(|known| known.client.address() == client.address());
        candidates.push(Candidate { name: same.and_then(|same| same.name.clone()), client });
    }
    Ok(candidates)
}

/// One candidate, and how far it is.
fn line(measured: &Measured) -> String {
    let Measured { candidate: Candidate { name, client }, round_trip } = measured;
    let shown = shown(name.as_deref(), client);
    match round_trip {
        Ok(time) => format!("store    {shown}, {:.1} ms away\n", time.as_secs_f64() * 1e3),
        Err(reason) => format!("store    {shown}, not there: {reason}\n"),
    }
}

fn shown(name: Option<&str>, client: &Client) -> String {
    match name {
        Some(name) => format!("{name} ({})", client.address()),
        None => client.address().to_owned(),
    }
}
