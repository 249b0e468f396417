//! Gateways and engines of a world, each beside a cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use blitz_engine::Trust;
use blitz_jobs::region::engines_database;
use blitz_jobs::sealing::RegionKeys;
use blitz_jobs::timing::Timing;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::stack::{EngineHandle, FASTER};
use crate::{Api, FIXTURE};

/// The token of a world's gateways.
const TOKEN: &str = "token-of-a-test";

/// A gateway that runs.
#[derive(Debug)]
pub struct GatewayHandle {
    /// Its API.
    pub api: Api,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl GatewayHandle {
    /// Ends it in order.
    ///
    /// # Panics
    ///
    /// When it had ended by itself.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("a gateway that ends in order");
    }
}

impl World {
    /// Starts a gateway beside the cluster `near`, where it has an operator's rights, which can enter these others too. It
    /// serves when this returns.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn gateway(&self, name: &str, near: &str, others: &[&str]) -> GatewayHandle {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let config = blitz_gateway::Config {
            operators: BTreeSet::from([near.to_owned()]),
            accounts_key: Some(crate::stack::ACCOUNTS_KEY),
            timing: Timing::faster(FASTER),
            ..blitz_gateway::Config::new(self.clusters_of(name, near, others).await, TOKEN)
        };
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            blitz_gateway::run(listener, config, stop).await.expect("a gateway that serves");
        });
        let api = Api::new(&format!("http://{address}"), TOKEN);
        crate::until(&format!("gateway {name} knows the fixtures"), || async {
            for plugin in ["fixture", "once"] {
                let path = format!("/v1/plugins/{plugin}");
                let answer = api.try_raw("GET", &path, &[], None).await.ok()?;
                answer.status().is_success().then_some(())?;
            }
            Some(())
        })
        .await;
        GatewayHandle { api, shutdown, task }
    }

    /// Starts an engine of a region beside the cluster `near`, which can enter these others too; ready for the fixture
    /// when this returns. It has four slots.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn engine(
        &self,
        region: &str,
        id: &str,
        near: &str,
        others: &[&str],
    ) -> EngineHandle {
        let mut trust = Trust::default();
        trust.digests.insert(blitz_jobs::plugin::sha256(FIXTURE));
        let shutdown = CancellationToken::new();
        let clusters = self.clusters_of(id, near, others).await;
        let config = blitz_engine::Config {
            clusters,
            region: region.to_owned(),
            id: id.to_owned(),
            slots: 4,
            runtime: self.runtime.clone(),
            trust,
            region_keys: RegionKeys::default(),
            timing: Timing::faster(FASTER),
            load_contact: "a test".to_owned(),
            drain: Duration::from_millis(500),
            machine: None,
            imds: None,
        };
        let task = tokio::spawn(blitz_engine::run(config, shutdown.clone()));
        let home = self.region_at(near, region).await.home.expect("a home");
        self.engine_at(&home, region, id).await;
        EngineHandle { shutdown, task }
    }

    /// Waits until a cluster knows an engine with its plugins.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub async fn engine_at(&self, cluster: &str, region: &str, id: &str) {
        let engines = self.cluster(cluster).client.database(&engines_database(region));
        crate::until(&format!("engine {id} with its plugins at {cluster}"), || async {
            let known = engines.get::<Value>(&format!("engine:{id}")).await.ok()??;
            let plugins = known.body["plugins"].as_array()?;
            (plugins.len() >= 2).then_some(())
        })
        .await;
    }
}
