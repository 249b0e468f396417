//! Listings on demand: who follows asks for all open jobs once more, and knows when it has heard them.
//!
//! A listing is asked for because something was left out. Until all of it was told, a restart must not go on from a
//! place behind what was left out: no checkpoint is made before. Listings are counted, so that one which had begun
//! before is not taken for the one that was asked for.

use tokio::sync::watch;

use super::{Checkpoint, Place};

/// Asks the follower of one database to list its open jobs again.
#[derive(Debug, Default)]
pub struct Relist {
    /// How many listings were asked for.
    asked: watch::Sender<u64>,
}

/// What a follower hears of that.
#[derive(Debug)]
pub struct Asked(watch::Receiver<u64>);

impl Relist {
    /// For the follower. Of one that ends and is followed by another, the next one does what is left.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked(self.asked.subscribe())
    }

    /// Asks for a listing. One that is asked for while another is told begins after that.
    pub fn ask(&self) {
        self.asked.send_modify(|asked| *asked += 1);
    }

    /// The checkpoint of a place, with the id of the oldest job that is open: `None` while a listing that was asked
    /// for is not told to its end.
    #[must_use]
    pub fn checkpoint(&self, place: &Place, oldest: Option<String>) -> Option<Checkpoint> {
        (place.listed >= *self.asked.borrow()).then(|| Checkpoint {
            database: place.database.clone(),
            instance_start_time: place.instance_start_time.clone(),
            since: place.since.clone(),
            oldest,
        })
    }
}

impl Asked {
    /// For a follower whom nobody asks.
    #[must_use]
    pub fn never() -> Self {
        Relist::default().asked()
    }

    /// How many listings were asked for.
    pub(super) fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until more than `listed` were asked for.
    ///
    /// Cancel safe.
    pub(super) async fn more_than(&mut self, listed: u64) {
        if self.0.wait_for(|asked| *asked > listed).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blitz_couchdb::Sequence;

    fn place(listed: u64) -> Place {
        Place {
            database: "blitz-jobs-japan-1".to_owned(),
            since: Sequence::zero(),
            instance_start_time: "1".to_owned(),
            listed,
        }
    }

    /// Whether somebody waits for a listing when so many were told.
    fn wants(asked: &mut Asked, listed: u64) -> bool {
        use std::task::{Context, Poll, Waker};
        let wait = std::pin::pin!(asked.more_than(listed));
        wait.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn no_checkpoint_is_made_between_the_asking_and_the_end_of_the_listing() {
        let (relist, oldest) = (Relist::default(), Some("j".to_owned()));
        let made = |listed| relist.checkpoint(&place(listed), oldest.clone());
        assert_eq!(made(0).unwrap().oldest, oldest, "nothing was asked for");
        relist.ask();
        assert_eq!(made(0), None, "told before the listing, and heard after the asking");
        assert!(made(1).is_some());
        relist.ask();
        assert_eq!(made(1), None, "the listing that had begun before is not the one");
        assert!(made(2).is_some() && made(3).is_some());
    }

    #[test]
    fn a_follower_lists_as_long_as_it_owes_and_so_does_the_next_one() {
        let relist = Relist::default();
        let mut first = relist.asked();
        assert!(!wants(&mut first, 0));
        relist.ask();
        relist.ask();
        assert!(wants(&mut first, 0) && wants(&mut first, 1) && !wants(&mut first, 2));
        assert!(wants(&mut first, 0), "a listing that failed is still owed");
        let mut next = relist.asked();
        assert_eq!(next.count(), 2);
        assert!(wants(&mut next, 0), "what was asked of the one before");
        let mut nobody = Asked::never();
        assert!(!wants(&mut nobody, 0));
    }
}
