//! What the engine tells a stay to do, and how it shows: in the contest, and in the document that says where the engine
//! is.

use std::time::Duration;

use blitz_jobs::claim;
use blitz_jobs::engine::EngineDocument;
use tokio::sync::watch;

use super::Stay;
use crate::going::{Going, Order};
use crate::own::Own;
use crate::presence::{self, Farewell, Standing};

/// The engine's document is kept fresh.
#[derive(Debug)]
pub(super) struct Present {
    standing: watch::Sender<Standing>,
}

impl Stay {
    /// Does what the newest order says.
    pub(super) fn obey(&mut self) {
        let order = *self.orders.borrow_and_update();
        let now = self.clock.now();
        let next = self.going.obey(now, order);
        match order {
            // One that gives back its jobs has heard of this too late.
            Order::Claim if next == Going::On => {
                self.contest.resume();
                self.be_present();
            }
            Order::Claim => {}
            Order::Rest | Order::Wind => {
                self.contest.drain();
                self.be_absent();
            }
            Order::Leave => {
                let actions = self.contest.leave_home();
                self.perform(actions);
                self.be_absent();
            }
            Order::Go { .. } => {
                self.contest.drain();
                if let Some(Present { standing }) = &self.present {
                    standing.send_replace(Standing::Leaving);
                }
            }
        }
        self.going = next;
    }

    /// What follows for the stay's life.
    pub(super) fn go_on(&mut self, now: Duration) {
        let next = self.going.next(now, self.contest.busy() == 0, self.replaced);
        if matches!(next, Going::GivesBack { .. }) && next != self.going {
            let actions = self.contest.give_back();
            self.perform(actions);
        }
        self.going = next;
    }

    /// Says that the engine is here.
    fn be_present(&mut self) {
        if self.present.is_some() {
            return;
        }
        let (config, start) = (self.common.config.clone(), self.part.start().clone());
        let own = Own::new(
            self.engines_database.database.clone(),
            EngineDocument::document_id(&config.id),
            start.clone(),
            self.engines_database.copies,
            self.common.siblings.clone(),
            claim::CLAIM_TIMEOUT,
        );
        let (standing, stands) = watch::channel(Standing::Here);
        self.presences.spawn(presence::keep(
            config,
            start,
            own,
            self.common.shelf.clone(),
            self.common.changed.clone(),
            self.words.clone(),
            stands,
        ));
        self.present = Some(Present { standing });
    }

    /// The engine is somewhere else.
    fn be_absent(&mut self) {
        let farewell = match self.station.is_refuge() {
            true => Farewell::Withdrawn,
            false => Farewell::Elsewhere,
        };
        self.end_presence(farewell);
    }

    /// The engine is not there any more, if it was here.
    pub(super) fn say_farewell(&mut self) {
        self.end_presence(Farewell::Gone);
    }

    fn end_presence(&mut self, farewell: Farewell) {
        if let Some(Present { standing }) = self.present.take() {
            // It may have ended by itself: another process has this engine's id.
            let _ = standing.send(Standing::Over(farewell));
        }
    }
}
