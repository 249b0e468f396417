//! Everything that states name by a small number: bodies of runs, revisions, fences, and the machines of the core
//! with what they answer. A state is small and quick to compare this way, and the core is asked once for each
//! distinct question; nothing is decided here.

use blitz_contract::Retry;
use blitz_couchdb::Revision;
use blitz_jobs::guards::Guards;
use blitz_jobs::run::{Run, resolve};
use blitz_jobs::start::{self, Fencing, Start};
use blitz_jobs::writing::{self, Answer, Leaves, Writing};
use blitz_jobs::{Claim, Incarnation, JobId};

use super::alike::Renamed;
use super::few::Few;
use super::hash::Map;
use super::numbered::{Numbered, number};
use super::told::{Reply, Told};

/// The number of a thing in its table; 0 is none.
pub(super) type Id = u16;

/// Copies that must agree where nothing else is asked for: a majority.
pub(super) const MAJORITY: u8 = 0;

/// The revision that stands for all that a single copy has gone beyond.
pub(super) const PAST: Id = 1;

/// One revision of the run's document.
#[derive(Debug)]
struct Node {
    parent: Id,
    /// 0: it is deleted.
    run: Id,
    revision: Revision,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) guards: Guards,
    pub(super) retry: Retry,
    copies: u32,
    job: JobId,
    runs: Numbered<Run>,
    nodes: Vec<Node>,
    children: Map<(Id, Id), Id>,
    starts: Numbered<Start>,
    writings: Numbered<Writing>,
    fencings: Numbered<Fencing>,
    begun: Map<(Id, Id), Told>,
    heard: Map<(Id, Reply), Told>,
    fence_heard: Map<(Id, Reply), Told>,
    resolved: Map<(Few, Id), Id>,
    steps: Map<(Id, Deed), Option<Id>>,
    pub(super) renamed: Renamed,
}

