//! Documents of engines whose instance is not there.

use super::*;

#[test]
fn a_document_goes_when_it_is_silent_and_its_instance_was_missing_twice() {
    let mut story = Story::new();
    story.join(registered("i-1"));
    story.rules.is_forced = true;
    assert_eq!(words(&story.pass(200)), [""; 0]);
    let round = story.once();
    let why = "it has no instance in 11 listings of us-east-1 in a row, and it was not rewritten for 3 min";
    let last = Sign { incarnation: "a".to_owned(), counter: 1, holds_jobs: false, is_beat: false };
    let (engine, why) = ("i-1".to_owned(), why.to_owned());
    assert_eq!(round.actions, [Action::RemoveDocument { engine, last, why }]);
}

#[test]
fn one_listing_is_not_enough_and_the_two_must_follow_each_other() {
    let mut story = Story::served();
    story.pass(240);
    let other = Instance { launched_ms: u64::MAX, ..instance("i-2") };
    let listed = std::mem::replace(&mut story.listing, Ok(Vec::new()));
    story.add(other.clone());
    assert_eq!(words(&story.once()), [""; 0], "a new one hides from a listing");
    story.listing = Err(ProviderError::Throttled("slower".to_owned()));
    assert_eq!(words(&story.once()), [""; 0]);
    story.listing = Ok(vec![other.clone()]);
    assert_eq!(
        words(&story.once()),
        [""; 0],
        "nothing was listed in between: it is the first again"
    );
    story.listing = listed;
    story.once();
    story.listing = Ok(vec![other]);
    assert_eq!(words(&story.once()), [""; 0], "it was there in between");
    assert_eq!(words(&story.once()), ["remove i-1"]);
}

#[test]
fn an_instance_that_has_ended_or_an_engine_that_went_is_the_same_and_quicker() {
    let mut story = Story::served();
    story.instance("i-1").state = InstanceState::Gone;
    story.pass_beating("i-1", 60);
    assert_eq!(words(&story.pass(180)), [""; 0]);
    let round = story.once();
    assert_eq!(words(&round), ["remove i-1"]);
    assert!(round.actions[0].why().starts_with("its instance has ended in"), "{:?}", round.actions);

    let mut story = Story::served();
    story.engine("i-1").gone = true;
    story.instance("i-1").state = InstanceState::Gone;
    assert_eq!(words(&story.once()), [""; 0]);
    let round = story.once();
    assert_eq!(words(&round), ["remove i-1"]);
    assert!(round.actions[0].why().ends_with("and it said that it goes"), "{:?}", round.actions);

    let mut story = Story::served();
    story.instance("i-1").state = InstanceState::Stopping;
    assert_eq!(words(&story.pass(3_600)), [""; 0], "it has not ended yet");
}

#[test]
fn where_somebody_lives_the_document_stays_and_that_is_said() {
    let mut story = Story::new();
    story.add(instance("i-2"));
    story.join(registered("i-1"));
    story.join(registered("i-2"));
    for seconds in (0..3_600).step_by(20) {
        story.engine("i-2").counter += 1;
        if seconds % 60 == 0 {
            story.engine("i-1").counter += 1;
        }
        let round = story.once();
        assert_eq!(words(&round), [""; 0]);
        let said = round.held.iter().filter(|held| held.contains("something lives there")).count();
        assert_eq!(said, usize::from(seconds >= 60), "at {seconds} s: {:?}", round.held);
        assert_eq!(round.capacity.unwrap().registered, 2);
    }
}

#[test]
fn the_document_of_an_instance_that_is_there_stays_whosever_it_is() {
    let mut story = Story::served();
    tags(story.instance("i-1")).clear();
    assert_eq!(words(&story.pass(7_200)), [""; 0]);
}
