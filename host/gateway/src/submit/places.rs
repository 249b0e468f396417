//! Where a request's tasks run, and which version of the plugin: the caller's words and the catalog.

use std::sync::Arc;

use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::region::Region;

use super::Request;
use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::failure::Failure;
use crate::stores::Stores;

/// One task: where, and what.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) asked: String,
    pub(super) region: Region,
    pub(super) plugin: Arc<PluginDocument>,
}

/// The regions that the caller's words mean, each once, with the word and the version that runs there; and what is to be said of
/// that.
pub(super) fn places(
    stores: &Stores,
    request: &Request,
    caller: &Caller,
) -> Result<(Vec<Place>, Vec<String>), Failure> {
    let catalog = &stores.catalog;
    let place = |asked: &str, region: Region| {
        Ok(Place {
            asked: asked.to_owned(),
            plugin: chosen(catalog, request, &region, caller)?,
            region,
        })
    };
    let mut places: Vec<Place> = Vec::new();
    let mut notes = Vec::new();
    // Gives the word for the region that was there before.
    let mut add = |place: Place| -> Option<String> {
        let known = places.iter().find(|known| known.region.name == place.region.name);
        let known = known.map(|known| known.asked.clone());
        if known.is_none() {
            places.push(place);
        }
        known
    };
    for word in &request.regions {
        match word.as_str() {
            "all" => {
                let (able, left_out) = with_engines(catalog, caller);
                for region in able {
                    add(place(&region.name.clone(), region)?);
                }
                notes.extend(idle(&left_out));
            }
            "any" => {
                add(first_able(stores, request, word, catalog.regions(caller), caller)?);
            }
            word if word.contains('|') => {
                let regions = word.split('|').map(|word| catalog.region(word, caller));
                let regions = regions.collect::<Result<_, _>>()?;
                add(first_able(stores, request, word, regions, caller)?);
            }
            word => {
                let region = catalog.region(word, caller)?;
                let name = region.name.clone();
                // The same word twice surprises nobody.
                let other = add(place(word, region)?).filter(|other| other != word);
                notes.extend(other.map(|other| {
                    format!("'{other}' and '{word}' are both region {name}, which counts once")
                }));
            }
        }
    }
    if places.is_empty() {
        let names: Vec<String> = catalog.regions(caller).into_iter().map(|one| one.name).collect();
        return Err(Failure::bad_request(format!(
            "no region was named; known: {}",
            names.join(", ")
        )));
    }
    Ok((places, notes))
}

/// All regions with an engine, and the names of the others; where none has one, all: the job waits.
fn with_engines(catalog: &Catalog, caller: &Caller) -> (Vec<Region>, Vec<String>) {
    let has_engine = |region: &Region| catalog.capacity(&region.name).0 > 0;
    let (able, idle): (Vec<Region>, Vec<Region>) =
        catalog.regions(caller).into_iter().partition(has_engine);
    if able.is_empty() {
        return (idle, Vec::new());
    }
    (able, idle.into_iter().map(|region| region.name).collect())
}

/// What is said of regions that `all` passed over.
fn idle(names: &[String]) -> Option<String> {
    let list = names.join(", ");
    match names.len() {
        0 => None,
        1 => Some(format!("region {list} has no engine and was left out")),
        _ => Some(format!("regions {list} have no engine and were left out")),
    }
}

/// The version that a region runs: the newest that it may have, unless one was asked for.
fn chosen(
    catalog: &Catalog,
    request: &Request,
    region: &Region,
    caller: &Caller,
) -> Result<Arc<PluginDocument>, Failure> {
    let name = std::slice::from_ref(&region.name);
    let plugin = catalog.plugin(&request.plugin, request.version.as_deref(), name, caller)?;
    match &request.sha256 {
        Some(pinned) if !pinned.eq_ignore_ascii_case(&plugin.sha256) => {
            let (label, found) = (plugin.label(), &plugin.sha256);
            let reason = format!("the sha256 of {label} is {found}, and {pinned} was asked for");
            Err(Failure::conflict("other_digest", reason))
        }
        _ => Ok(Arc::new(plugin)),
    }
}

