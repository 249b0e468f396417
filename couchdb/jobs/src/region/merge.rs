//! What a region's document says that was edited on two sides: pure, and the same wherever the leaves meet.
//!
//! One leaf is believed in all but its databases. Numbers of databases only rise, so that the highest is the current one.
//! Of those that may hold open jobs none is left out that any leaf has: jobs that were accepted into it would never run. One
//! that a side has dropped may so come back, as the name of an empty database, which is dropped again in time. That is
//! harmless as long as no cluster kept a copy of the dropped one, out of which old jobs would come back too: who drops a
//! database drops its copies at the hubs first. Keys are all kept, and one that any leaf has retired is retired: what was sealed
//! to a key that one side alone has made is still opened, and a key that was given up does not come back.

use std::collections::BTreeSet;

use super::Region;
use super::sealing::together;

impl Region {
    /// What these leaves of one region's document say together; `None` of none.
    ///
    /// Of the leaves that have the highest home epoch one is believed, whichever; `current` is the highest of all leaves, and
    /// `open` and `sealing` have what any leaf has. The order of the leaves makes no difference, nor does what was merged before.
    #[must_use]
    pub fn merged(leaves: &[Self]) -> Option<Self> {
        let believed = leaves.iter().max_by_key(|leaf| (leaf.home_epoch, leaf.words()))?;
        let current = leaves.iter().map(|leaf| leaf.current).max()?;
        let open: BTreeSet<u32> = leaves
            .iter()
            .flat_map(|leaf| leaf.open.iter().copied().chain([leaf.current]))
            .collect();
        let sealing = together(leaves.iter().flat_map(|leaf| leaf.sealing.iter().cloned()));
        Some(Self { current, open: open.into_iter().collect(), sealing, ..believed.clone() })
    }

    /// All that it says beside the numbers of its databases and its keys, in an order that all versions have alike.
    fn words(&self) -> Option<String> {
        let rest = Self { current: 0, open: Vec::new(), sealing: Vec::new(), ..self.clone() };
        serde_json::to_string(&rest).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::region::Failover;
    use crate::sealing::SealingKey;

    fn japan() -> Region {
        Region::new("japan").unwrap()
    }

    #[test]
    fn the_later_home_is_believed_and_no_open_database_is_forgotten() {
        let old = Region {
            home: Some("tokyo".to_owned()),
            lanes: 9,
            current: 6,
            open: vec![4, 5, 6],
            ..japan()
        };
        let new = Region {
            home: Some("osaka".to_owned()),
            home_epoch: 3,
            failover: Failover::Safe,
            current: 5,
            open: vec![3, 4, 5],
            ..japan()
        };
        let merged = Region::merged(&[old.clone(), new.clone()]).unwrap();
        let open = vec![3, 4, 5, 6];
        assert_eq!(merged, Region { current: 6, open, ..new.clone() });
        assert_eq!(Region::merged(&[merged.clone(), old]), Some(merged), "merged already");
        assert_eq!(Region::merged(std::slice::from_ref(&new)), Some(new), "one leaf is what it is");
        assert_eq!(Region::merged(&[]), None);
    }

    #[test]
    fn what_was_added_twice_under_one_name_keeps_the_databases_of_both() {
        let (old, again) = (Region { current: 5, open: vec![4, 5], ..japan() }, japan());
        assert_eq!(Region::merged(&[again, old]).unwrap().open, [1, 4, 5]);
    }

    fn some_region() -> impl Strategy<Value = Region> {
        let open = proptest::collection::vec(1u32..9, 0..5);
        let key = ("[a-c]", "[p-q]", 0u64..3, any::<bool>());
        let key = key.prop_map(|(id, public, made_at_ms, retired)| SealingKey {
            id,
            public,
            made_at_ms,
            retired,
        });
        let keys = proptest::collection::vec(key, 0..4);
        (1u32..4, 1u32..9, open, 1u32..3, "[a-c]{0,2}", keys).prop_map(
            |(home_epoch, current, open, lanes, home, keys)| {
                let home = (!home.is_empty()).then_some(home);
                let mut region = Region { home_epoch, current, open, lanes, home, ..japan() };
                keys.into_iter().for_each(|key| region.add_sealing_key(key));
                region
            },
        )
    }

    proptest! {
        #[test]
        fn whoever_merges_in_whatever_order_and_steps_gets_the_same(
            leaves in proptest::collection::vec(some_region(), 1..6),
            turn in 0usize..6,
            cut in 0usize..6,
        ) {
            let merged = Region::merged(&leaves).unwrap();
            let mut turned = leaves.clone();
            turned.rotate_left(turn % leaves.len());
            prop_assert_eq!(Region::merged(&turned), Some(merged.clone()));
            let (some, others) = turned.split_at(cut % leaves.len());
            let mut steps: Vec<Region> = Region::merged(some).into_iter().collect();
            steps.extend(Region::merged(others));
            prop_assert_eq!(Region::merged(&steps), Some(merged.clone()));
            turned.push(merged.clone());
            prop_assert_eq!(Region::merged(&turned), Some(merged.clone()));
            for key in leaves.iter().flat_map(|leaf| &leaf.sealing) {
                let kept = merged.sealing.iter().find(|kept| kept.id == key.id).unwrap();
                prop_assert!(kept.retired || !key.retired, "{kept:?} came back");
            }
            for leaf in &leaves {
                prop_assert!(leaf.home_epoch <= merged.home_epoch && leaf.current <= merged.current);
                prop_assert!(leaf.open.iter().all(|n| merged.open.contains(n)));
            }
            prop_assert!(merged.open.is_sorted() && merged.open.contains(&merged.current));
        }
    }
}
