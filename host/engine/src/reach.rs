//! From a cluster's name to the cluster itself: which client speaks to it, and whether it is the one that its document
//! means.

use std::fmt;

use blitz_couchdb::Client;
use blitz_jobs::cluster::Clusters;

use crate::chart::Chart;

/// How this engine gets into clusters.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    clusters: Clusters,
    /// Who answers at the near cluster.
    near_uuid: Option<String>,
}

/// A way into a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// Its name; none where there is only one.
    name: Option<String>,
    pub(crate) client: Client,
    /// Who must answer there, where that is known.
    uuid: Option<String>,
}

/// Why a cluster is not entered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotEntered {
    #[error(
        "no document and no entry of a clusters file says where cluster {0:?} is; 'blitz cluster add' writes one"
    )]
    Unknown(String),
    #[error("the address of cluster {name:?} cannot be used: {source}")]
    Address { name: String, source: blitz_couchdb::Error },
    #[error(
        "{door} answers as {found}, and its document says {wanted}: another server is at its address, or it was \
         made anew; 'blitz cluster add' writes who it is now"
    )]
    Another { door: String, found: String, wanted: String },
    #[error("{door}: {source}")]
    Store { door: String, source: blitz_couchdb::Error },
}

impl Reach {
    /// By these clients, the near one of which answers as `near_uuid`.
    pub(crate) fn new(clusters: Clusters, near_uuid: Option<String>) -> Self {
        Self { clusters, near_uuid }
    }

    /// The name of the near cluster: as this engine was told, or as the cluster's document says that means it.
    pub(crate) fn near_name<'a>(&'a self, chart: &'a Chart) -> Option<&'a str> {
        let told = self.clusters.own();
        told.or_else(|| {
            let uuid = self.near_uuid.as_ref()?;
            let mut known = chart.clusters.values();
            let near = known.find(|cluster| cluster.uuid.as_ref() == Some(uuid))?;
            Some(near.name.as_str())
        })
    }

    /// The way into a cluster; no name means the near one. One for which this engine has no name and password of its own
    /// is entered with those of the near one.
    pub(crate) fn door(&self, name: Option<&str>, chart: &Chart) -> Result<Door, NotEntered> {
        let near_name = self.near_name(chart);
        let Some(name) = name.or(near_name) else {
            return Ok(Door { name: None, client: self.clusters.near().clone(), uuid: None });
        };
        let document = chart.clusters.get(name);
        let known = if near_name == Some(name) { None } else { Some(name) };
        let client = match (self.clusters.get(known), document) {
            (Some(client), _) => client.clone(),
            (None, Some(document)) => {
                let there = self.clusters.near().elsewhere(&document.url);
                there.map_err(|source| NotEntered::Address { name: name.to_owned(), source })?
            }
            (None, None) => return Err(NotEntered::Unknown(name.to_owned())),
        };
        let uuid = document.and_then(|document| document.uuid.clone());
        Ok(Door { name: Some(name.to_owned()), client, uuid })
    }
}

impl Door {
    /// Asks who answers there, and gives what tells this cluster from others.
    pub(crate) async fn knock(&self) -> Result<String, NotEntered> {
        let server = self.client.server().await.map_err(|source| self.closed(source))?;
        if let Some(wanted) = &self.uuid
            && server.uuid.as_ref() != Some(wanted)
        {
            let found = server.uuid.unwrap_or_else(|| "one without a uuid".to_owned());
            let (door, wanted) = (self.to_string(), wanted.clone());
            return Err(NotEntered::Another { door, found, wanted });
        }
        Ok(server.uuid.unwrap_or_else(|| self.client.address().to_owned()))
    }

    /// What the store behind it did not do.
    pub(crate) fn closed(&self, source: blitz_couchdb::Error) -> NotEntered {
        NotEntered::Store { door: self.to_string(), source }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "cluster {name} ({})", self.client.address()),
            None => write!(f, "the store {}", self.client.address()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use blitz_jobs::cluster::Cluster;
    use blitz_jobs::region::Region;

    use super::*;

    fn client(port: u16) -> Client {
        Client::new(format!("http://me:secret@127.0.0.1:{port}")).unwrap()
    }

    fn chart(clusters: &[(&str, u16)]) -> Chart {
        let cluster = |(name, port): &(&str, u16)| {
            let url = format!("http://127.0.0.1:{port}");
            let cluster = Cluster::new(name, &url, Some(format!("uuid of {port}"))).unwrap();
            ((*name).to_owned(), cluster)
        };
        let clusters = clusters.iter().map(cluster).collect();
        Chart { region: Region::new("japan").unwrap(), clusters }
    }

    fn leads_to(reach: &Reach, name: Option<&str>, chart: &Chart) -> String {
        reach.door(name, chart).map_or_else(|e| e.to_string(), |door| door.to_string())
    }

    #[test]
    fn a_name_leads_to_a_client_or_to_the_documents_address() {
        let others = BTreeMap::from([("osaka".to_owned(), client(2))]);
        let reach = Reach::new(Clusters::new("tokyo", client(1), others), None);
        let chart = chart(&[("tokyo", 11), ("osaka", 12), ("ireland", 13)]);
        for (name, wanted) in [
            (None, "cluster tokyo (http://127.0.0.1:1)"),
            (Some("tokyo"), "cluster tokyo (http://127.0.0.1:1)"),
            (Some("osaka"), "cluster osaka (http://127.0.0.1:2)"),
            (Some("ireland"), "cluster ireland (http://127.0.0.1:13)"),
        ] {
            assert_eq!(leads_to(&reach, name, &chart), wanted);
        }
        let unknown = leads_to(&reach, Some("paris"), &chart);
        assert!(unknown.contains("where cluster \"paris\" is"), "{unknown}");
    }

    #[test]
    fn a_near_cluster_without_a_name_is_known_by_who_answers() {
        let reach = |uuid: &str| Reach::new(Clusters::alone(client(1)), Some(uuid.to_owned()));
        let chart = chart(&[("tokyo", 11), ("osaka", 12)]);
        let tokyo = reach("uuid of 11");
        assert_eq!(tokyo.near_name(&chart), Some("tokyo"));
        assert_eq!(leads_to(&tokyo, Some("tokyo"), &chart), "cluster tokyo (http://127.0.0.1:1)");
        let other = reach("another");
        assert_eq!(other.near_name(&chart), None);
        assert_eq!(leads_to(&other, None, &chart), "the store http://127.0.0.1:1");
        assert_eq!(leads_to(&other, Some("tokyo"), &chart), "cluster tokyo (http://127.0.0.1:11)");
    }
}
