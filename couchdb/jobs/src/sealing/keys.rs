//! The private keys that a process has, and the command lines that it opens with them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Place, PrivateKey};
use crate::spec::{Sealed, Spec};

/// Private keys of regions. A clone is the same: what is added to one is in all.
#[derive(Clone, Default)]
pub struct RegionKeys(Arc<RwLock<BTreeMap<(String, String), PrivateKey>>>);

/// Why a job's command line stays sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The key is not here.
    #[error(
        "its secrets are sealed to key {key} of region {region}, which this engine does not have: start it with \
         --region-keys FILE, or have its gateway hand the key out"
    )]
    NoKey {
        /// Which key.
        key: String,
        /// Of which region.
        region: String,
    },
    /// It was sealed for another job, plugin or command line, or was changed.
    #[error("word {word} of its command line was not sealed for this job, plugin and command line")]
    Broken {
        /// Which word, from 1.
        word: usize,
    },
}

impl RegionKeys {
    /// Adds a key; one that is there already stays.
    pub fn add(&self, region: &str, key: PrivateKey) {
        let place = (region.to_owned(), key.id().to_owned());
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(place, key);
    }

    /// The keys of a region.
    #[must_use]
    pub fn of_region(&self, region: &str) -> Vec<PrivateKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().filter(|((of, _), _)| of == region).map(|(_, key)| key.clone()).collect()
    }

    /// The ids of a region's keys.
    #[must_use]
    pub fn ids(&self, region: &str) -> Vec<String> {
        self.of_region(region).iter().map(|key| key.id().to_owned()).collect()
    }

    /// Whether there are keys for all secrets of a job; most jobs have none.
    ///
    /// # Errors
    ///
    /// [`NotOpened::NoKey`].
    pub fn check(&self, spec: &Spec) -> Result<(), NotOpened> {
        spec.sealed.iter().try_for_each(|sealed| self.key(spec, sealed).map(drop))
    }

    /// A job's command line as its user typed it.
    ///
    /// # Errors
    ///
    /// [`NotOpened`].
    pub fn open(&self, spec: &Spec) -> Result<Vec<String>, NotOpened> {
        let mut args = spec.args.clone();
        for sealed in &spec.sealed {
            let key = self.key(spec, sealed)?;
            let broken = || NotOpened::Broken { word: sealed.word.saturating_add(1) };
            let opened = Place::of(spec).open(sealed, &key).ok_or_else(broken)?;
            args.get_mut(sealed.word).ok_or_else(broken)?.clone_from(&opened);
        }
        Ok(args)
    }

    fn key(&self, spec: &Spec, sealed: &Sealed) -> Result<PrivateKey, NotOpened> {
        let region = spec.job.region();
        let place = (region.to_owned(), sealed.key.clone());
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&place)
            .cloned()
            .ok_or_else(|| NotOpened::NoKey { key: sealed.key.clone(), region: region.to_owned() })
    }
}

impl fmt::Debug for RegionKeys {
    /// Their names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(keys.keys()).finish()
    }
}
