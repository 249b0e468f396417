//! What happens when: a queue of events in true time, the order of which depends on nothing but the seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::couchdb::WriteId;

/// Who acts: an engine, a keeper or a gateway, by its place among all.
pub(super) type Peer = usize;

/// Which database of a site: jobs, beats or output, or the next one of jobs or output.
pub(super) type Base = usize;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// A request reaches its node.
    Request(u64),
    /// The message of a write reaches a copy.
    Arrive {
        site: usize,
        base: Base,
        write: WriteId,
        copy: usize,
    },
    /// An answer reaches who asked.
    Reply(u64),
    /// Who asked waits no longer.
    TimeOut(u64),
    /// What the peer planned is due.
    Wake {
        peer: Peer,
        life: u32,
    },
    /// News on the peer's feeds.
    Feed {
        peer: Peer,
        life: u32,
    },
    /// A peer lists what is there, before it follows.
    List {
        peer: Peer,
        life: u32,
        stage: u8,
    },
    /// The peer's feed may be dead: it looks.
    FeedCheck {
        peer: Peer,
        life: u32,
    },
    /// A running job goes on: the next chunk, or its end.
    Step {
        peer: Peer,
        life: u32,
        job: usize,
    },
    /// A job that was told to stop has stopped.
    Stopped {
        peer: Peer,
        life: u32,
        job: usize,
    },
    /// A chunk is to be written again.
    Chunk {
        peer: Peer,
        life: u32,
        job: usize,
        seq: u64,
    },
    /// A gateway writes a spec, or a cancel.
    Submit(usize),
    Cancel(usize),
    /// Trouble begins.
    Fault,
    /// Trouble that was planned, by its place in the plan of the site.
    Store {
        site: usize,
        trouble: usize,
    },
    /// What a fault did to a peer is over.
    Start {
        peer: Peer,
        life: u32,
    },
    Resume {
        peer: Peer,
        life: u32,
    },
    Heal {
        peer: Peer,
        life: u32,
    },
    /// What a fault did to a node is over, or is noticed by the others.
    NodeUp {
        site: usize,
        node: usize,
    },
    NodeNotice {
        site: usize,
        node: usize,
    },
    /// A read saw copies of a run differ: they get what they lack.
    Repair {
        site: usize,
        node: usize,
        job: usize,
    },
    /// The copies of a site compare themselves.
    Sync {
        site: usize,
    },
    /// A partition inside a cluster is over.
    Join {
        site: usize,
    },
    /// A replication takes a turn.
    Replicate(usize),
    /// A link that was cut is whole again.
    LinkUp {
        from: usize,
        to: usize,
    },
    /// What was planned for a region with several clusters, by its place in the plan.
    Change {
        region: usize,
        change: usize,
    },
    /// The databases of a site that lost everything are made anew.
    MadeAnew(usize),
    /// May the first database of a region be dropped? It is, at a site.
    DropLook(usize),
    Drop(usize),
    /// An engine looks where its home is; a keeper or gateway where it should be.
    Around(usize),
    Place(Peer),
    /// Has everything come to rest?
    Look,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    number: u64,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    number: u64,
    event: Event,
}

impl Entry {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Queue {
    /// Events of the same instant happen in the order in which they were put.
    pub(super) fn put(&mut self, at: Duration, event: Event) {
        self.number += 1;
        self.heap.push(Reverse(Entry { at, number: self.number, event }));
    }

    pub(super) fn next(&mut self) -> Option<(Duration, Event)> {
        self.heap.pop().map(|Reverse(Entry { at, event, .. })| (at, event))
    }
}

impl Event {
    /// Whose event it is, and of which start.
    pub(super) fn peer(&self) -> Option<(Peer, u32)> {
        match *self {
            Self::Wake { peer, life }
            | Self::Feed { peer, life }
            | Self::List { peer, life, .. }
            | Self::FeedCheck { peer, life }
            | Self::Step { peer, life, .. }
            | Self::Stopped { peer, life, .. }
            | Self::Chunk { peer, life, .. }
            | Self::Start { peer, life }
            | Self::Resume { peer, life }
            | Self::Heal { peer, life } => Some((peer, life)),
            _ => None,
        }
    }
}
