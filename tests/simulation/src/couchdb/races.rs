//! Concurrent writers, with all nodes up: who is told that he won, and who is by the rules that engines follow.
//! The figures of a cluster of three nodes, in kind.

use super::{Answer, Cluster, Rev, Sent, Write};
use crate::random::Random;

pub(super) type Three = Cluster<u32, (u8, u32)>;

/// The numbers of a seed, each below the argument.
pub(super) fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut random = Random::new(seed);
    move |bound| random.below(bound)
}

/// So many writers create one document at once over these nodes.
pub(super) fn contend(
    cluster: &mut Three,
    id: u32,
    nodes: &[usize],
    writers: u8,
    w: usize,
    draw: &mut impl FnMut(usize) -> usize,
) -> Vec<Answer> {
    let writes = (0..writers).map(|writer| {
        let at = nodes[usize::from(writer) % nodes.len()];
        (at, Write::put(id, None, (writer, 0), w))
    });
    let sent = cluster.race(writes.collect(), &mut *draw);
    sent.into_iter().map(|one| one.answer().expect("nobody hangs")).collect()
}

/// How many go by the rule "201, or 202 and a read names me".
fn goers(
    cluster: &Three,
    id: u32,
    answers: &[Answer],
    draw: &mut impl FnMut(usize) -> usize,
) -> usize {
    let mut names_me = |rev: Rev| {
        let leaves = cluster.leaves(0, &id, 3, &mut *draw).answer().expect("a read");
        leaves[0].rev == rev
    };
    let goes = |answer: &&Answer| match **answer {
        Answer::Created(_) => true,
        Answer::Accepted(rev) => names_me(rev),
        _ => false,
    };
    answers.iter().filter(goes).count()
}

struct Figures {
    goers: [usize; 4],
    with_losers: usize,
}

/// Ten writers over three nodes, round after round.
fn rounds(rounds: u32, w: usize, seed: u64) -> Figures {
    let (mut cluster, mut draw) = (Three::new(3, 3), random(seed));
    let mut figures = Figures { goers: [0; 4], with_losers: 0 };
    for id in 0..rounds {
        let answers = contend(&mut cluster, id, &[0, 1, 2], 10, w, &mut draw);
        let count = goers(&cluster, id, &answers, &mut draw);
        figures.goers[count.min(3)] += 1;
        let stored: Vec<Rev> = answers.iter().filter_map(|answer| answer.stored()).collect();
        let mut there = cluster.leaves_in_the_end(&id);
        there.sort();
        let mut told = stored.clone();
        told.sort();
        assert_eq!(there, told, "what was answered with a revision is stored, and nothing else");
        figures.with_losers += usize::from(stored.len() > 1);
        if w == 3 {
            let clear = answers.iter().any(|answer| matches!(answer, Answer::Created(_)));
            assert!(!clear || stored.len() == 1, "a 201 of all copies beside another: {answers:?}");
        }
    }
    figures
}

#[test]
fn with_all_copies_asked_one_of_ten_goes_in_every_round() {
    let Figures { goers, with_losers } = rounds(2_000, 3, 1);
    println!("w=3: goers {goers:?}, {with_losers} of 2000 rounds with stored losers");
    assert_eq!(goers, [0, 2_000, 0, 0]);
    assert!(with_losers > 200, "{with_losers}");
}

#[test]
fn with_a_majority_asked_sometimes_two_go() {
    let Figures { goers, with_losers } = rounds(2_000, 2, 2);
    println!("w=2: goers {goers:?}, {with_losers} of 2000 rounds with stored losers");
    assert!(goers[2] > 100 && goers[0] == 0 && goers[3] == 0, "{goers:?}");
}

#[test]
fn with_one_copy_asked_all_who_are_stored_are_told_that_they_won() {
    let (mut cluster, mut draw) = (Three::new(3, 3), random(3));
    let mut several = 0;
    for id in 0..1_000 {
        let answers = contend(&mut cluster, id, &[0, 1, 2], 5, 1, &mut draw);
        let told = answers.iter().filter(|answer| matches!(answer, Answer::Created(_))).count();
        assert!(told >= 1);
        several += usize::from(told > 1);
    }
    println!("w=1: several winners in {several} of 1000 rounds");
    assert!(several > 300, "{several}");
}

/// Writers that all come through one node still race at the copies; a node that changes first at its own copy
/// and a network that keeps the order would hide it, so drivers may order their messages as they like.
#[test]
fn messages_that_arrive_in_one_order_everywhere_leave_no_loser() {
    let (mut cluster, mut draw) = (Three::new(3, 3), random(4));
    for id in 0..100 {
        let ways: Vec<Sent> =
            (0..10u8).map(|writer| cluster.send(0, Write::put(id, None, (writer, 0), 3))).collect();
        let mut answers = Vec::new();
        for sent in ways {
            let Sent::Travelling(write) = sent else { panic!("{sent:?}") };
            let mut copies: Vec<usize> = cluster.on_the_way(write).collect();
            super::write::shuffle(&mut copies, &mut draw);
            for copy in copies {
                answers.extend(cluster.arrive(write, copy));
            }
            assert_eq!(cluster.on_the_way(write).count(), 0);
        }
        assert!(matches!(answers[0], Answer::Created(_)));
        assert!(answers[1..].iter().all(|answer| *answer == Answer::Conflict), "{answers:?}");
        assert_eq!(answers.len(), 10);
    }
    assert!(cluster.pending.iter().all(Option::is_none), "every write is over");
}

/// Two equal bodies are one revision: both are told that they won, and there is no conflict to see.
#[test]
fn equal_bodies_are_one_revision() {
    let (mut cluster, mut draw) = (Three::new(3, 3), random(5));
    let mut both = 0;
    for id in 0..200 {
        let write = |at| (at, Write::put(id, None, (0, 0), 1));
        let sent = cluster.race(vec![write(0), write(1)], &mut draw);
        let won = sent.iter().filter(|one| matches!(one, Sent::Answered(Answer::Created(_))));
        both += usize::from(won.count() == 2);
        assert_eq!(cluster.leaves_in_the_end(&id).len(), 1);
    }
    assert!(both > 50, "{both}");
}

/// The same seed is the same run.
#[test]
fn a_seed_decides_everything() {
    let run = |seed| {
        let (mut cluster, mut draw) = (Three::new(3, 3), random(seed));
        (0..50)
            .map(|id| contend(&mut cluster, id, &[0, 1, 2], 10, 2, &mut draw))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(6), run(6));
    assert_ne!(run(6), run(7));
}
