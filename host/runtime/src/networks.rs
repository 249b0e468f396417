//! The import `networks`: whose addresses these are, by databases that the engine's operator has put there. Needs no
//! grant, and asks nobody over the network.
//!
//! `database` reads a file, and knows how the makers of such files call what they know.

mod database;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;

use blitz_contract::probes as words;

use crate::bindings::blitz::plugin::networks::{Error, Host, Network};
use crate::error::Error as StartError;
use crate::job::Job;
use crate::limits::Shown;
use database::Database;

/// Addresses of one call: all hops of the longest way, ten times over.
const ADDRESSES_MAX: usize = 2560;

/// The databases of an engine, in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Networks(Vec<Database>);

impl Networks {
    /// Reads all files.
    ///
    /// # Errors
    ///
    /// [`StartError::Networks`] for the first that is not a database.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, StartError> {
        let read = |path: &PathBuf| {
            Database::read(path)
                .map_err(|reason| StartError::Networks { path: path.clone(), reason })
        };
        files.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Each fact by the first database that knows it.
    fn whose(&self, addresses: &[String]) -> Result<Vec<Option<words::Network>>, Error> {
        if self.0.is_empty() {
            return Err(Error::Failed(
                "this engine has no database of networks; its operator gives one with --networks FILE, in MaxMind's \
                 format: GeoLite2-ASN.mmdb, or one of DB-IP or IPinfo"
                    .to_owned(),
            ));
        }
        if addresses.len() > ADDRESSES_MAX {
            return Err(Error::Limit(format!(
                "at most {ADDRESSES_MAX} addresses are looked up at once, these are {}",
                addresses.len()
            )));
        }
        let one = |text: &String| {
            let address: IpAddr = text
                .parse()
                .map_err(|_| Error::Failed(format!("{:?} is not an IP address", Shown(text))))?;
            self.one(address.to_canonical())
        };
        addresses.iter().map(one).collect()
    }

    fn one(&self, address: IpAddr) -> Result<Option<words::Network>, Error> {
        let mut found = words::Network::default();
        for database in &self.0 {
            let more = database.whose(address).map_err(Error::Failed)?;
            found.asn = found.asn.or(more.asn);
            found.organization = found.organization.or(more.organization);
            found.country = found.country.or(more.country);
        }
        Ok((found != words::Network::default()).then_some(found))
    }
}

impl Host for Job {
    async fn whose(
        &mut self,
        addresses: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Network>>, Error>> {
        self.hear_networks(&addresses, |job| {
            let found = job.networks.whose(&addresses)?;
            Ok(found.into_iter().map(|network| network.map(Into::into)).collect())
        })
    }
}

impl From<words::Network> for Network {
    fn from(network: words::Network) -> Self {
        let words::Network { asn, organization, country } = network;
        Self { asn, organization, country }
    }
}

impl From<Network> for words::Network {
    fn from(network: Network) -> Self {
        let Network { asn, organization, country } = network;
        Self { asn, organization, country }
    }
}
