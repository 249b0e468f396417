//! What happens to nodes: they stop, hang, are cut off, lose their disk, and compare what they have.
//!
//! Who drives the cluster says when. The durations here are those that were measured on a cluster of three nodes
//! of Apache CouchDB 3.5.0.

use std::hash::Hash;
use std::time::Duration;

use super::cluster::Cluster;
use super::copy::{Copy, Slot};
use super::tally::Answer;
use super::write::WriteId;

/// A node that came back was seen to be stale no shorter than this after its first answer.
pub const STALE_MIN: Duration = Duration::from_millis(200);

/// A node that came back was seen to be stale no longer than this, with few documents to bring up to date.
pub const STALE_MAX: Duration = Duration::from_millis(400);

/// How long a coordinator waits for its copies (`[fabric] request_timeout`).
pub const QUORUM_TIMEOUT: Duration = Duration::from_secs(60);

/// When the others have noticed that a node hangs: it was gone from `/_membership` after 62 to 65 s.
pub const HANG_NOTICED: Duration = Duration::from_secs(64);

/// After a write the nodes compare this shard within that time (`[mem3] sync_delay`).
pub const SYNC_DELAY: Duration = Duration::from_secs(5);

/// Places of other copies that a copy remembers, so that a feed need not begin at the start there.
const MET_MAX: usize = 16;

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NodeState {
    /// It answers.
    #[default]
    Up,
    /// Connections to it are refused, and the other nodes know.
    Down,
    /// It takes connections and messages and does nothing, as after SIGSTOP. What it has taken it does when it
    /// goes on.
    Hung {
        /// The other nodes have given it up, and do not wait for it.
        noticed: bool,
    },
}

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) state: NodeState,
    /// Nodes of the same side reach each other.
    side: u8,
    /// Messages for its copy that lie here because it hangs.
    pub(super) queue: Vec<WriteId>,
    /// Counts the disks that it had.
    pub(super) life: u32,
    /// It has taken a write since it opened its copy, and knows since then that there is nothing to validate.
    pub(super) is_loaded: bool,
    /// Its copy lost its data and has not got it back.
    pub(super) wiped: bool,
    pub(super) met: Vec<Met>,
}

/// When this copy had taken everything of another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    pub(super) peer: usize,
    pub(super) peer_life: u32,
    /// The number of its own newest change then.
    pub(super) own: u64,
    /// That of the other.
    pub(super) theirs: u64,
}

/// An answer that became possible because a node's state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The write.
    pub write: WriteId,
    /// What its client is told.
    pub answer: Answer,
}

impl<I: Clone + Eq + Ord + Hash, B: Clone + Eq + Hash> Cluster<I, B> {
    /// How this node is.
    #[must_use]
    pub fn state(&self, node: usize) -> NodeState {
        self.nodes[node].state
    }

    /// Whether two nodes reach each other, when both are up.
    #[must_use]
    pub fn connected(&self, one: usize, other: usize) -> bool {
        self.nodes[one].side == self.nodes[other].side
    }

    /// Whether a coordinator asks this copy, and waits for it.
    pub(super) fn is_asked(&self, coordinator: usize, copy: usize) -> bool {
        let is_waited_for = match self.nodes[copy].state {
            NodeState::Up => true,
            NodeState::Hung { noticed } => !noticed,
            NodeState::Down => false,
        };
        is_waited_for && self.connected(coordinator, copy)
    }

    /// A node ends: what it had taken and not done is lost, and nobody is told of the writes that it coordinated.
    pub fn stop(&mut self, node: usize) -> Vec<Decided> {
        self.nodes[node].state = NodeState::Down;
        let queue = std::mem::take(&mut self.nodes[node].queue);
        let lost: Vec<Decided> =
            queue.into_iter().filter_map(|write| decided(write, self.lose(write, node))).collect();
        self.reconsider_all(lost)
    }

    /// A node that was down comes back with what it had. It is stale until it has [compared](Cluster::sync)
    /// itself with the others, [`STALE_MIN`] to [`STALE_MAX`] later.
    ///
    /// A node that hangs goes on, and does what it had taken: in the order in which it came, the messages of
    /// others first and then the requests of its clients. These may have given up long ago.
    pub fn start(&mut self, node: usize) -> Vec<Decided> {
        self.nodes[node].is_loaded &= self.nodes[node].state != NodeState::Down;
        self.nodes[node].state = NodeState::Up;
        let queue = std::mem::take(&mut self.nodes[node].queue);
        let done: Vec<Decided> = queue
            .into_iter()
            .filter_map(|write| decided(write, self.deliver(write, node, true)))
            .collect();
        let mut done = self.reconsider_all(done);
        for write in self.unread_at(node) {
            done.extend(decided(write, self.read_request(write)));
        }
        done
    }

    /// A node hangs.
    pub fn hang(&mut self, node: usize) {
        if self.nodes[node].state == NodeState::Up {
            self.nodes[node].state = NodeState::Hung { noticed: false };
        }
    }

