//! Every sequence of replies to a write, and what follows.

use super::*;
use crate::JobId;
use crate::id::Incarnation;
use crate::run::Claim;

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

fn claimed(byte: u8) -> Run {
    let incarnation = Incarnation::from_random([byte; 16]);
    Run::Claimed { claim: Claim::first(1, &format!("e{byte}"), incarnation) }
}

fn lost(byte: u8) -> Run {
    let Run::Claimed { claim } = claimed(byte) else { unreachable!() };
    Run::Lost { claim: Some(claim), reason: "x".to_owned(), begun: true }
}

/// What one side of a conversation says, in short.
#[derive(Debug, Clone, Copy)]
enum Says {
    /// 201, 202, 409, no answer, never.
    Created,
    Accepted,
    Conflict,
    Unknown,
    Refused,
    /// No leaves, ours, another's that counts (by its hash), ours that counts beside another's, the one that is
    /// replaced, one that cannot be read, an end beside that.
    NoLeaf,
    Ours,
    Others,
    OursAndLoser,
    Replaced,
    Unreadable,
    EndAndUnreadable,
    /// No answer to a reading.
    NoReading,
    Removed,
}

use Says::*;

/// Ours is `5-m`: a leaf of a higher hash counts before it, and one of a lower does not.
fn reply(says: Says, run: &Run) -> Reply {
    let ours = || (revision("5-m"), run.clone());
    let leaves = |runs| Reply::Leaves(Some(Leaves { runs, ..Leaves::default() }));
    match says {
        Created => Reply::Put(PutReply::Created(revision("5-m"))),
        Accepted => Reply::Put(PutReply::Accepted(revision("5-m"))),
        Conflict => Reply::Put(PutReply::Conflict),
        Unknown => Reply::Put(PutReply::Unknown),
        Refused => Reply::Put(PutReply::Refused),
        NoLeaf => leaves(Vec::new()),
        Ours => leaves(vec![ours()]),
        Others => leaves(vec![ours(), (revision("5-z"), claimed(9))]),
        OursAndLoser => leaves(vec![ours(), (revision("5-a"), claimed(9))]),
        Replaced => leaves(vec![(revision("4-o"), claimed(1))]),
        Unreadable => {
            let unreadable = vec![revision("4-o")];
            Reply::Leaves(Some(Leaves { unreadable, ..Leaves::default() }))
        }
        EndAndUnreadable => Reply::Leaves(Some(Leaves {
            runs: vec![(revision("5-z"), lost(9))],
            unreadable: vec![revision("5-x")],
            start: None,
        })),
        NoReading => Reply::Leaves(None),
        Removed => Reply::Removed,
    }
}

/// Holds one conversation: what was asked, in short, and the decision.
fn talk(copies: u32, over: Option<&str>, run: &Run, replies: &[Says]) -> (String, Option<Answer>) {
    let over = over.map(revision);
    let (mut writing, mut ask) =
        Writing::begin(copies, over.clone(), run.clone(), Guards::default());
    let mut asked = Vec::new();
    for says in replies {
        asked.push(match &ask {
            Ask::Leaves => "leaves".to_owned(),
            Ask::AllLeaves => "all".to_owned(),
            Ask::Put { over: put_over, quorum } => {
                assert_eq!(*put_over, over, "a step replaces what it was made for");
                quorum.map_or("put".to_owned(), |w| format!("put w={w}"))
            }
            Ask::Remove(revision) => format!("remove {revision}"),
        });
        match writing.hear(reply(*says, run)) {
            Next::Ask(next) => ask = next,
            Next::Decided(answer) => return (asked.join(", "), Some(answer)),
        }
    }
    (asked.join(", "), None)
}

