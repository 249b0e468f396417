//! One server: what is exact when there is one copy, and its feed.

use super::{Answer, Cluster, NodeState, QUORUM_TIMEOUT, Read, Rev, Sent, Seq, Write};

type Server = Cluster<u8, u32>;

fn put(server: &mut Server, id: u8, parent: Option<Rev>, body: u32) -> Answer {
    server.write_now(0, Write::put(id, parent, body, 1)).answer().expect("an answer at once")
}

fn created(server: &mut Server, id: u8, parent: Option<Rev>, body: u32) -> Rev {
    match put(server, id, parent, body) {
        Answer::Created(rev) => rev,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_ten_writers_one_is_first() {
    let mut server = Server::single();
    let answers: Vec<Answer> = (0..10).map(|writer| put(&mut server, 1, None, writer)).collect();
    let wins = answers.iter().filter(|answer| matches!(answer, Answer::Created(_))).count();
    let losses = answers.iter().filter(|answer| **answer == Answer::Conflict).count();
    assert_eq!((wins, losses), (1, 9), "{answers:?}");
}

/// A cluster's `w` on a database with one copy: the one who is first is never told so.
#[test]
fn a_quorum_above_the_number_of_copies_is_never_met() {
    let mut server = Server::single();
    for w in [2, 3] {
        let id = u8::try_from(w).unwrap();
        let sent = server.write_now(0, Write::put(id, None, 1, w));
        assert!(matches!(sent, Sent::Answered(Answer::Accepted(_))), "{sent:?}");
        assert_eq!(
            server.write_now(0, Write::put(id, None, 2, w)),
            Sent::Answered(Answer::Conflict)
        );
    }
}

#[test]
fn a_server_that_is_down_stores_nothing() {
    let mut server = Server::single();
    server.stop(0);
    assert_eq!(put(&mut server, 1, None, 1), Answer::Refused);
    assert_eq!(server.leaves(0, &1, 1, |_| 0), Read::Refused);
    server.start(0);
    assert_eq!(server.leaves(0, &1, 1, |_| 0), Read::Answered(Vec::new()));
    created(&mut server, 1, None, 1);
}

/// The copy's node is down, and another node is asked.
#[test]
fn without_its_only_copy_a_database_cannot_be_written_or_read() {
    let mut cluster: Cluster<u8, u32> = Cluster::new(3, 1);
    cluster.stop(0);
    let sent = cluster.write_now(1, Write::put(1, None, 1, 1));
    assert_eq!(sent, Sent::Answered(Answer::Unavailable));
    assert_eq!(cluster.leaves(1, &1, 1, |_| 0), Read::Unavailable);
    assert!(matches!(cluster.changes(1, Seq::default()), Read::Unavailable));
    cluster.start(0);
    assert!(cluster.leaves_in_the_end(&1).is_empty(), "nothing was stored");
}

/// Nobody is answered while it hangs; then one of those who asked has written, whether or not they still wait.
#[test]
fn a_server_that_hangs_stores_one_of_them_when_it_goes_on() {
    let mut server = Server::single();
    server.hang(0);
    assert_eq!(server.state(0), NodeState::Hung { noticed: false });
    let mut waiting = Vec::new();
    for writer in 0..10 {
        match server.write_now(0, Write::put(1, None, writer, 1)) {
            Sent::Travelling(id) => waiting.push(id),
            Sent::Answered(answer) => panic!("{answer:?}"),
        }
    }
    assert_eq!(server.leaves(0, &1, 1, |_| 0), Read::Silent);
    let decided = server.start(0);
    assert_eq!(decided.len(), waiting.len());
    let wins = decided.iter().filter(|one| one.answer.stored().is_some()).count();
    assert_eq!(wins, 1);
    assert_eq!(server.leaves_in_the_end(&1).len(), 1);
    assert!(QUORUM_TIMEOUT.as_secs() == 60);
}

/// The same where another node coordinates, which waits and then says that it does not know.
#[test]
fn a_write_to_a_copy_that_hangs_may_be_stored_after_its_client_was_told_of_a_failure() {
    let mut cluster: Cluster<u8, u32> = Cluster::new(3, 1);
    cluster.hang(0);
    let Sent::Travelling(first) = cluster.write_now(1, Write::put(1, None, 1, 1)) else {
        panic!("answered while the copy hangs")
    };
    assert_eq!(cluster.time_out(first), Some(Answer::Unavailable));
    assert!(cluster.start(0).is_empty(), "nobody waits any more");
    assert_eq!(cluster.leaves_in_the_end(&1).len(), 1);
}

#[test]
fn deleting_and_beginning_again_goes_on_counting() {
    let mut server = Server::single();
    let first = created(&mut server, 1, None, 1);
    let sent = server.write_now(0, Write::delete(1, first, 1));
    let Sent::Answered(Answer::Created(gone)) = sent else { panic!("{sent:?}") };
    assert_eq!(server.get(0, &1, 1, |_| 0), Read::Answered(None));
    assert_eq!(server.list(0, ..), Read::Answered(Vec::new()));
    assert_eq!(put(&mut server, 1, Some(gone), 1), Answer::Conflict);
    let again = created(&mut server, 1, None, 1);
    assert_eq!(again.generation, 3);
}

/// Made up branches beside each other, the removal of one, and who wins.
#[test]
fn leaves_are_removed_one_by_one() {
    let mut server = Server::single();
    let branch = |generation: u32, hash: u64| -> Vec<Rev> {
        (1..=generation).rev().map(|generation| Rev { generation, hash }).collect()
    };
    for (path, body) in [(branch(2, 1), 10), (branch(2, 2), 20), (branch(1, 9), 30)] {
        assert!(server.merge(0, &1, &path, Some(body)));
    }
    let leaves = |server: &Server| -> Vec<(Rev, Option<u32>)> {
        let leaves = server.leaves(0, &1, 1, |_| 0).answer().expect("an answer");
        leaves.iter().map(|leaf| (leaf.rev, leaf.body.copied())).collect()
    };
    let (great, low) = (Rev { generation: 2, hash: 2 }, Rev { generation: 1, hash: 9 });
    assert_eq!(leaves(&server)[0], (great, Some(20)));
    let sent = server.write_now(0, Write::delete(1, great, 1));
    assert!(matches!(sent, Sent::Answered(Answer::Created(_))), "{sent:?}");
    assert_eq!(leaves(&server)[0].1, Some(10));
    assert_eq!(leaves(&server).len(), 3, "the tombstone is a leaf");
    server.write_now(0, Write::delete(1, Rev { generation: 2, hash: 1 }, 1));
    assert_eq!(leaves(&server)[0], (low, Some(30)));
    // A past that is known adds nothing.
    server.merge(0, &1, &branch(1, 2), Some(99));
    assert_eq!(leaves(&server).len(), 3);
}

#[test]
fn a_feed_tells_the_latest_of_each_document_and_begins_again_in_another_database() {
    let mut server = Server::single();
    let first = created(&mut server, 1, None, 1);
    created(&mut server, 2, None, 1);
    let since = server.now(0).answer().expect("a place");
    let told = |server: &Server, since: Seq| -> Vec<(u8, Option<u32>)> {
        let changes = server.changes(0, since).answer().expect("a feed");
        changes.map(|change| (*change.id, change.body.copied())).collect()
    };
    assert!(told(&server, since).is_empty());
    let second = created(&mut server, 1, Some(first), 2);
    created(&mut server, 1, Some(second), 3);
    assert_eq!(told(&server, since), [(1, Some(3))]);
    assert_eq!(told(&server, since.earlier(1)), [(2, Some(1)), (1, Some(3))]);
    assert_eq!(told(&server, Seq::default()), [(2, Some(1)), (1, Some(3))]);
    let before = server.identity();
    server.recreate();
    assert_ne!(server.identity(), before);
    created(&mut server, 7, None, 1);
    assert_eq!(told(&server, since), [(7, Some(1))]);
}

/// Thousands of revisions of one document, as an engine's sign of life has: its past is forgotten.
#[test]
fn a_document_that_is_rewritten_for_ever_stays_small() {
    let mut cluster: Cluster<u8, u32> = Cluster::new(3, 3);
    let mut rev = None;
    for body in 0..5_000 {
        let sent = cluster.write_now(0, Write::put(1, rev, body, 3));
        let Sent::Answered(Answer::Created(next)) = sent else { panic!("{body}: {sent:?}") };
        rev = Some(next);
    }
    assert!(!cluster.documents[0].tree.is_long());
    assert_eq!(rev.map(|rev| rev.generation), Some(5_000));
}
