//! What a run is busy with, so that the message of a time limit can say it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::rate::Slowest;

/// A clone shows the same run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doing(Arc<Mutex<Activity>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Activity {
    /// Waits for one of the runtime's instances.
    #[default]
    Queued,
    /// The guest computes, or waits for a clock.
    Running,
    /// Waits for the head of an HTTP answer.
    Exchange,
    /// Waits for the next piece of an HTTP body.
    Body,
    /// Waits for room in the output.
    Output,
    /// Waits until it is not too fast any more.
    Turn(Slowest),
    /// Waits for an answer of the DNS.
    Lookup,
    /// Waits for what the network says to its probes.
    Probes,
    /// Waits for the engines of its load test, or for what its workers say.
    Load,
}

impl Doing {
    pub(crate) fn now(&self, activity: Activity) {
        self.replace(activity);
    }

    fn replace(&self, activity: Activity) -> Activity {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), activity)
    }

    /// Shows `activity` while `work` waits. When the run is stopped meanwhile, it stays shown.
    pub(crate) async fn during<T>(&self, activity: Activity, work: impl Future<Output = T>) -> T {
        let before = self.replace(activity);
        let done = work.await;
        self.now(before);
        done
    }

    /// Whether the guest has not begun yet.
    pub(crate) fn is_queued(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == Activity::Queued
    }

    /// Reads behind "time limit 2 s reached".
    pub(crate) fn phrase(&self) -> String {
        let fixed = match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Activity::Queued => " while it waited for a free instance",
            Activity::Running => "",
            Activity::Exchange => " while it waited for an HTTP answer",
            Activity::Body => " while it read an HTTP body",
            Activity::Output => " while nobody took its output",
            Activity::Lookup => " while it waited for an answer of the DNS",
            Activity::Probes => " while it waited for answers to its probes",
            Activity::Load => " while its load test ran",
            Activity::Turn(slowest) => {
                return format!(" while it waited for its turn ({slowest})");
            }
        };
        fixed.to_owned()
    }
}
