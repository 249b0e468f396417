//! Where a region's documents are written and read by this gateway: its home, its hubs, and which of them it can enter. Pure.

use blitz_jobs::region::Region;

use super::sites::{Outage, Site, Sites};

/// The clusters of one region that this gateway can enter, as they are at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The home, when it can be entered.
    pub(crate) home: Option<Site>,
    /// Since when the home does not answer; `None` also when it cannot be entered, since nobody asks it then.
    pub(crate) outage: Option<Outage>,
    /// The best first: where the region is followed and read, and where else. Who was away a moment ago comes after who was
    /// not, so that nobody moves for a home that comes and goes.
    pub(crate) reading: Vec<Site>,
    /// Where new jobs go, the best first: those that answer. All, when none does.
    pub(crate) writing: Vec<Site>,
    /// Whether one of `writing` is known to answer.
    pub(crate) is_there: bool,
}

impl Choice {
    /// `site` says which cluster of a name can be entered; no name is the near one.
    pub(super) fn of(
        region: &Region,
        sites: &Sites,
        site: impl Fn(Option<&str>) -> Option<Site>,
    ) -> Self {
        let home = site(region.home.as_deref());
        let hubs = || region.hubs.iter().filter_map(|hub| site(Some(hub)));
        // The nearest copy before the others.
        let near = hubs().find(|hub| *hub == Site::NEAR);
        let mut all: Vec<Site> = Vec::new();
        for place in home.into_iter().chain(near).chain(hubs()) {
            if !all.contains(&place) {
                all.push(place);
            }
        }
        let is_up = |place: &Site| sites.outage(*place).is_none();
        let mut reading = all.clone();
        // Stable: the order of preference stays within each kind.
        reading.sort_by_key(|place| match (is_up(place), sites.is_steady(*place)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        });
        let up: Vec<Site> = all.iter().copied().filter(is_up).collect();
        let is_there = !up.is_empty();
        Self {
            home,
            outage: home.and_then(|home| sites.outage(home)),
            reading,
            writing: if is_there { up } else { all },
            is_there,
        }
    }

    /// Where the region is followed; `None` when none of its clusters can be entered.
    pub(crate) fn best(&self) -> Option<Site> {
        self.reading.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reach::sites::{Now, Patience, Sign};

    /// Clusters that can be entered: `near` first.
    const NAMES: [&str; 3] = ["near", "tokyo", "oslo"];

    fn region(home: Option<&str>, hubs: &[&str]) -> Region {
        Region {
            home: home.map(str::to_owned),
            hubs: hubs.iter().map(|hub| (*hub).to_owned()).collect(),
            ..Region::new("japan").unwrap()
        }
    }

    fn sites() -> Sites {
        let second = Duration::from_secs(1);
        let patience = Patience { idle: second * 5, again: second, home_again: second * 10 };
        Sites::new(NAMES.len(), patience, Duration::ZERO)
    }

    fn names(places: &[Site]) -> Vec<&'static str> {
        places.iter().map(|place| NAMES[place.0]).collect()
    }

    fn choose(region: &Region, sites: &Sites) -> Choice {
        Choice::of(region, sites, |name| match name {
            None => Some(Site::NEAR),
            Some(name) => NAMES.iter().position(|known| *known == name).map(Site),
        })
    }

    fn hear(sites: &mut Sites, seconds: u64, name: &str, sign: Sign) {
        let at = NAMES.iter().position(|known| *known == name).unwrap();
        let clock = Duration::from_secs(seconds);
        sites.hear(Now { clock, day_ms: seconds * 1000 }, Site(at), sign);
        sites.tick(clock);
    }

    #[test]
    fn home_first_then_the_near_copy_then_other_hubs_that_can_be_entered() {
        for (home, hubs, order) in [
            (None, &[][..], &["near"][..]),
            (Some("tokyo"), &[], &["tokyo"]),
            (Some("tokyo"), &["oslo", "near"], &["tokyo", "near", "oslo"]),
            (Some("tokyo"), &["berlin", "oslo"], &["tokyo", "oslo"]),
            (Some("berlin"), &["oslo", "near"], &["near", "oslo"]),
            (Some("near"), &["tokyo", "near"], &["near", "tokyo"]),
            (Some("berlin"), &["lima"], &[]),
        ] {
            let choice = choose(&region(home, hubs), &sites());
            assert_eq!(names(&choice.reading), order, "{home:?} {hubs:?}");
            assert_eq!(names(&choice.writing), order, "{home:?} {hubs:?}");
            assert_eq!(choice.home.is_some(), home != Some("berlin"));
        }
    }

    #[test]
    fn a_home_that_comes_and_goes_moves_nobody_and_takes_jobs_whenever_it_answers() {
        let (japan, mut sites) = (region(Some("tokyo"), &["near", "oslo"]), sites());
        hear(&mut sites, 1, "tokyo", Sign::Silent);
        let choice = choose(&japan, &sites);
        assert_eq!(names(&choice.reading), ["near", "oslo", "tokyo"]);
        assert_eq!(names(&choice.writing), ["near", "oslo"]);
        assert_eq!(choice.outage.unwrap().since_ms, 1000);
        hear(&mut sites, 5, "tokyo", Sign::Identified(None));
        let choice = choose(&japan, &sites);
        assert_eq!(names(&choice.reading), ["near", "oslo", "tokyo"], "not yet");
        assert_eq!(names(&choice.writing), ["tokyo", "near", "oslo"]);
        assert_eq!(choice.outage, None);
        // The place where it is followed is lost before that: home is better than nothing.
        let mut lost = sites;
        hear(&mut lost, 6, "near", Sign::Silent);
        hear(&mut lost, 6, "oslo", Sign::Silent);
        assert_eq!(names(&choose(&japan, &lost).reading), ["tokyo", "near", "oslo"]);
        hear(&mut lost, 7, "near", Sign::Identified(None));
        assert_eq!(names(&choose(&japan, &lost).reading), ["tokyo", "near", "oslo"]);
        hear(&mut lost, 15, "tokyo", Sign::Answered);
        assert_eq!(names(&choose(&japan, &lost).reading), ["tokyo", "near", "oslo"]);
    }

    #[test]
    fn when_none_answers_all_are_tried() {
        let (japan, mut sites) = (region(Some("tokyo"), &["near"]), sites());
        hear(&mut sites, 1, "tokyo", Sign::Silent);
        hear(&mut sites, 1, "near", Sign::Silent);
        let choice = choose(&japan, &sites);
        assert_eq!(names(&choice.writing), ["tokyo", "near"]);
        assert!(!choice.is_there);
    }
}
