//! The course of an engine, event by event.

use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

fn timing() -> Timing {
    Timing { failover_after: 60 * S, home_again: 30 * S, ..Timing::default() }
}

fn terms(home: &str, epoch: u32, refuges: &[&str]) -> Terms {
    let refuges = refuges.iter().map(|&name| name.to_owned()).collect();
    Terms { home: Some(home.to_owned()), is_near: false, epoch, refuges }
}

fn at(cluster: &str, epoch: u32) -> Station {
    Station::Home { cluster: Some(cluster.to_owned()), epoch }
}

fn refuge(clusters: &[&str], epoch: u32) -> Station {
    Station::Refuge { clusters: clusters.iter().map(|&name| name.to_owned()).collect(), epoch }
}

fn course(terms: Terms) -> Course {
    let (course, begins) = Course::new(Duration::ZERO, terms, &timing());
    assert_eq!(begins, Action::Claim(course.current.clone()));
    course
}

#[test]
fn a_region_says_where_its_engines_should_be() {
    let region = Region {
        home: Some("tokyo".to_owned()),
        home_epoch: 3,
        hubs: vec!["virginia".to_owned(), "tokyo".to_owned(), "ireland".to_owned()],
        failover: Failover::Safe,
        ..Region::new("japan").unwrap()
    };
    assert_eq!(Terms::of(&region, None), terms("tokyo", 3, &["virginia", "ireland"]));
    let near = Terms { is_near: true, ..terms("tokyo", 3, &["virginia", "ireland"]) };
    assert_eq!(Terms::of(&region, Some("tokyo")), near, "the near one by its name");
    let waits = Region { failover: Failover::Never, ..region };
    assert_eq!(Terms::of(&waits, Some("ireland")), terms("tokyo", 3, &[]));
}

#[test]
fn a_move_is_followed_and_the_former_home_is_left() {
    let mut course = course(terms("tokyo", 1, &[]));
    let moved = course.hear_terms(S, terms("osaka", 3, &[])).unwrap();
    assert_eq!(moved, [Action::Leave(at("tokyo", 1)), Action::Claim(at("osaka", 3))]);
    assert_eq!(course.hear_terms(2 * S, terms("osaka", 3, &[])).unwrap(), []);
    // Wiped, and made anew in the same cluster; the first stay is not over yet.
    let anew = course.hear_terms(3 * S, terms("osaka", 5, &[])).unwrap();
    assert_eq!(
        anew,
        [
            Action::Leave(at("tokyo", 1)),
            Action::Leave(at("osaka", 3)),
            Action::Claim(at("osaka", 5))
        ]
    );
    course.ended(&at("tokyo", 1));
    course.ended(&at("osaka", 3));
    let back = course.hear_terms(4 * S, terms("tokyo", 7, &[])).unwrap();
    assert_eq!(back, [Action::Leave(at("osaka", 5)), Action::Claim(at("tokyo", 7))]);
}

#[test]
fn a_document_that_is_older_or_names_two_homes_of_one_epoch_is_not_followed() {
    let mut course = course(terms("tokyo", 3, &["osaka"]));
    let earlier = course.hear_terms(S, terms("osaka", 1, &[])).unwrap_err();
    assert_eq!(earlier, NotFollowed::Earlier { heard: 1, known: 3 });
    let same = course.hear_terms(S, terms("osaka", 3, &[])).unwrap_err();
    assert_eq!(same, NotFollowed::SameEpoch { heard: "osaka".to_owned(), epoch: 3 });
    assert_eq!(course.current, at("tokyo", 3));
    // Nor is what else they say.
    assert_eq!(course.terms.refuges, ["osaka"]);
}

#[test]
fn a_home_that_gets_a_name_is_no_other_home() {
    let unnamed = Terms { home: None, is_near: true, ..terms("", 1, &[]) };
    let mut course = course(unnamed);
    let named = Terms { is_near: true, ..terms("tokyo", 1, &["osaka"]) };
    assert_eq!(course.hear_terms(S, named).unwrap(), []);
    assert_eq!(course.terms.refuges, ["osaka"]);
    assert!(course.hear_terms(S, terms("osaka", 1, &[])).is_err());
}

#[test]
fn a_home_that_does_not_answer_for_long_is_left_for_a_hub_until_it_answers_for_a_while() {
    let mut course = course(terms("tokyo", 1, &["osaka"]));
    assert_eq!(course.hear_home(S, true), []);
    assert_eq!(course.due(), None);
    // It comes and goes.
    assert_eq!(course.hear_home(10 * S, false), []);
    assert_eq!(course.due(), Some(70 * S));
    assert_eq!(course.hear_home(69 * S, true), []);
    assert_eq!(course.hear_home(70 * S, false), []);
    assert_eq!(course.hear_home(129 * S, false), []);
    assert_eq!(course.due(), Some(130 * S));
    let goes = course.tick(130 * S);
    assert_eq!(goes, [Action::Rest(at("tokyo", 1)), Action::Claim(refuge(&["osaka"], 2))]);
    assert_eq!(course.tick(900 * S), []);
    assert_eq!(course.due(), None);
    // And comes back, for a moment and then for good.
    assert_eq!(course.hear_home(1000 * S, true), []);
    assert_eq!(course.due(), Some(1030 * S));
    assert_eq!(course.hear_home(1029 * S, false), []);
    assert_eq!(course.hear_home(1030 * S, true), []);
    assert_eq!(course.hear_home(1059 * S, true), []);
    let returns = course.hear_home(1060 * S, true);
    assert_eq!(returns, [Action::Rest(refuge(&["osaka"], 2)), Action::Claim(at("tokyo", 1))]);
    // What rests and is wanted again is no former station any more.
    assert_eq!(course.former, [refuge(&["osaka"], 2)]);
    course.hear_home(1061 * S, false);
    let again = course.tick(1121 * S);
    assert_eq!(again, [Action::Rest(at("tokyo", 1)), Action::Claim(refuge(&["osaka"], 2))]);
}

