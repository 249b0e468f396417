//! All versions of all plugins with what was said of them later, and which one a job gets. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::plugin::document::{PluginDocument, document_id};
use crate::plugin::marks::{Mark, MarkKind};
use crate::read;

/// What is published.
#[derive(Debug, Default)]
pub struct Versions {
    /// By document id.
    plugins: BTreeMap<String, PluginDocument>,
    /// By document id of the plugin.
    yanked: BTreeMap<String, Mark>,
    promoted: BTreeSet<String>,
}

/// Why there is no version for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoVersion {
    /// Nothing has this name or this version.
    Unknown,
    /// It was taken back.
    Yanked(Mark),
    /// It is for other regions.
    Elsewhere {
        /// `name@version`.
        label: String,
        /// The regions that have it.
        only: Vec<String>,
        /// The region that was asked for.
        region: String,
    },
}

impl Versions {
    /// Hears of a document of the control database; false when it is not about plugins.
    pub fn hear(&mut self, id: &str, doc: Value) -> bool {
        if id.starts_with("plugin:") {
            // One whose place is another's would be found under a name that is not its own.
            if let Some(plugin) = read::document::<PluginDocument>(id, doc)
                && plugin.document_id() == id
            {
                self.plugins.insert(id.to_owned(), plugin);
            }
            return true;
        }
        let Some(mark) = Mark::read(id, doc) else { return false };
        let plugin = document_id(&mark.name, &mark.version);
        match mark.kind {
            MarkKind::Yanked => {
                self.yanked.insert(plugin, mark);
            }
            MarkKind::Promoted => {
                self.promoted.insert(plugin);
            }
        }
        true
    }

    /// All documents, by name and then in the order of their ids.
    pub fn all(&self) -> impl Iterator<Item = &PluginDocument> {
        self.plugins.values()
    }

