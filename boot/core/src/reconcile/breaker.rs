//! The circuit breaker: when too much looks wrong at once, it is rather the sight that is wrong than the world.
//!
//! Credentials of another account, an engines' database that was made anew, a copy of it that stands still: each makes all
//! look dead, and none is a reason to end anything. What is explained does not count: an engine that said that it goes, an
//! instance that the provider itself says has ended.

use super::documents::{Ghost, Kind};
use super::machines::{Machine, Wrong};
use super::memory::Memory;
use super::rules::ms;
use super::{View, is_kept};

/// Why nothing may be done in this round, if so.
pub(super) fn holds(
    view: &View<'_>,
    memory: &Memory,
    machines: &[Machine<'_>],
    ghosts: &[Ghost<'_>],
) -> Option<String> {
    if view.rules.is_forced {
        return None;
    }
    let (region, place) = (&view.seen.region.name, &view.seen.region.place);
    let next = "look at the place and at the engines, then take --force for one round";
    let is_fresh = |id: &str| memory.silence(id) < ms(view.rules.engine_silent);
    let fresh = view.engines.values().filter(|one| !one.gone && is_fresh(&one.engine)).count();
    if fresh > 0 && !view.listed.values().any(|instance| view.is_ours(instance)) {
        return Some(format!(
            "region {region} is left alone: {place} lists no machine of it, and {fresh} engines are there: {next}"
        ));
    }
    let missing =
        ghosts.iter().filter(|ghost| ghost.kind != Kind::Left && !ghost.has_ended).count();
    let counted = || machines.iter().filter(|one| !is_kept(one.instance));
    let is_wrong =
        |one: &&Machine<'_>| one.wrong.is_some_and(|wrong| !matches!(wrong, Wrong::Left(_)));
    let lone = counted().filter(is_wrong).count();
    let (wrong, of) = (missing + lone, missing + counted().count());
    let is_share = wrong * 100 > view.rules.wrong_percent_max * of;
    if of >= view.rules.wrong_of_min && is_share {
        return Some(format!(
            "region {region} is left alone: {wrong} of {of} look wrong at once ({lone} machines of {place} without a living engine, {missing} engines without a machine), more than {} %: {next}",
            view.rules.wrong_percent_max
        ));
    }
    None
}
