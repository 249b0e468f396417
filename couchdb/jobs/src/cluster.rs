//! Clusters: the CouchDBs that regions have their home in, by name, and how one process reaches those that it can.
//!
//! A cluster's document says where it is and who it is; who may enter is no document's business: each process has its
//! own name and password, or a token, for the clusters that it may enter. What it may not enter, it knows by replication only.

use std::collections::BTreeMap;

use blitz_couchdb::Client;
use serde::{Deserialize, Serialize};

use crate::id::BadName;
use crate::region;

/// A cluster's document, `cluster:<name>` in the control database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Always `cluster`.
    pub kind: ClusterKind,
    /// The version of blitz that wrote it.
    pub blitz: String,
    /// The name in regions' documents.
    pub name: String,
    /// `http://HOST:PORT` or `https://HOST:PORT`, as gateways, engines and the other clusters reach it; without name and
    /// password.
    pub url: String,
    /// Who answered there when it was added: another one there later is refused. Absent where the server has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// How many copies of each document it keeps, `n` of its databases. Claims count on it: databases of another number
    /// are refused. Absent in documents that were written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
}

/// The `kind` of a cluster's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterKind {
    /// The only one.
    Cluster,
}

impl Cluster {
    /// A cluster with this name at this address.
    ///
    /// # Errors
    ///
    /// [`BadName`] when it cannot be a name: it has the form of a region's.
    pub fn new(name: &str, url: &str, uuid: Option<String>) -> Result<Self, BadName> {
        if !region::is_name(name) {
            return Err(BadName::new(
                name,
                "a cluster's name (a-z, 0-9 and -, a letter first, up to 32; not 'all' or 'any')",
            ));
        }
        Ok(Self {
            kind: ClusterKind::Cluster,
            blitz: crate::BUILD.to_owned(),
            name: name.to_owned(),
            url: url.to_owned(),
            uuid,
            copies: None,
        })
    }

    /// The id of its document.
    #[must_use]
    pub fn document_id(&self) -> String {
        format!("cluster:{}", self.name)
    }
}

/// The clusters that this process can enter.
#[derive(Debug, Clone)]
pub struct Clusters {
    /// The name of the near one; absent where there is only one, which then needs no name.
    own: Option<String>,
    near: Client,
    others: BTreeMap<String, Client>,
}

impl Clusters {
    /// One store, which is the home of every region that has no home elsewhere.
    #[must_use]
    pub fn alone(store: Client) -> Self {
        Self { own: None, near: store, others: BTreeMap::new() }
    }

    /// The near cluster, by its name, and others that this process can enter.
    #[must_use]
    pub fn new(own: &str, near: Client, others: BTreeMap<String, Client>) -> Self {
        Self { own: Some(own.to_owned()), near, others }
    }

    /// The name of the near cluster, where it has one.
    #[must_use]
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// The near cluster: the control database is read there, and what can be entered nowhere else.
    #[must_use]
    pub fn near(&self) -> &Client {
        &self.near
    }

    /// The cluster of this name, when it can be entered. No name means the near one.
    #[must_use]
    pub fn get(&self, name: Option<&str>) -> Option<&Client> {
        match name {
            None => Some(&self.near),
            Some(name) if self.own.as_deref() == Some(name) => Some(&self.near),
            Some(name) => self.others.get(name),
        }
    }

    /// All that can be entered, the near one first, with their names.
    pub fn all(&self) -> impl Iterator<Item = (Option<&str>, &Client)> {
        let others = self.others.iter().map(|(name, client)| (Some(name.as_str()), client));
        std::iter::once((self.own(), &self.near)).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_who_can_be_entered() {
        let client = |port: u16| Client::new(format!("http://127.0.0.1:{port}")).unwrap();
        let alone = Clusters::alone(client(1));
        assert_eq!(alone.get(None).unwrap().address(), "http://127.0.0.1:1");
        assert!(alone.get(Some("tokyo")).is_none());
        let others = BTreeMap::from([("tokyo".to_owned(), client(2))]);
        let two = Clusters::new("virginia", client(1), others);
        assert_eq!(two.get(Some("virginia")).unwrap().address(), "http://127.0.0.1:1");
        assert_eq!(two.get(Some("tokyo")).unwrap().address(), "http://127.0.0.1:2");
        assert_eq!(Vec::from_iter(two.all().map(|(name, _)| name.unwrap())), ["virginia", "tokyo"]);
    }
}
