//! Whatever the clusters and regions are: what is written arrives where it is needed, and nothing goes round.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 5] = ["frankfurt", "oregon", "tokyo", "virginia", "zurich"];

fn cluster(name: &str) -> Cluster {
    Cluster::new(name, &format!("http://{name}:5984"), None).unwrap()
}

fn region(name: &str, home: &str, hubs: &[&str]) -> Region {
    let hubs = hubs.iter().map(|&hub| hub.to_owned()).collect();
    Region { home: Some(home.to_owned()), hubs, ..Region::new(name).unwrap() }
}

/// Where a document of this kind comes to, that was written to a database of a cluster.
fn reach(plan: &Plan, database: &str, kind: &str, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::from([from.to_owned()]);
    loop {
        let next: BTreeSet<String> = plan
            .replications
            .iter()
            .filter(|one| one.database == database && one.carries.takes(kind))
            .filter(|one| reached.contains(&one.from) && !reached.contains(&one.to))
            .map(|one| one.to.clone())
            .collect();
        if next.is_empty() {
            return reached;
        }
        reached.extend(next);
    }
}

#[test]
fn a_home_and_a_hub() {
    let clusters = ["tokyo", "virginia"].map(cluster);
    let japan = region("japan", "tokyo", &["virginia"]);
    let plan = plan(&clusters, std::slice::from_ref(&japan));
    let names: Vec<&str> = plan.databases["virginia"].iter().map(|one| one.name.as_str()).collect();
    let wanted = [
        "blitz",
        "blitz-accounts",
        "blitz-audit",
        "blitz-beats-japan",
        "blitz-engines-japan",
        "blitz-jobs-japan-1",
        "blitz-out-japan-1",
    ];
    assert_eq!(names, wanted);
    assert_eq!(plan.databases["virginia"], plan.databases["tokyo"]);
    let shown: Vec<(String, Carries)> =
        plan.replications.iter().map(|one| (one.id.clone(), one.carries)).collect();
    let wanted = [
        ("blitz:blitz-accounts:tokyo>virginia", Carries::All),
        ("blitz:blitz-accounts:virginia>tokyo", Carries::All),
        ("blitz:blitz-audit:tokyo>virginia", Carries::All),
        ("blitz:blitz-audit:virginia>tokyo", Carries::All),
        ("blitz:blitz-engines-japan:tokyo>virginia", Carries::All),
        ("blitz:blitz-jobs-japan-1:tokyo>virginia", Carries::All),
        ("blitz:blitz-jobs-japan-1:virginia>tokyo", Carries::Asked),
        ("blitz:blitz-out-japan-1:tokyo>virginia", Carries::All),
        ("blitz:blitz:tokyo>virginia", Carries::All),
        ("blitz:blitz:virginia>tokyo", Carries::All),
    ];
    assert_eq!(shown, wanted.map(|(id, carries)| (id.to_owned(), carries)));
    assert!(plan.replications.iter().all(|one| one.runs_on == "tokyo"));
    assert_eq!((plan.running("tokyo"), plan.running("virginia")), (10, 0));
    assert_eq!(plan.of_region("japan").replications.len(), 4);
}

#[test]
fn what_was_done_at_a_hub_comes_back_where_engines_may_have_been() {
    let clusters = ["tokyo", "virginia"].map(cluster);
    let japan = region("japan", "tokyo", &["virginia"]);
    for (japan, wanted) in [
        (japan.clone(), false),
        (Region { failover: Failover::Safe, ..japan.clone() }, true),
        (Region { home_epoch: 3, ..japan }, true),
    ] {
        let plan = plan(&clusters, std::slice::from_ref(&japan));
        for (database, kind) in [("blitz-jobs-japan-1", "run"), ("blitz-out-japan-1", "out")] {
            let reached = reach(&plan, database, kind, "virginia");
            assert_eq!(reached.contains("tokyo"), wanted, "{database} {japan:?}");
        }
    }
}

#[test]
fn a_document_of_a_replication_is_known_by_its_id() {
    let id = replication_id("blitz-jobs-japan-12", "tokyo", "us-east");
    assert_eq!(parse_replication_id(&id), Some(("blitz-jobs-japan-12", "tokyo", "us-east")));
    assert_eq!(parse_replication_id("blitz:blitz:a>b"), Some(("blitz", "a", "b")));
    for other in ["nightly", "blitz:", "blitz:blitz-jobs-japan-1", "blitz:x:a-b"] {
        assert_eq!(parse_replication_id(other), None, "{other}");
    }
}

#[test]
fn a_cluster_that_would_run_too_many_is_told() {
    let clusters = ["tokyo", "virginia"].map(cluster);
    let mut japan = region("japan", "tokyo", &["virginia"]);
    japan.open = (1..=165).collect();
    let japans = [japan];
    assert!(plan(&clusters, &japans).crowded("tokyo", 502).is_none());
    let crowded = plan(&clusters, &japans).crowded("tokyo", MAX_JOBS).unwrap();
    assert_eq!(
        crowded.to_string(),
        "cluster 'tokyo' has 502 replications to run and runs 500 at once: they take turns of a minute and more; raise \
         max_jobs in the section [replicator] of its configuration to 502 or more, or give its regions fewer hubs, fewer \
         lanes or a shorter --keep"
    );
}