/// A step of the run's machine, as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Deed {
    pub(super) what: What,
    /// Whose step it is: an engine and its start. The keeper has none.
    pub(super) who: (u8, u8),
    /// Whose claim it is about.
    pub(super) whom: (u8, u8),
    /// Starts of engines that were seen alive again, a bit for each engine (its present start).
    pub(super) survivors: [u8; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum What {
    Claim,
    Finish,
    FinishCancelled,
    /// The engine did not begin.
    Return,
    /// The engine began, and gives it back.
    Release,
    Cancel,
    Expire,
    /// `takes`: the one who says so takes it at once.
    Dead {
        takes: bool,
        retries: bool,
    },
}

impl Table {
    pub(super) fn new(copies: u32, retry: Retry, guards: Guards) -> Self {
        let job = "japan-1-01arz3ndektsv4rrffq69g5fav".parse().expect("it is a job's id");
        let node = |name| Node { parent: 0, run: 0, revision: revision(0, name) };
        Self {
            guards,
            retry,
            copies,
            job,
            runs: Numbered::default(),
            nodes: vec![node("none"), node("past")],
            children: Map::default(),
            starts: Numbered::default(),
            writings: Numbered::default(),
            fencings: Numbered::default(),
            begun: Map::default(),
            heard: Map::default(),
            fence_heard: Map::default(),
            resolved: Map::default(),
            steps: Map::default(),
            renamed: Renamed::default(),
        }
    }

    pub(super) fn number_of_run(&mut self, run: Run) -> Id {
        self.runs.number(run)
    }

    pub(super) fn number_of_start(&mut self, start: Start) -> Id {
        self.starts.number(start)
    }

    pub(super) fn run(&self, run: Id) -> &Run {
        self.runs.get(run)
    }

    /// The run under a revision; `None` when it is deleted, or there is none.
    pub(super) fn run_of(&self, revision: Id) -> Option<&Run> {
        let run = self.nodes[usize::from(revision)].run;
        (run != 0).then(|| self.runs.get(run))
    }

    pub(super) fn run_id_of(&self, revision: Id) -> Id {
        self.nodes[usize::from(revision)].run
    }

    pub(super) fn parent(&self, revision: Id) -> Id {
        self.nodes[usize::from(revision)].parent
    }

    pub(super) fn revision(&self, revision: Id) -> &Revision {
        &self.nodes[usize::from(revision)].revision
    }

    /// The revision that a body over a parent is: a function of both, as in CouchDB.
    pub(super) fn child(&mut self, parent: Id, run: Id) -> Id {
        if let Some(child) = self.children.get(&(parent, run)) {
            return *child;
        }
        let over = self.revision(parent);
        let body =
            if run == 0 { "deleted".to_owned() } else { format!("{:?}", self.runs.get(run)) };
        let revision = revision(over.generation() + 1, &format!("{over} {body}"));
        let child = number(self.nodes.len());
        self.nodes.push(Node { parent, run, revision });
        self.children.insert((parent, run), child);
        child
    }

    /// Whether `old` is before `new` on its branch.
    pub(super) fn is_before(&self, old: Id, new: Id) -> bool {
        let mut at = new;
        while at != 0 {
            at = self.parent(at);
            if at == old {
                return at != 0;
            }
        }
        false
    }

    /// The leaf that counts, as [`resolve`] says; and whether the order of the leaves makes no difference.
    pub(super) fn resolve(&mut self, living: Few, start: Id) -> Id {
        if let Some(found) = self.resolved.get(&(living, start)) {
            return *found;
        }
        let leaves = self.leaves(living, start);
        let named = resolve(&leaves.runs, leaves.start.as_ref(), self.guards);
        let found = named.map(|(revision, _)| self.node_of(living, revision)).unwrap_or_default();
        self.resolved.insert((living, start), found);
        found
    }

    /// The leaf that counts when a reader is given the leaves the other way round.
    pub(super) fn resolve_backwards(&self, living: Few, start: Id) -> Id {
        let mut leaves = self.leaves(living, start);
        leaves.runs.reverse();
        let named = resolve(&leaves.runs, leaves.start.as_ref(), self.guards);
        named.map(|(revision, _)| self.node_of(living, revision)).unwrap_or_default()
    }

    /// The present state after a deed, if the machine allows it.
    pub(super) fn after(&mut self, now: Id, deed: Deed) -> Option<Id> {
        if let Some(known) = self.steps.get(&(now, deed)) {
            return *known;
        }
        let step = deed.step(self.retry);
        let next = Run::after((now != 0).then(|| self.runs.get(now)), step).ok();
        let next = next.map(|run| self.runs.number(run));
        self.steps.insert((now, deed), next);
        next
    }

    /// Begins to write a run over a revision.
    pub(super) fn begin(&mut self, over: Id, run: Id) -> Told {
        if let Some(known) = self.begun.get(&(over, run)) {
            return *known;
        }
        let over_revision = (over != 0).then(|| self.revision(over).clone());
        let body = self.runs.get(run).clone();
        let (writing, ask) = Writing::begin(self.copies, over_revision, body, self.guards);
        let told = self.told(writing, writing::Next::Ask(ask));
        self.begun.insert((over, run), told);
        told
    }

    /// What a reply means to a write.
    pub(super) fn hear(&mut self, machine: Id, reply: Reply) -> Told {
        if let Some(known) = self.heard.get(&(machine, reply)) {
            return *known;
        }
        let mut writing = self.writings.get(machine).clone();
        let heard = match reply {
            Reply::Put(put, target) => {
                let revision = self.revision(target).clone();
                writing::Reply::Put(put.of(revision))
            }
            Reply::Read { leaves, start } => {
                writing::Reply::Leaves(Some(self.leaves(leaves, start)))
            }
            Reply::Blind => writing::Reply::Leaves(None),
            Reply::Removed => writing::Reply::Removed,
        };
        let next = writing.hear(heard);
        let told = self.told(writing, next);
        self.heard.insert((machine, reply), told);
        told
    }

    fn told(&mut self, writing: Writing, next: writing::Next) -> Told {
        let run = self.runs.number(writing.run().clone());
        let machine = self.writings.number(writing);
        match next {
            writing::Next::Ask(writing::Ask::Leaves) => Told::Read(machine),
            writing::Next::Ask(writing::Ask::AllLeaves) => Told::ReadAll(machine),
            writing::Next::Ask(writing::Ask::Put { over, quorum }) => {
                let over = over.map(|over| self.node(&over)).unwrap_or_default();
                let quorum = quorum.map_or(MAJORITY, |q| u8::try_from(q).unwrap_or(u8::MAX));
                Told::Put { machine, target: self.child(over, run), quorum }
            }
            writing::Next::Ask(writing::Ask::Remove(leaf)) => {
                Told::Remove { machine, leaf: self.node(&leaf) }
            }
            writing::Next::Decided(Answer::Won(revision)) => Told::Won(self.node(&revision)),
            writing::Next::Decided(Answer::Lost) => Told::Lost,
            writing::Next::Decided(Answer::Unknown) => Told::Unknown,
        }
    }

    /// Begins to pass the start fence of a claim that stands under this revision.
    pub(super) fn fence(&mut self, hold: Id) -> Told {
        // No write has the body 0.
        if let Some(known) = self.begun.get(&(hold, 0)) {
            return *known;
        }
        let Some(claim) = self.run_of(hold).and_then(Run::claim) else { return Told::Lost };
        let start = Start::new(self.job.clone(), claim);
        let revision = self.revision(hold).clone();
        let (fencing, ask) = Fencing::begin(start, revision, self.guards);
        let told = self.fence_told(fencing, start::Next::Ask(ask));
        self.begun.insert((hold, 0), told);
        told
    }

    /// What a reply means to a fence.
    pub(super) fn hear_fence(&mut self, machine: Id, reply: Reply) -> Told {
        if let Some(known) = self.fence_heard.get(&(machine, reply)) {
            return *known;
        }
        let mut fencing = self.fencings.get(machine).clone();
        let heard = match reply {
            // Which revision does not matter to a fence.
            Reply::Put(put, _) => start::Reply::Put(put.of(revision(1, "fence"))),
            Reply::Read { start, .. } => {
                start::Reply::Read((start != 0).then(|| self.starts.get(start).clone()))
            }
            Reply::Blind | Reply::Removed => start::Reply::Read(None),
        };
        let next = fencing.hear(&heard);
        let told = self.fence_told(fencing, next);
        self.fence_heard.insert((machine, reply), told);
        told
    }

    fn fence_told(&mut self, fencing: Fencing, next: start::Next) -> Told {
        let machine = self.fencings.number(fencing);
        match next {
            start::Next::Ask(start::Ask::Create(start)) => {
                Told::Create { machine, start: self.starts.number(start) }
            }
            start::Next::Ask(start::Ask::Child(claim)) => {
                let over = self.node(&claim);
                let target = self.child(over, self.run_id_of(over));
                Told::Put { machine, target, quorum: MAJORITY }
            }
            start::Next::Ask(start::Ask::Read) => Told::Read(machine),
            start::Next::Decided(true) => Told::Won(0),
            start::Next::Decided(false) => Told::Lost,
        }
    }

    pub(super) fn start(&self, start: Id) -> &Start {
        self.starts.get(start)
    }

    /// Of several fences the one that a reader of the document is given: CouchDB's winner.
    pub(super) fn start_named(&self, starts: Few) -> Id {
        let hash = |start: &Id| fingerprint(&format!("{:?}", self.starts.get(*start)));
        starts.iter().max_by_key(hash).unwrap_or_default()
    }

    fn leaves(&self, living: Few, start: Id) -> Leaves {
        let leaf = |id: Id| Some((self.revision(id).clone(), self.run_of(id)?.clone()));
        Leaves {
            runs: living.iter().filter_map(leaf).collect(),
            unreadable: Vec::new(),
            start: (start != 0).then(|| self.starts.get(start).clone()),
        }
    }

    fn node_of(&self, among: Few, revision: &Revision) -> Id {
        among.iter().find(|id| self.revision(*id) == revision).unwrap_or_default()
    }

    fn node(&self, revision: &Revision) -> Id {
        number(self.nodes.iter().position(|node| node.revision == *revision).unwrap_or_default())
    }
}

/// The incarnation of an engine's start.
pub(super) fn incarnation((engine, start): (u8, u8)) -> Incarnation {
    let mut bytes = [0; 16];
    (bytes[0], bytes[15]) = (engine + 1, start);
    Incarnation::from_random(bytes)
}

/// Which engine and which of its starts has a claim.
pub(super) fn holder(claim: &Claim) -> (u8, u8) {
    holder_of(&claim.incarnation)
}

/// Which engine and which of its starts an incarnation is.
pub(super) fn holder_of(incarnation: &Incarnation) -> (u8, u8) {
    let digits = incarnation.as_str();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_default();
    (byte(0).saturating_sub(1), byte(30))
}

fn revision(generation: u64, hashed: &str) -> Revision {
    format!("{generation}-{:016x}", fingerprint(hashed)).parse().expect("it is a revision")
}

/// FNV-1a with a final mix: spread is all that is asked of it, and that it is the same everywhere.
fn fingerprint(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