#[test]
fn what_follows_from_the_replies_to_a_claim_on_a_cluster() {
    let won = Some(Answer::Won(revision("5-m")));
    for (replies, asked, answer) in [
        (&[NoLeaf, Created][..], "leaves, put w=3", won.clone()),
        (&[NoLeaf, Accepted, Ours], "leaves, put w=3, all", won.clone()),
        (&[NoLeaf, Accepted, OursAndLoser], "leaves, put w=3, all", won.clone()),
        (
            &[NoLeaf, Accepted, Others, Removed],
            "leaves, put w=3, all, remove 5-m",
            Some(Answer::Lost),
        ),
        (
            &[NoLeaf, Accepted, EndAndUnreadable, Removed],
            "leaves, put w=3, all, remove 5-m",
            Some(Answer::Lost),
        ),
        (&[NoLeaf, Accepted, NoReading, Ours], "leaves, put w=3, all, leaves", won.clone()),
        (
            &[NoLeaf, Accepted, NoReading, NoReading],
            "leaves, put w=3, all, leaves",
            Some(Answer::Unknown),
        ),
        (&[NoLeaf, Accepted, NoLeaf], "leaves, put w=3, all", Some(Answer::Unknown)),
        (&[NoLeaf, Conflict, Others], "leaves, put w=3, all", Some(Answer::Lost)),
        // The conflict is with an earlier try of our own.
        (&[NoLeaf, Conflict, Ours], "leaves, put w=3, all", won.clone()),
        (
            &[NoLeaf, Conflict, NoReading, NoReading],
            "leaves, put w=3, all, leaves",
            Some(Answer::Lost),
        ),
        (&[NoLeaf, Conflict, Unreadable], "leaves, put w=3, all", Some(Answer::Lost)),
        (&[NoLeaf, Unknown, Ours], "leaves, put w=3, all", won.clone()),
        (&[NoLeaf, Unknown, Others], "leaves, put w=3, all", Some(Answer::Lost)),
        (&[NoLeaf, Unknown, NoLeaf], "leaves, put w=3, all", Some(Answer::Unknown)),
        (
            &[NoLeaf, Unknown, NoReading, NoReading],
            "leaves, put w=3, all, leaves",
            Some(Answer::Unknown),
        ),
        (&[NoLeaf, Unknown, Unreadable], "leaves, put w=3, all", Some(Answer::Unknown)),
        (&[NoLeaf, Refused], "leaves, put w=3", Some(Answer::Lost)),
        // Looking first: a leaf is there, ours of an earlier try, or one that cannot be read.
        (&[Others], "leaves", Some(Answer::Lost)),
        (&[Replaced], "leaves", Some(Answer::Lost)),
        (&[Ours, Ours], "leaves, all", won.clone()),
        (&[Ours, Others], "leaves, all", Some(Answer::Lost)),
        (&[Unreadable], "leaves", Some(Answer::Lost)),
        (&[EndAndUnreadable], "leaves", Some(Answer::Lost)),
        (&[NoReading, Created], "leaves, put w=3", won.clone()),
    ] {
        let found = talk(3, None, &claimed(2), replies);
        assert_eq!(found, (asked.to_owned(), answer), "{replies:?}");
    }
}