    /// The names of all plugins that one sees, each once.
    #[must_use]
    pub fn names(&self, sees: impl Fn(&PluginDocument) -> bool) -> Vec<String> {
        let seen = self.all().filter(|plugin| sees(plugin));
        let names: BTreeSet<&str> = seen.map(|p| p.manifest.name.as_str()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// This version, whatever was said of it.
    #[must_use]
    pub fn get(&self, name: &str, version: &str) -> Option<&PluginDocument> {
        self.plugins.get(&document_id(name, version))
    }

    /// The version that a name belongs to: the operator's own, else the one that was published first. Yanked or
    /// not: a name that was given up could be taken to pass for its owner.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&PluginDocument> {
        let of_name = self.all().filter(|plugin| plugin.manifest.name == name);
        of_name.min_by_key(|p| (p.signature.is_some(), p.published_at_ms, p.version_order()))
    }

    /// The yank of a version.
    #[must_use]
    pub fn yanked(&self, name: &str, version: &str) -> Option<&Mark> {
        self.yanked.get(&document_id(name, version))
    }

    /// Whether engines of a region may run it: yanked is another question.
    #[must_use]
    pub fn is_for(&self, plugin: &PluginDocument, region: &str) -> bool {
        plugin.is_for(region, self.is_promoted(plugin))
    }

    /// Whether all regions may have it by a later word.
    #[must_use]
    pub fn is_promoted(&self, plugin: &PluginDocument) -> bool {
        self.promoted.contains(&plugin.document_id())
    }

    /// The version for a job: the asked one, or the newest that is not yanked and that all of these regions
    /// may run. What one does not see is not there. Without regions, the newest that none is kept from; where every version is limited, the newest. One that is
    /// refused is the last choice: while engines are upgraded, the former version serves.
    ///
    /// # Errors
    ///
    /// [`NoVersion`].
    pub fn choose(
        &self,
        name: &str,
        version: Option<&str>,
        regions: &[&str],
        sees: impl Fn(&PluginDocument) -> bool,
        is_refused: impl Fn(&PluginDocument) -> bool,
    ) -> Result<&PluginDocument, NoVersion> {
        if let Some(version) = version {
            if self.get(name, version).is_some_and(|plugin| !sees(plugin)) {
                return Err(NoVersion::Unknown);
            }
            if let Some(yanked) = self.yanked(name, version) {
                return Err(NoVersion::Yanked(yanked.clone()));
            }
            let plugin = self.get(name, version).ok_or(NoVersion::Unknown)?;
            return self.elsewhere(plugin, regions).map_or(Ok(plugin), Err);
        }
        let mut versions: Vec<&PluginDocument> =
            self.all().filter(|plugin| plugin.manifest.name == name && sees(plugin)).collect();
        versions.sort_by_key(|plugin| std::cmp::Reverse(plugin.version_order()));
        let newest = *versions.first().ok_or(NoVersion::Unknown)?;
        let is_yanked = |plugin: &&PluginDocument| self.yanked.contains_key(&plugin.document_id());
        let yanked = self.yanked.get(&newest.document_id());
        versions.retain(|plugin| !is_yanked(plugin));
        let newest = match (versions.first(), yanked) {
            (Some(newest), _) => *newest,
            (None, Some(mark)) => return Err(NoVersion::Yanked(mark.clone())),
            (None, None) => return Err(NoVersion::Unknown),
        };
        let fits = |plugin: &&&PluginDocument| match regions {
            [] => plugin.only.is_empty() || self.is_promoted(plugin),
            regions => regions.iter().all(|region| self.is_for(plugin, region)),
        };
        let runs = |plugin: &&&PluginDocument| fits(plugin) && !is_refused(plugin);
        let found = versions.iter().find(runs).or_else(|| versions.iter().find(fits));
        match (found, self.elsewhere(newest, regions)) {
            (Some(plugin), _) => Ok(plugin),
            (None, Some(elsewhere)) => Err(elsewhere),
            (None, None) => Ok(newest),
        }
    }

    fn elsewhere(&self, plugin: &PluginDocument, regions: &[&str]) -> Option<NoVersion> {
        let region = regions.iter().find(|region| !self.is_for(plugin, region))?;
        Some(NoVersion::Elsewhere {
            label: plugin.label(),
            only: plugin.only.clone(),
            region: (*region).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::SigningKey;

    fn versions(published: &[(&str, &[&str])], marks: &[&str]) -> Versions {
        let mut versions = Versions::default();
        for (version, only) in published {
            let doc = json!({"kind": "plugin", "blitz": "0", "sha256": "ab", "size_bytes": 2, "only": only,
                "manifest": {"name": "hops", "version": version, "summary": "", "contract": "0.1.0"}});
            assert!(versions.hear(&format!("plugin:hops:{version}"), doc));
        }
        for mark in marks {
            let (word, version) = mark.split_once(' ').unwrap();
            let doc = json!({"kind": word, "blitz": "0", "name": "hops", "version": version,
                "reason": "it leaks"});
            assert!(versions.hear(&format!("{word}:hops:{version}"), doc));
        }
        versions
    }

    #[test]
    fn a_job_gets_the_newest_version_that_its_regions_may_run() {
        type Published = &'static [(&'static str, &'static [&'static str])];
        const TWO: Published = &[("0.9.0", &[]), ("0.10.0", &["japan"])];
        for (published, marks, version, regions, wanted) in [
            (TWO, &[][..], None, &["japan"][..], "0.10.0"),
            (TWO, &[], None, &["virginia"], "0.9.0"),
            (TWO, &[], None, &["virginia", "japan"], "0.9.0"),
            (TWO, &[], None, &[], "0.9.0"),
            (TWO, &["promoted 0.10.0"], None, &["virginia"], "0.10.0"),
            (TWO, &["promoted 0.10.0"], None, &[], "0.10.0"),
            (TWO, &["yanked 0.10.0"], None, &["japan"], "0.9.0"),
            (TWO, &["yanked 0.10.0", "promoted 0.10.0"], None, &["japan"], "0.9.0"),
            (TWO, &["yanked 0.9.0"], None, &["virginia"], "elsewhere"),
            (TWO, &["yanked 0.9.0"], None, &[], "0.10.0"),
            (TWO, &["yanked 0.9.0", "yanked 0.10.0"], None, &[], "yanked"),
            (TWO, &[], Some("0.9.0"), &["japan"], "0.9.0"),
            (TWO, &[], Some("0.10.0"), &["virginia"], "elsewhere"),
            (TWO, &["yanked 0.9.0"], Some("0.9.0"), &["japan"], "yanked"),
            (TWO, &[], Some("0.8.0"), &["japan"], "unknown"),
            (&[], &["yanked 0.1.0"], Some("0.1.0"), &[], "yanked"),
            (&[], &[], None, &[], "unknown"),
        ] {
            let versions = versions(published, marks);
            let got = match versions.choose("hops", version, regions, |_| true, |_| false) {
                Ok(plugin) => plugin.manifest.version.as_str(),
                Err(NoVersion::Unknown) => "unknown",
                Err(NoVersion::Yanked(mark)) => {
                    assert_eq!(mark.reason, "it leaks");
                    "yanked"
                }
                Err(NoVersion::Elsewhere { .. }) => "elsewhere",
            };
            assert_eq!(got, wanted, "{marks:?} {version:?} {regions:?}");
        }
    }

    #[test]
    fn what_all_engines_refuse_is_the_last_choice() {
        let versions = versions(&[("0.1.0", &[]), ("0.2.0", &[]), ("0.3.0", &["japan"])], &[]);
        let chosen = |version: Option<&str>, refused: &[&str]| {
            let refuses = |plugin: &PluginDocument| refused.contains(&&*plugin.manifest.version);
            let plugin =
                versions.choose("hops", version, &["virginia"], |_| true, refuses).unwrap();
            plugin.manifest.version.clone()
        };
        assert_eq!(chosen(None, &[]), "0.2.0");
        assert_eq!(chosen(None, &["0.2.0"]), "0.1.0");
        assert_eq!(chosen(None, &["0.2.0", "0.1.0"]), "0.2.0", "the job waits, and says for which");
        assert_eq!(chosen(Some("0.2.0"), &["0.2.0"]), "0.2.0", "who names a version gets it");
    }

    #[test]
    fn what_one_does_not_see_is_not_there() {
        let mut versions = versions(&[("0.1.0", &[]), ("0.2.0", &[])], &["yanked 0.2.0"]);
        let mut private = versions.get("hops", "0.2.0").unwrap().clone();
        private.tenant = Some("acme".to_owned());
        private.private = true;
        assert!(versions.hear("plugin:hops:0.2.0", json!(private)));
        let choose = |tenant: &'static str, version| {
            let sees = move |plugin: &PluginDocument| plugin.is_seen_by(Some(tenant));
            let chosen = versions.choose("hops", version, &[], sees, |_| false);
            chosen.map(|plugin| plugin.manifest.version.clone())
        };
        assert_eq!(choose("other", None).as_deref(), Ok("0.1.0"));
        assert_eq!(choose("other", Some("0.2.0")), Err(NoVersion::Unknown), "not even yanked");
        assert!(matches!(choose("acme", Some("0.2.0")), Err(NoVersion::Yanked(_))));
        assert!(versions.names(|plugin| plugin.manifest.version == "0.3.0").is_empty());
    }

