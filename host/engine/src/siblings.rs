//! The stays of one engine, as they know each other: where each is, which start of the engine it is, and how many of the
//! engine's slots it takes.
//!
//! Only one stay claims at a time; the others can only give back. So the one that claims never takes a slot that another
//! has. At one cluster there is one stay at a time, since the engine has one document of beats there.

use std::sync::Arc;

use blitz_jobs::Incarnation;
use tokio::sync::watch;

/// Former stays that are remembered: words of theirs may still come by replication.
const FORMER_MAX: usize = 16;

/// All stays of one engine. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Siblings(Arc<watch::Sender<Vec<Sibling>>>);

/// One of them.
#[derive(Debug)]
struct Sibling {
    start: Incarnation,
    slots: u32,
    /// The cluster at which it is.
    at: Option<String>,
    is_over: bool,
}

/// The part of one stay: over when this is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    start: Incarnation,
    all: Siblings,
    heard: watch::Receiver<Vec<Sibling>>,
}

impl Siblings {
    /// The part of a new stay.
    pub(crate) fn join(&self, start: Incarnation) -> Part {
        self.0.send_modify(|all| {
            let mut former = all.iter().filter(|sibling| sibling.is_over).count();
            all.retain(|sibling| {
                let goes = sibling.is_over && former >= FORMER_MAX;
                former -= usize::from(goes);
                !goes
            });
            all.push(Sibling { start: start.clone(), slots: 0, at: None, is_over: false });
        });
        Part { start, heard: self.0.subscribe(), all: self.clone() }
    }

    /// Whether a start is one of this process, now or before.
    pub(crate) fn has(&self, start: &Incarnation) -> bool {
        self.0.borrow().iter().any(|sibling| sibling.start == *start)
    }
}

impl Part {
    /// Which start of the engine this stay is.
    pub(crate) fn start(&self) -> &Incarnation {
        &self.start
    }

    /// Takes the place at a cluster; false while another stay has it.
    pub(crate) fn settle(&self, cluster: &str) -> bool {
        self.all.0.send_if_modified(|all| {
            let is_taken = all.iter().any(|sibling| {
                sibling.start != self.start
                    && !sibling.is_over
                    && sibling.at.as_deref() == Some(cluster)
            });
            if !is_taken && let Some(own) = self.own(all) {
                own.at = Some(cluster.to_owned());
            }
            !is_taken
        })
    }

    /// Says how many slots this stay takes.
    pub(crate) fn take(&self, slots: u32) {
        self.all.0.send_if_modified(|all| {
            self.own(all).is_some_and(|own| std::mem::replace(&mut own.slots, slots) != slots)
        });
    }

    /// How many slots the others take.
    pub(crate) fn elsewhere(&mut self) -> u32 {
        let all = self.heard.borrow_and_update();
        all.iter().filter(|sibling| sibling.start != self.start).map(|sibling| sibling.slots).sum()
    }

    /// The other starts of this engine that live.
    pub(crate) fn beside(&self) -> Vec<Incarnation> {
        let all = self.all.0.borrow();
        let others = all.iter().filter(|sibling| sibling.start != self.start && !sibling.is_over);
        others.map(|sibling| sibling.start.clone()).collect()
    }

    /// Waits until anything of this changes.
    ///
    /// Cancel safe.
    pub(crate) async fn changed(&mut self) {
        if self.heard.changed().await.is_err() {
            // The sender is in `all`: this cannot be, and must not be a busy loop.
            std::future::pending::<()>().await;
        }
    }

    fn own<'a>(&self, all: &'a mut [Sibling]) -> Option<&'a mut Sibling> {
        all.iter_mut().find(|sibling| sibling.start == self.start)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.all.0.send_modify(|all| {
            if let Some(own) = self.own(all) {
                (own.slots, own.at, own.is_over) = (0, None, true);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(byte: u8) -> Incarnation {
        Incarnation::from_random([byte; 16])
    }

    #[tokio::test]
    async fn what_one_stay_takes_the_others_do_not_have() {
        let siblings = Siblings::default();
        let (mut first, mut second) = (siblings.join(start(1)), siblings.join(start(2)));
        first.take(3);
        assert_eq!((first.elsewhere(), second.elsewhere()), (0, 3));
        first.take(1);
        second.changed().await;
        assert_eq!(second.elsewhere(), 1);
        assert_eq!(second.beside(), [start(1)]);
        drop(first);
        second.changed().await;
        assert_eq!((second.elsewhere(), second.beside()), (0, vec![]));
        assert!(siblings.has(&start(1)), "its words may still come");
    }

    #[test]
    fn there_is_one_stay_at_a_cluster() {
        let siblings = Siblings::default();
        let (first, second) = (siblings.join(start(1)), siblings.join(start(2)));
        assert!(first.settle("tokyo") && first.settle("tokyo") && second.settle("osaka"));
        assert!(!second.settle("tokyo"));
        drop(first);
        assert!(second.settle("tokyo"));
    }

    #[test]
    fn former_stays_are_forgotten_in_time() {
        let siblings = Siblings::default();
        for byte in 0..100 {
            drop(siblings.join(start(byte)));
        }
        assert!(siblings.has(&start(99)) && !siblings.has(&start(0)));
        assert!(siblings.0.borrow().len() <= FORMER_MAX);
    }
}