    /// The others give up a node that hangs, [`HANG_NOTICED`] after it began: from now on they do not wait for it.
    pub fn notice(&mut self, node: usize) -> Vec<Decided> {
        if self.nodes[node].state == (NodeState::Hung { noticed: false }) {
            self.nodes[node].state = NodeState::Hung { noticed: true };
        }
        self.reconsider_all(Vec::new())
    }

    /// Cuts the connections between nodes: node `k` is on the side `sides[k]`, and those that are not named on
    /// side 0. All nodes notice at once.
    pub fn partition(&mut self, sides: &[u8]) -> Vec<Decided> {
        for (place, node) in self.nodes.iter_mut().enumerate() {
            node.side = sides.get(place).copied().unwrap_or(0);
        }
        self.reconsider_all(Vec::new())
    }

    /// All nodes reach each other again. They have what they had until they [compare](Cluster::sync_all) it: the
    /// sides were the same some 100 ms later.
    pub fn heal(&mut self) {
        self.partition(&[]);
    }

    /// A node's copy loses its data. The database has another identity when this was the last one.
    pub fn wipe(&mut self, node: usize) {
        let Some(copy) = self.copies.get_mut(node) else { return };
        *copy = Copy::default();
        self.nodes[node].life += 1;
        self.nodes[node].wiped = true;
        self.nodes[node].is_loaded = false;
        self.nodes[node].met.clear();
        if self.nodes[..self.copies.len()].iter().all(|node| node.wiped) {
            self.identity += 1;
            self.nodes.iter_mut().for_each(|node| node.wiped = false);
        }
    }

    /// Two nodes compare their copies: each gets the leaves that it lacks. False when they do not reach each
    /// other, or one of them does not answer or has no copy.
    pub fn sync(&mut self, one: usize, other: usize) -> bool {
        let has_copy = one.max(other) < self.copies.len() && one != other;
        if !has_copy || !self.connected(one, other) || !self.is_up(one) || !self.is_up(other) {
            return false;
        }
        for slot in 0..self.documents.len() {
            self.sync_slot(slot, one, other);
            self.tidy(slot);
        }
        for (here, there) in [(one, other), (other, one)] {
            let met = Met {
                peer: there,
                peer_life: self.nodes[there].life,
                own: self.copies[here].last(),
                theirs: self.copies[there].last(),
            };
            let all = &mut self.nodes[here].met;
            if all.len() >= MET_MAX {
                all.remove(0);
            }
            all.push(met);
        }
        let wiped = self.nodes[one].wiped && self.nodes[other].wiped;
        self.nodes[one].wiped = wiped;
        self.nodes[other].wiped = wiped;
        true
    }

    /// All nodes that reach each other compare their copies, until these are the same.
    pub fn sync_all(&mut self) {
        // What the last copy gets from the first must reach those between: twice around is enough.
        for _ in 0..2 {
            for one in 0..self.copies.len() {
                for other in one + 1..self.copies.len() {
                    self.sync(one, other);
                }
            }
        }
    }

    /// The copies of one document that this node reaches get each other's leaves: what a read does that saw them
    /// differ, and what follows a write within [`SYNC_DELAY`].
    pub fn repair(&mut self, at: usize, id: &I) {
        let Some(slot) = self.slot(id) else { return };
        let copies: Vec<usize> = (0..self.copies.len())
            .filter(|copy| self.connected(at, *copy) && self.is_up(*copy))
            .collect();
        for _ in 0..2 {
            for pair in copies.windows(2) {
                self.sync_slot(slot, pair[0], pair[1]);
            }
        }
        self.tidy(slot);
    }

    /// Whether all copies have the same leaves of this document.
    #[must_use]
    pub fn agrees(&self, id: &I) -> bool {
        let Some(slot) = self.slot(id) else { return true };
        let first = self.copies[0].leaves(slot);
        self.copies.iter().all(|copy| copy.leaves(slot) == first)
    }

    fn sync_slot(&mut self, slot: Slot, one: usize, other: usize) {
        if self.copies[one].leaves(slot) == self.copies[other].leaves(slot) {
            return;
        }
        let tree = &self.documents[slot].tree;
        for (from, to) in [(one, other), (other, one)] {
            for leaf in self.copies[from].leaves(slot).to_vec() {
                self.copies[to].merge(slot, tree, leaf);
            }
        }
    }

    pub(super) fn is_up(&self, node: usize) -> bool {
        self.nodes[node].state == NodeState::Up
    }

    fn reconsider_all(&mut self, mut done: Vec<Decided>) -> Vec<Decided> {
        for write in self.under_way() {
            done.extend(decided(write, self.reconsider(write)));
        }
        done
    }
}

fn decided(write: WriteId, answer: Option<Answer>) -> Option<Decided> {
    answer.map(|answer| Decided { write, answer })
}
