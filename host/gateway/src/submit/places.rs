//! Where a request's tasks run, and which version of the plugin: the caller's words and the catalog.

use std::sync::Arc;

use blitz_jobs::plugin::PluginDocument;
use blitz_jobs::region::Region;

use super::Request;
use crate::catalog::Catalog;
use crate::failure::Failure;

/// One task: where, and what.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) asked: String,
    pub(super) region: Region,
    pub(super) plugin: Arc<PluginDocument>,
}

/// The regions that the caller's words mean, each with the word and the version that runs there.
pub(super) fn places(catalog: &Catalog, request: &Request) -> Result<Vec<Place>, Failure> {
    let place = |asked: &str, region: Region| {
        Ok(Place { asked: asked.to_owned(), plugin: chosen(catalog, request, &region)?, region })
    };
    let mut places: Vec<Place> = Vec::new();
    for word in &request.regions {
        match word.as_str() {
            "all" => {
                for region in catalog.all_regions() {
                    places.push(place(&region.name.clone(), region)?);
                }
            }
            "any" => places.push(first_able(catalog, request, word, catalog.all_regions())?),
            word if word.contains('|') => {
                let regions = word.split('|').map(|word| catalog.region(word));
                let regions = regions.collect::<Result<_, _>>()?;
                places.push(first_able(catalog, request, word, regions)?);
            }
            word => places.push(place(word, catalog.region(word)?)?),
        }
    }
    if places.is_empty() {
        return Err(Failure::bad_request(format!(
            "no region was named; known: {}",
            catalog.region_names().join(", ")
        )));
    }
    Ok(places)
}

/// The version that a region runs: the newest that it may have, unless one was asked for.
fn chosen(
    catalog: &Catalog,
    request: &Request,
    region: &Region,
) -> Result<Arc<PluginDocument>, Failure> {
    let name = std::slice::from_ref(&region.name);
    let plugin = catalog.plugin(&request.plugin, request.version.as_deref(), name)?;
    match &request.sha256 {
        Some(pinned) if !pinned.eq_ignore_ascii_case(&plugin.sha256) => {
            let (label, found) = (plugin.label(), &plugin.sha256);
            let reason = format!("the sha256 of {label} is {found}, and {pinned} was asked for");
            Err(Failure::conflict("other_digest", reason))
        }
        _ => Ok(Arc::new(plugin)),
    }
}

/// The first region that may run the plugin and in which an engine lives; the first of all that may, when
/// there is none anywhere: the job waits.
fn first_able(
    catalog: &Catalog,
    request: &Request,
    word: &str,
    regions: Vec<Region>,
) -> Result<Place, Failure> {
    let mut waits = None;
    let mut refused = None;
    for region in regions {
        match chosen(catalog, request, &region) {
            Ok(plugin) => {
                let has_engine = catalog.capacity(&region.name).0 > 0;
                let place = Place { asked: region.name.clone(), region, plugin };
                if has_engine {
                    return Ok(place);
                }
                waits.get_or_insert(place);
            }
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    let nowhere = || Failure::bad_request(format!("there is no region for '{word}'"));
    waits.ok_or_else(|| refused.unwrap_or_else(nowhere))
}

/// The names of the regions that words mean, for who chooses a version before submitting. Where the gateway
/// chooses the region (`any`, `a|b`) it does so for the version, and so the word asks for none.
pub(crate) fn regions_of(catalog: &Catalog, words: &[&str]) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for word in words {
        match *word {
            "all" => names.extend(catalog.region_names()),
            "any" => {}
            word if word.contains('|') => {}
            word => names.push(catalog.region(word)?.name),
        }
    }
    Ok(names)
}