#[test]
fn a_home_that_never_answered_is_waited_for_as_long() {
    let mut course = course(terms("tokyo", 1, &["osaka"]));
    assert_eq!(course.hear_home(59 * S, false), []);
    assert_eq!(course.hear_home(60 * S, false).len(), 2);
    let mut waits = Course::new(S, terms("tokyo", 1, &[]), &timing()).0;
    assert_eq!((waits.hear_home(900 * S, false), waits.due()), (vec![], None));
}

#[test]
fn a_move_ends_a_refuge_also_when_the_hub_becomes_the_home() {
    let mut course = course(terms("tokyo", 1, &["osaka", "nagoya"]));
    course.tick(60 * S);
    let moved = course.hear_terms(61 * S, terms("osaka", 3, &["nagoya"])).unwrap();
    assert_eq!(
        moved,
        [
            Action::Leave(at("tokyo", 1)),
            Action::Leave(refuge(&["osaka", "nagoya"], 2)),
            Action::Claim(at("osaka", 3))
        ]
    );
    assert_eq!(course.due(), Some(121 * S), "the new home has its time too");
}

#[test]
fn who_may_not_fail_over_any_more_goes_home_and_other_hubs_are_gone_to() {
    let mut course = course(terms("tokyo", 1, &["osaka"]));
    course.tick(60 * S);
    let others = course.hear_terms(61 * S, terms("tokyo", 1, &["nagoya"])).unwrap();
    assert_eq!(
        others,
        [Action::Rest(refuge(&["osaka"], 2)), Action::Claim(refuge(&["nagoya"], 2))]
    );
    let home = course.hear_terms(62 * S, terms("tokyo", 1, &[])).unwrap();
    assert_eq!(home, [Action::Rest(refuge(&["nagoya"], 2)), Action::Claim(at("tokyo", 1))]);
}

#[derive(Debug, Clone)]
enum Event {
    Home(bool),
    Terms(u8, u32, bool),
    Tick,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any::<bool>().prop_map(Event::Home),
        (0_u8..3, 0_u32..4, any::<bool>())
            .prop_map(|(home, up, safe)| Event::Terms(home, up, safe)),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Whatever happens: one station claims, it is the last one that was told to, its epoch never falls below that of a
    /// home that was followed, and a home of one epoch never changes.
    #[test]
    fn there_is_one_station_and_epochs_do_not_fall(
        events in proptest::collection::vec((0_u64..50, event()), 1..60),
    ) {
        let names = ["tokyo", "osaka", "nagoya"];
        let (mut course, mut now) = (course(terms("tokyo", 1, &["osaka"])), Duration::ZERO);
        let mut claims = vec![course.current.clone()];
        let (mut epoch, mut homes) = (1, std::collections::BTreeMap::new());
        for (seconds, event) in events {
            now += Duration::from_secs(seconds);
            // As the driver does.
            let mut actions = course.tick(now);
            actions.extend(match event {
                Event::Home(answers) => course.hear_home(now, answers),
                Event::Tick => course.tick(now),
                Event::Terms(home, up, safe) => {
                    let home = names[usize::from(home)];
                    let hubs: Vec<&str> = names.into_iter().filter(|name| *name != home).collect();
                    let heard = terms(home, (epoch + up).max(1) - 1, if safe { &hubs } else { &[] });
                    course.hear_terms(now, heard).unwrap_or_default()
                }
            });
            for action in actions {
                match action {
                    Action::Claim(station) => {
                        prop_assert!(claims.is_empty(), "{claims:?} and {station:?}");
                        claims.push(station);
                    }
                    Action::Rest(station) | Action::Leave(station) => {
                        claims.retain(|claims| *claims != station);
                    }
                }
            }
            prop_assert_eq!(&claims, std::slice::from_ref(&course.current));
            prop_assert!(course.terms.epoch >= epoch);
            epoch = course.terms.epoch;
            if let Station::Home { cluster, epoch } = &course.current {
                let first = homes.entry(*epoch).or_insert_with(|| cluster.clone());
                prop_assert_eq!(&*first, cluster);
            }
            prop_assert!(course.due().is_none_or(|due| due > now), "{:?} is past", course.due());
        }
    }
}