#[test]
fn what_follows_from_the_replies_to_a_later_step_on_a_cluster() {
    let won = Some(Answer::Won(revision("5-m")));
    for (replies, asked, answer) in [
        (&[Replaced, Created][..], "leaves, put", won.clone()),
        (&[Replaced, Accepted, Ours], "leaves, put, all", won.clone()),
        // An end counts before any claim, whatever its hash.
        (&[Replaced, Accepted, Others], "leaves, put, all", won.clone()),
        (&[Replaced, Unknown, Replaced], "leaves, put, all", Some(Answer::Unknown)),
        (&[Replaced, Conflict, Replaced], "leaves, put, all", Some(Answer::Unknown)),
        (&[Replaced, Conflict, EndAndUnreadable], "leaves, put, all", Some(Answer::Lost)),
        (&[Replaced, Conflict, NoLeaf], "leaves, put, all", Some(Answer::Lost)),
        (&[Replaced, Unknown, NoLeaf], "leaves, put, all", Some(Answer::Unknown)),
        // Without a reading it would be stored on its branch, though another may count.
        (&[NoReading], "leaves", Some(Answer::Unknown)),
        (&[EndAndUnreadable, EndAndUnreadable], "leaves, all", Some(Answer::Lost)),
        // One copy alone may have the leaf that counts.
        (&[EndAndUnreadable, Replaced, Created], "leaves, all, put", won.clone()),
        (&[EndAndUnreadable, NoReading], "leaves, all", Some(Answer::Lost)),
        (&[NoLeaf, Conflict, NoLeaf], "leaves, put, all", Some(Answer::Lost)),
        // What cannot be read is ended over itself.
        (&[Unreadable, Created], "leaves, put", won.clone()),
    ] {
        let found = talk(3, Some("4-o"), &lost(1), replies);
        assert_eq!(found, (asked.to_owned(), answer), "{replies:?}");
    }
    let found = talk(3, Some("4-other"), &lost(1), &[Unreadable]);
    assert_eq!(found.1, Some(Answer::Lost), "another leaf cannot be read");
}

/// All copies took it, and know of another claim over the same leaf.
#[test]
fn a_take_over_is_looked_at_again() {
    for (replies, asked, answer) in [
        (
            &[Replaced, Created, Ours][..],
            "leaves, put w=3, all",
            Some(Answer::Won(revision("5-m"))),
        ),
        (
            &[Replaced, Created, Others, Removed],
            "leaves, put w=3, all, remove 5-m",
            Some(Answer::Lost),
        ),
    ] {
        let found = talk(3, Some("4-o"), &claimed(2), replies);
        assert_eq!(found, (asked.to_owned(), answer), "{replies:?}");
    }
}

#[test]
fn with_one_copy_the_write_alone_decides() {
    let won = Some(Answer::Won(revision("5-m")));
    for (replies, asked, answer) in [
        (&[Created][..], "put", won.clone()),
        (&[Conflict, Replaced], "put, leaves", Some(Answer::Lost)),
        (&[Conflict, Ours], "put, leaves", won.clone()),
        (&[Conflict, Unreadable], "put, leaves", Some(Answer::Lost)),
        (&[Conflict, NoLeaf], "put, leaves", Some(Answer::Unknown)),
        (&[Unknown, Ours], "put, leaves", won.clone()),
        (&[Unknown, NoLeaf], "put, leaves", Some(Answer::Unknown)),
        (&[Unknown, NoReading], "put, leaves", Some(Answer::Unknown)),
        (&[Refused], "put", Some(Answer::Lost)),
    ] {
        let found = talk(1, None, &claimed(2), replies);
        assert_eq!(found, (asked.to_owned(), answer), "{replies:?}");
    }
}

#[test]
fn a_reply_that_was_not_asked_for_decides_nothing() {
    let (mut writing, _) = Writing::begin(3, None, claimed(2), Guards::default());
    assert_eq!(writing.hear(Reply::Removed), Next::Decided(Answer::Unknown));
}

#[test]
fn the_owner_of_the_fence_counts_before_the_higher_hash_and_losers_are_all_others() {
    let Run::Claimed { claim } = claimed(1) else { unreachable!() };
    let job = JobId::new("japan", 1);
    let mut leaves = Leaves {
        runs: vec![(revision("1-a"), claimed(1)), (revision("1-z"), claimed(2))],
        ..Leaves::default()
    };
    let losers = |leaves: &Leaves| {
        leaves.losers(Guards::default()).map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(losers(&leaves), ["1-a"]);
    leaves.start = Some(Start::new(job, &claim));
    assert_eq!(losers(&leaves), ["1-z"]);
    leaves.unreadable.push(revision("1-b"));
    assert!(losers(&leaves).is_empty(), "nobody knows which one counts");
    leaves.runs.push((revision("2-c"), lost(3)));
    assert_eq!(losers(&leaves), ["1-a", "1-z"], "and what cannot be read stays");
}