#[test]
fn clusters_without_a_region_between_them_share_what_is_everywhere() {
    let clusters = NAMES.map(cluster);
    let regions = [region("japan", "tokyo", &["zurich"]), region("virginia", "virginia", &[])];
    let plan = plan(&clusters, &regions);
    for (from, (database, _)) in NAMES.iter().zip(EVERYWHERE.iter().cycle()) {
        assert_eq!(reach(&plan, database, "any", from).len(), NAMES.len(), "{database} {from}");
    }
    // A tree, both ways: no link more than it takes.
    assert_eq!(
        plan.replications.iter().filter(|one| one.region.is_none()).count(),
        8 * EVERYWHERE.len()
    );
}

fn regions() -> impl Strategy<Value = Vec<Region>> {
    let of = (0..NAMES.len() + 1, proptest::collection::vec(0..NAMES.len() + 1, 0..4))
        .prop_flat_map(|(home, hubs)| {
            let open = proptest::collection::btree_set(1..9_u32, 1..4);
            (Just(home), Just(hubs), open, any::<bool>(), 1..4_u32)
        })
        .prop_map(|(home, hubs, open, safe, epoch)| {
            // A number too large is a cluster that nobody knows.
            let name = |index: usize| NAMES.get(index).copied().unwrap_or("atlantis").to_owned();
            Region {
                home: (home != 2).then(|| name(home)),
                hubs: hubs.into_iter().map(name).collect(),
                open: open.into_iter().collect(),
                failover: if safe { Failover::Safe } else { Failover::Never },
                home_epoch: epoch,
                ..Region::new("r").unwrap()
            }
        });
    proptest::collection::vec(of, 0..5).prop_map(|mut regions| {
        for (index, region) in regions.iter_mut().enumerate() {
            region.name = format!("r{index}");
        }
        regions
    })
}

proptest! {
    #[test]
    fn everything_arrives_and_nothing_more(regions in regions(), known in 1..=NAMES.len()) {
        let clusters: Vec<Cluster> = NAMES[..known].iter().map(|name| cluster(name)).collect();
        let plan = plan(&clusters, &regions);
        let is_known = |name: &str| NAMES[..known].contains(&name);
        let stands = |at: &str, database: &str| {
            plan.databases[at].iter().any(|one| one.name == database)
        };
        for region in &regions {
            let Some(home) = region.home.as_deref().filter(|home| is_known(home)) else { continue };
            let hubs: BTreeSet<&str> = hubs(region).filter(|hub| is_known(hub)).collect();
            let all: BTreeSet<String> =
                hubs.iter().copied().chain([home]).map(str::to_owned).collect();
            for database in databases(region) {
                for at in &all {
                    prop_assert!(stands(at, &database.name), "{} {}", at, database.name);
                }
            }
            for jobs in region.jobs_databases() {
                for at in &all {
                    for kind in ASKED {
                        prop_assert!(reach(&plan, &jobs, kind, at).contains(home));
                    }
                    if comes_back(region) {
                        prop_assert!(reach(&plan, &jobs, "run", at).contains(home));
                    } else if at != home {
                        prop_assert_eq!(reach(&plan, &jobs, "run", at).len(), 1);
                    }
                }
                for kind in ["run", "start", "ready", "go", "spec", "cancel"] {
                    prop_assert_eq!(&reach(&plan, &jobs, kind, home), &all);
                }
            }
            for output in region.output_databases() {
                prop_assert_eq!(&reach(&plan, &output, "out", home), &all);
            }
            prop_assert_eq!(&reach(&plan, &region.engines_database(), "engine", home), &all);
            prop_assert_eq!(reach(&plan, &region.beats_database(), "beat", home).len(), 1);
        }
        for name in &NAMES[..known] {
            for (database, _) in EVERYWHERE {
                prop_assert!(stands(name, database), "{} {}", name, database);
                prop_assert_eq!(reach(&plan, database, "any", name).len(), known);
            }
        }
        let ids: BTreeSet<&str> = plan.replications.iter().map(|one| one.id.as_str()).collect();
        prop_assert_eq!(ids.len(), plan.replications.len());
        for one in &plan.replications {
            prop_assert_ne!(&one.from, &one.to);
            prop_assert!(one.runs_on == one.from || one.runs_on == one.to);
            prop_assert!(stands(&one.from, &one.database) && stands(&one.to, &one.database));
            prop_assert!(!one.database.starts_with("blitz-beats"));
            let parsed = parse_replication_id(&one.id);
            prop_assert_eq!(parsed, Some((&*one.database, &*one.from, &*one.to)));
        }
        let mut turned = regions.clone();
        turned.reverse();
        prop_assert_eq!(super::plan(&clusters, &turned), plan);
    }
}
