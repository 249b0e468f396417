//! What carries transactions out, one after the other: a user of a closed model, or a place for an arrival of an open one.

use crate::script::Kept;

/// 48 bytes.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Of its transaction, among all of the test.
    pub(crate) number: u64,
    /// When its step was due; when a user stops thinking.
    pub(crate) due_ns: u64,
    /// When its step began, a connect included: its time-out counts from here. [`Lane::NOT_BEGUN`] before that.
    pub(crate) began_ns: u64,
    /// When its request was sent.
    pub(crate) sent_ns: u64,
    /// Cookies that its transaction has taken.
    pub(crate) kept: Option<Box<Kept>>,
    /// Of its transaction, from 0.
    pub(crate) step: u8,
    pub(crate) state: State,
    /// It has an entry among the deadlines.
    pub(crate) is_watched: bool,
    /// Its request was sent before, on a connection that the server had closed.
    pub(crate) is_again: bool,
    /// A cookie that it wanted did not come.
    pub(crate) is_missing: bool,
}

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing: the user is not there, or there is no connection for an arrival.
    Out,
    /// A connection is being opened for the next arrival, whichever that is.
    Opening,
    /// It has a connection, and waits for an arrival.
    Free,
    /// The user thinks.
    Thinking,
    /// It has something to send, and waits for its connection.
    Waiting,
    /// It has sent, and waits for the answer.
    Busy,
}

impl Lane {
    pub(crate) const NOT_BEGUN: u64 = u64::MAX;

    pub(crate) const fn new() -> Self {
        Self {
            number: 0,
            due_ns: 0,
            began_ns: Self::NOT_BEGUN,
            sent_ns: 0,
            kept: None,
            step: 0,
            state: State::Out,
            is_watched: false,
            is_again: false,
            is_missing: false,
        }
    }

    pub(crate) fn step(&self) -> usize {
        usize::from(self.step)
    }

    /// Whether its transaction is not ended.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state, State::Waiting | State::Busy)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_lane_and_its_connection_are_small() {
        let lane = size_of::<super::Lane>();
        let connection = size_of::<crate::connection::Connection>();
        // Beside them: 8 bytes for its deadline, and 4 where it waits for an arrival.
        assert!(lane + connection <= 116, "{lane} and {connection}");
    }
}
