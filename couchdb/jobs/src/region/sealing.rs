//! The keys in a region's document: added, retired, and brought together from several leaves.

use std::collections::BTreeMap;

use super::Region;
use crate::sealing::{SEALING_KEYS_MAX, SealingKey};

impl Region {
    /// Adds a key, or retires one that is there: whichever was said of it anywhere counts. Beyond [`SEALING_KEYS_MAX`] the oldest
    /// go, those that were retired before others.
    pub fn add_sealing_key(&mut self, key: SealingKey) {
        self.sealing = together(self.sealing.iter().cloned().chain([key]));
    }

    /// The key to seal to, where the region's engines have these keys, by id: the newest that all have, else the newest that one
    /// has, else the newest. So a new key is used once the engines have it. False beside it: there are engines, and none has it.
    #[must_use]
    pub fn sealing_key(&self, engines: &[&[String]]) -> Option<(&SealingKey, bool)> {
        let have = |key: &SealingKey| engines.iter().filter(|ids| ids.contains(&key.id)).count();
        let of_all = || self.sealing_keys().find(|key| have(key) == engines.len());
        let of_one = || self.sealing_keys().find(|key| have(key) > 0);
        let key = of_all().or_else(of_one).or_else(|| self.sealing_keys().next())?;
        Some((key, engines.is_empty() || have(key) > 0))
    }

    /// Has nothing sealed to a key any more. False when there is none of this id, or it was retired before.
    pub fn retire_sealing_key(&mut self, id: &str) -> bool {
        let key = self.sealing.iter_mut().find(|key| key.id == id && !key.retired);
        key.map(|key| key.retired = true).is_some()
    }
}

/// The keys of all lists, each once, oldest first: the same whatever the order of the lists.
pub(super) fn together(keys: impl Iterator<Item = SealingKey>) -> Vec<SealingKey> {
    let mut by_id: BTreeMap<String, SealingKey> = BTreeMap::new();
    for key in keys {
        let known = by_id.entry(key.id.clone()).or_insert_with(|| key.clone());
        let retired = known.retired || key.retired;
        // Of two that call themselves alike one is believed, whichever.
        let newer = (key.made_at_ms, &key.public) > (known.made_at_ms, &known.public);
        let believed = if newer { key } else { known.clone() };
        *known = SealingKey { retired, ..believed };
    }
    let mut all: Vec<SealingKey> = by_id.into_values().collect();
    let age = |key: &SealingKey| (key.made_at_ms, key.id.clone());
    all.sort_by_key(|key| (!key.retired, age(key)));
    all.drain(..all.len().saturating_sub(SEALING_KEYS_MAX));
    all.sort_by_key(age);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, made_at_ms: u64) -> SealingKey {
        SealingKey { id: id.to_owned(), public: "p".to_owned(), made_at_ms, retired: false }
    }

    fn ids(region: &Region) -> Vec<&str> {
        region.sealing_keys().map(|key| key.id.as_str()).collect()
    }

    #[test]
    fn the_newest_key_that_was_not_retired_is_used() {
        let mut japan = Region::new("japan").unwrap();
        for (id, made) in [("b", 2), ("a", 1), ("c", 3), ("a", 1)] {
            japan.add_sealing_key(key(id, made));
        }
        assert_eq!(ids(&japan), ["c", "b", "a"]);
        assert!(japan.retire_sealing_key("c") && !japan.retire_sealing_key("c"));
        assert!(!japan.retire_sealing_key("x"));
        assert_eq!(ids(&japan), ["b", "a"]);
        japan.add_sealing_key(key("c", 3));
        assert_eq!(ids(&japan), ["b", "a"], "retired for good");
    }

    #[test]
    fn a_new_key_is_used_once_all_engines_have_it() {
        let mut japan = Region::new("japan").unwrap();
        assert_eq!(japan.sealing_key(&[]), None);
        japan.add_sealing_key(key("old", 1));
        japan.add_sealing_key(key("new", 2));
        let [none, old, both] = [&[][..], &["old"], &["old", "new"]];
        for (engines, wanted, is_held) in [
            (&[][..], "new", true),
            (&[none], "new", false),
            (&[old, old], "old", true),
            (&[old, both], "old", true),
            (&[both, both], "new", true),
            (&[none, old], "old", true),
            (&[none, both], "new", true),
        ] {
            let engines: Vec<Vec<String>> =
                engines.iter().map(|ids| ids.iter().map(|&id| id.to_owned()).collect()).collect();
            let engines: Vec<&[String]> = engines.iter().map(Vec::as_slice).collect();
            let found = japan.sealing_key(&engines).map(|(key, held)| (key.id.as_str(), held));
            assert_eq!(found, Some((wanted, is_held)), "{engines:?}");
        }
    }

    #[test]
    fn of_too_many_keys_the_retired_go_first() {
        let mut japan = Region::new("japan").unwrap();
        for made in 0..SEALING_KEYS_MAX as u64 {
            japan.add_sealing_key(key(&format!("k{made}"), made));
        }
        japan.retire_sealing_key("k9");
        japan.add_sealing_key(key("new", 999));
        assert_eq!(japan.sealing.len(), SEALING_KEYS_MAX);
        assert!(ids(&japan).contains(&"k0") && !japan.sealing.iter().any(|key| key.id == "k9"));
    }
}
