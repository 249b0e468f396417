//! The names that completion needs: from the gateway while its time lasts, else from what this machine knows.

use std::time::Duration;

use blitz_contract::Manifest;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::place::Candidate;
use crate::api::Gateway;
use crate::environment::Environment;
use crate::locate::{Place, locate};
use crate::pin::{Pin, is_plugin_name};
use crate::wire;
use crate::{built_in, known};

/// Jobs that are offered.
const JOBS_MAX: usize = 50;

/// Knows names.
pub(super) struct World<'a> {
    environment: &'a Environment,
    gateway: Option<Gateway>,
    until: Instant,
}

impl<'a> World<'a> {
    /// One whose gateway has this long for all of its answers.
    pub(super) fn new(environment: &'a Environment, host: Option<&str>, time: Duration) -> Self {
        let gateway = match locate(host, environment) {
            Ok(Place::Gateway(gateway)) => Some(*gateway),
            Ok(Place::Here) | Err(_) => None,
        };
        Self { environment, gateway, until: Instant::now() + time }
    }

    /// All plugins that a job may get: names, or with `versions` names with each version.
    pub(super) async fn plugins(&mut self, versions: bool) -> Vec<Candidate> {
        self.plugins_that(versions, |plugin| plugin.yanked.is_none()).await
    }

    /// The versions that their publishers can take back.
    pub(super) async fn yankable(&mut self) -> Vec<Candidate> {
        self.plugins_that(true, |plugin| plugin.yanked.is_none() && plugin.key.is_some()).await
    }

    async fn plugins_that(
        &mut self,
        versions: bool,
        is_offered: impl Fn(&wire::Plugin) -> bool,
    ) -> Vec<Candidate> {
        let published: Option<wire::Plugins> = self.ask("/v1/plugins").await;
        let mut found: Vec<Candidate> = match published {
            Some(published) => published
                .plugins
                .into_iter()
                .filter(|plugin| is_plugin_name(&plugin.name) && is_offered(plugin))
                .map(|plugin| Candidate {
                    word: match versions {
                        true => format!("{}@{}", plugin.name, plugin.version),
                        false => plugin.name,
                    },
                    meaning: plugin.summary,
                })
                .collect(),
            None => self
                .local()
                .map(|manifest| Candidate {
                    word: match versions {
                        true => format!("{}@{}", manifest.name, manifest.version),
                        false => manifest.name,
                    },
                    meaning: manifest.summary,
                })
                .collect(),
        };
        found.sort_by(|a, b| a.word.cmp(&b.word));
        found.dedup_by(|a, b| a.word == b.word);
        found
    }

    /// What a plugin says of itself. What is heard is kept.
    pub(super) async fn manifest(&mut self, pin: &Pin) -> Option<Manifest> {
        if let Some(gateway) = &self.gateway {
            let asked = timeout_at(self.until, gateway.plugin(pin, &[])).await;
            if let Ok(Ok(info)) = asked {
                known::keep(self.environment, &info.manifest);
                return Some(info.manifest);
            }
        }
        known::kept(self.environment, &pin.name)
            .or_else(|| built_in::manifests().find(|manifest| manifest.name == pin.name))
    }

    /// Regions and their other names.
    pub(super) async fn regions(&mut self) -> Vec<Candidate> {
        let found: Option<wire::Regions> = self.ask("/v1/regions").await;
        let regions = found.map(|found| found.regions).unwrap_or_default();
        let mut words = Vec::new();
        for region in regions {
            for alias in region.aliases {
                words.push(Candidate { word: alias, meaning: region.name.clone() });
            }
            words.push(Candidate::bare(region.name));
        }
        words.push(Candidate::new("any", "one region that has an engine"));
        words.push(Candidate::new("all", "every region"));
        words
    }

    /// The last jobs, newest first.
    pub(super) async fn jobs(&mut self) -> Vec<Candidate> {
        let found: Option<wire::Jobs> = self.ask(&format!("/v1/jobs?last={JOBS_MAX}")).await;
        let jobs = found.map(|found| found.jobs).unwrap_or_default().into_iter();
        let meaning =
            |job: &wire::Job| format!("{} {} {}", job.plugin, job.args.join(" "), job.state);
        jobs.map(|job| Candidate { meaning: meaning(&job), word: job.id }).collect()
    }

    /// One field of each entry of a list of accounts, that the key may see.
    pub(super) async fn named(&mut self, list: &str, field: &str) -> Vec<Candidate> {
        let found: Option<Value> = self.ask(&format!("/v1/{list}")).await;
        let entries = found.as_ref().and_then(|found| found.get(list)?.as_array());
        let names = entries.into_iter().flatten().filter_map(|entry| entry.get(field)?.as_str());
        names.map(|name| Candidate::bare(name.to_owned())).collect()
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let gateway = self.gateway.as_ref()?;
        timeout_at(self.until, gateway.list(path)).await.ok()?.ok()
    }

    /// Manifests of this machine.
    fn local(&self) -> impl Iterator<Item = Manifest> {
        let kept = known::kept_names(self.environment);
        let kept = kept.into_iter().filter_map(|name| known::kept(self.environment, &name));
        built_in::manifests().chain(kept)
    }
}