/// Of the regions that may run the plugin the first whose home answers and in which an engine lives; else the first whose home
/// answers; last the others, first those with an engine. The job waits then.
fn first_able(
    stores: &Stores,
    request: &Request,
    word: &str,
    regions: Vec<Region>,
    caller: &Caller,
) -> Result<Place, Failure> {
    let mut able: Option<((bool, bool), Place)> = None;
    let mut refused = None;
    for region in regions {
        match chosen(&stores.catalog, request, &region, caller) {
            Ok(plugin) => {
                let choice = stores.reach.choice(&region);
                // One that cannot be entered is no better than one that does not answer.
                let is_away = choice.outage.is_some() || choice.reading.is_empty();
                let is_idle = stores.catalog.capacity(&region.name).0 == 0;
                let place = Place { asked: region.name.clone(), region, plugin };
                if able.as_ref().is_none_or(|(best, _)| (is_away, is_idle) < *best) {
                    able = Some(((is_away, is_idle), place));
                }
            }
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    let nowhere = || Failure::bad_request(format!("there is no region for '{word}'"));
    able.map(|(_, place)| place).ok_or_else(|| refused.unwrap_or_else(nowhere))
}

/// The names of the regions that words mean, for who chooses a version before submitting. Where the gateway
/// chooses the region (`any`, `a|b`) it does so for the version, and so the word asks for none.
pub(crate) fn regions_of(
    catalog: &Catalog,
    words: &[&str],
    caller: &Caller,
) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for word in words {
        match *word {
            "all" => {
                names.extend(with_engines(catalog, caller).0.into_iter().map(|region| region.name));
            }
            "any" => {}
            word if word.contains('|') => {}
            word => names.push(catalog.region(word, caller)?.name),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use blitz_couchdb::Client;
    use blitz_jobs::cluster::Clusters;
    use blitz_jobs::timing::Timing;
    use serde_json::json;

    use super::*;
    use crate::reach::Reach;

    /// Regions with an engine each but `mars`; `oslo` and `berlin` have their home in a cluster `far`.
    fn stores() -> Stores {
        let client = |port: u16| Client::new(format!("http://127.0.0.1:{port}")).unwrap();
        let others = BTreeMap::from([("far".to_owned(), client(2))]);
        let clusters = Clusters::new("near", client(1), others);
        let stores = Stores {
            reach: Reach::new(clusters, &Timing::default()),
            catalog: Catalog::new(Duration::from_secs(60)),
        };
        let region = |name: &str, home: &str, aliases: &[&str]| {
            let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
            let home = Some(home.to_owned());
            stores.catalog.hear_region(Region { home, aliases, ..Region::new(name).unwrap() });
        };
        region("berlin", "far", &["nrt", "oslo"]);
        region("japan", "near", &["tokyo", "nrt"]);
        region("mars", "near", &[]);
        region("oslo", "far", &[]);
        for region in ["berlin", "japan", "oslo"] {
            let engine = json!({"kind": "engine", "blitz": "0.1.0", "engine": "e", "region": region,
                "incarnation": "01".repeat(16), "slots": 1, "plugins": [], "counter": 1});
            stores.catalog.hear_engine(serde_json::from_value(engine).unwrap());
        }
        let manifest =
            json!({"name": "p", "version": "0.1.0", "summary": "s", "contract": "0.1.0"});
        let plugin = PluginDocument::new(serde_json::from_value(manifest).unwrap(), b"component");
        stores.catalog.hear_control(&plugin.document_id(), json!(plugin));
        stores
    }

    /// What words mean: the regions with the word for each, and the notes.
    fn meant(stores: &Stores, words: &[&str]) -> (Vec<String>, Vec<String>) {
        let request = json!({"plugin": "p", "regions": words});
        let request: Request = serde_json::from_value(request).unwrap();
        let (places, notes) = places(stores, &request, &Caller::Operator).unwrap();
        let shown = |place: &Place| format!("{}={}", place.asked, place.region.name);
        (places.iter().map(shown).collect(), notes)
    }

    #[test]
    fn words_for_one_region_count_once_and_it_is_said() {
        let stores = stores();
        for (words, regions, note) in [
            (&["japan"][..], &["japan=japan"][..], None),
            (&["tokyo", "oslo"], &["tokyo=japan", "oslo=oslo"], None),
            (
                &["japan", "tokyo"],
                &["japan=japan"],
                Some("'japan' and 'tokyo' are both region japan, which counts once"),
            ),
            (
                &["tokyo", "japan"],
                &["tokyo=japan"],
                Some("'tokyo' and 'japan' are both region japan, which counts once"),
            ),
            (&["japan", "japan"], &["japan=japan"], None),
            (&["nrt"], &["nrt=berlin"], None),
            (&["mars"], &["mars=mars"], None),
        ] {
            let (meant, notes) = meant(&stores, words);
            assert_eq!(meant, regions, "{words:?}");
            assert_eq!(notes.first().map(String::as_str), note, "{words:?}");
        }
    }

    #[test]
    fn all_are_those_with_engines_and_the_others_are_named() {
        let stores = stores();
        let (regions, notes) = meant(&stores, &["all"]);
        assert_eq!(regions, ["berlin=berlin", "japan=japan", "oslo=oslo"]);
        assert_eq!(notes, ["region mars has no engine and was left out"]);
        assert_eq!(
            meant(&stores, &["japan", "all"]).0,
            ["japan=japan", "berlin=berlin", "oslo=oslo"]
        );
        assert_eq!(
            regions_of(&stores.catalog, &["all"], &Caller::Operator).unwrap(),
            ["berlin", "japan", "oslo"]
        );
    }

    #[test]
    fn a_region_that_is_not_for_a_tenant_is_not_there_for_it() {
        let stores = stores();
        let japan = stores.catalog.region_named("japan").unwrap();
        stores.catalog.hear_region(Region { access: vec!["acme".to_owned()], ..japan });
        let meant = |tenant: &str, words: &[&str]| {
            let caller = Caller::member(tenant, Default::default(), &[]);
            let request = json!({"plugin": "p", "regions": words});
            let request: Request = serde_json::from_value(request).unwrap();
            let places = places(&stores, &request, &caller).map(|(places, _)| places);
            let names = |places: Vec<Place>| places.into_iter().map(|p| p.region.name).collect();
            places.map(names).map_err(|failure| format!("{failure:?}"))
        };
        let own: Vec<String> = meant("acme", &["all"]).unwrap();
        assert_eq!(own, ["berlin", "japan", "oslo"]);
        assert_eq!(meant("other", &["all"]).unwrap(), ["berlin", "oslo"]);
        assert_eq!(meant("other", &["any"]).unwrap(), ["berlin"]);
        for words in [&["japan"][..], &["tokyo"], &["japan|oslo"]] {
            assert!(meant("acme", words).is_ok(), "{words:?}");
            let failure = meant("other", words).unwrap_err();
            assert!(failure.contains("unknown_region"), "{failure}");
            assert!(!failure.contains("\"japan\""), "neither listed nor suggested: {failure}");
        }
        // A word of its own and of another region means the other one.
        assert_eq!(meant("other", &["nrt"]).unwrap(), ["berlin"]);
        stores.reach.lose("far");
        assert_eq!(
            meant("other", &["any"]).unwrap(),
            ["mars"],
            "the last choice of those that are there"
        );
    }

    #[test]
    fn any_is_one_with_an_engine_whose_home_answers() {
        let stores = stores();
        assert_eq!(meant(&stores, &["any"]).0, ["berlin=berlin"]);
        assert_eq!(meant(&stores, &["mars|oslo"]).0, ["oslo=oslo"]);
        stores.reach.lose("far");
        assert_eq!(meant(&stores, &["any"]).0, ["japan=japan"]);
        assert_eq!(meant(&stores, &["oslo|mars"]).0, ["mars=mars"], "the last choice");
        assert_eq!(meant(&stores, &["oslo|berlin"]).0, ["oslo=oslo"], "it waits");
    }
}