    #[test]
    fn a_name_belongs_to_its_first_version_yanked_or_not() {
        let mut versions = versions(&[], &["yanked 0.3.0"]);
        let signature = json!({"key": SigningKey::generate().unwrap().public(), "value": "ab"});
        let mut first = |version: &str, published_at_ms: Option<u64>| {
            let mut doc = json!({"kind": "plugin", "blitz": "0", "sha256": "ab", "size_bytes": 2,
                "manifest": {"name": "hops", "version": version, "summary": "", "contract": "0.1.0"}});
            if let Some(at) = published_at_ms {
                (doc["published_at_ms"], doc["signature"]) = (json!(at), signature.clone());
            }
            assert!(versions.hear(&format!("plugin:hops:{version}"), doc));
            versions.first("hops").unwrap().manifest.version.clone()
        };
        assert_eq!(first("0.3.0", Some(2)), "0.3.0", "yanked");
        assert_eq!(first("0.1.0", Some(3)), "0.3.0", "published later");
        assert_eq!(first("0.2.0", Some(1)), "0.2.0");
        assert_eq!(first("9.0.0", None), "9.0.0", "the operator's own");
        assert!(versions.first("curl").is_none());
    }

    #[test]
    fn a_document_in_anothers_place_is_not_heard() {
        let mut versions = versions(&[("0.1.0", &[])], &[]);
        let doc = serde_json::to_value(versions.get("hops", "0.1.0").unwrap()).unwrap();
        versions.hear("plugin:curl:0.1.0", doc);
        assert_eq!(versions.names(|_| true), ["hops"]);
        assert!(!versions.hear("region:japan", json!({})));
    }
}
