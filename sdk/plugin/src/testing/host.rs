//! The host of a unit test: its answers are canned, and what the plugin gave is recorded.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use blitz_contract::Capability;
use serde_json::Value;

use super::answer::CannedAnswer;
use super::load::FakeLoad;
use super::path::FakePath;
use super::recorder::Recorder;
use crate::dns;
use crate::host::HostError;
use crate::load::Plan;
use crate::probes::{Network, Target};
use crate::web::{Failure, Request};

/// Records everything and never waits.
///
/// It is built in one expression, and its fields are there to be looked at afterwards:
///
/// ```
/// use blitz_plugin::testing::{CannedAnswer, FakeHost};
///
/// let host = FakeHost::default()
///     .input("names.txt", "Ada\n")
///     .answers(CannedAnswer::new(200, "OK").header("server", "x").piece("body"))
///     .resolves(&["192.0.2.1"])
///     .time(std::time::Duration::from_secs(5));
/// assert_eq!(host.answers.len(), 1);
/// ```
#[derive(Debug)]
pub struct FakeHost {
    /// The region that the plugin is told.
    pub region: String,
    /// The rights that the plugin has; `None` is all. [`run`](fn@crate::testing::run) gives those that the
    /// manifest asks for.
    pub granted: Option<Vec<Capability>>,
    /// What [`Host::read_input`](crate::Host::read_input) finds, by name.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// What the next exchanges give, in order; none left is a failure to connect.
    pub answers: VecDeque<Result<CannedAnswer, Failure>>,
    /// The requests made, in order.
    pub requests: Vec<Request>,
    /// The output files, by name.
    pub outputs: BTreeMap<String, Vec<u8>>,
    /// The records given, as (kind, JSON).
    pub events: Vec<(String, Value)>,
    /// What the next lookups give, in order; none left is a failure.
    pub dns_answers: VecDeque<Result<dns::Answer, HostError>>,
    /// The questions asked, in order.
    pub questions: Vec<dns::Question>,
    /// What the next messages to DNS servers give, in order; none left is a failure. The id of the question is put
    /// into each.
    pub dns_replies: VecDeque<Result<dns::Reply, HostError>>,
    /// The messages sent, in order.
    pub messages: Vec<dns::Message>,
    /// The ways of the next sessions of probes, in order; none left is a failure.
    pub paths: VecDeque<Result<FakePath, HostError>>,
    /// The targets of the sessions, in order.
    pub targets: Vec<Target>,
    /// How the next load tests go, in order; none left is a failure.
    pub loads: VecDeque<Result<FakeLoad, HostError>>,
    /// The plans of the load tests, in order.
    pub plans: Vec<Plan>,
    /// A load test is held open.
    pub has_load_test: Rc<Cell<bool>>,
    /// Whose addresses are whose; `None` is an engine without a database.
    pub networks: Option<BTreeMap<IpAddr, Network>>,
    /// Where sockets lead, by host and port: to a listener of the test.
    pub peers: BTreeMap<(String, u16), SocketAddr>,
    /// The connections asked for, TCP and UDP, in order.
    pub connections: Vec<(String, u16)>,
    /// The counters, by name.
    pub counters: BTreeMap<String, u64>,
    /// The values of distributions, by name and in order.
    pub observations: BTreeMap<String, Vec<u64>>,
    /// The time of the whole job.
    pub time: Duration,
    /// How long the plugin has paused; nothing waits for it.
    pub paused: Duration,
    /// How long sessions of probes and load tests have waited; nothing waits for it.
    pub waited: Rc<Cell<Duration>>,
    /// The job is asked to end once it has paused and waited for so long.
    pub cancelled_after: Option<Duration>,
    /// The command's standard output.
    pub stdout: Recorder,
    /// The command's standard error.
    pub stderr: Recorder,
}

impl Default for FakeHost {
    fn default() -> Self {
        Self {
            region: "testing".to_owned(),
            granted: None,
            inputs: BTreeMap::new(),
            answers: VecDeque::new(),
            requests: Vec::new(),
            outputs: BTreeMap::new(),
            events: Vec::new(),
            dns_answers: VecDeque::new(),
            questions: Vec::new(),
            dns_replies: VecDeque::new(),
            messages: Vec::new(),
            paths: VecDeque::new(),
            targets: Vec::new(),
            loads: VecDeque::new(),
            plans: Vec::new(),
            has_load_test: Rc::default(),
            networks: None,
            peers: BTreeMap::new(),
            connections: Vec::new(),
            counters: BTreeMap::new(),
            observations: BTreeMap::new(),
            time: Duration::from_secs(60),
            paused: Duration::ZERO,
            waited: Rc::default(),
            cancelled_after: None,
            stdout: Recorder::default(),
            stderr: Recorder::default(),
        }
    }
}

/// What a test prepares.
impl FakeHost {
    /// Adds an answer for the next exchange.
    #[must_use]
    pub fn answers(mut self, answer: CannedAnswer) -> Self {
        self.answers.push_back(Ok(answer));
        self
    }

    /// Makes the next exchange fail.
    #[must_use]
    pub fn fails(mut self, failure: Failure) -> Self {
        self.answers.push_back(Err(failure));
        self
    }

    /// Gives an input of the user's machine; `-` is what [`Host::read_input`](crate::Host::read_input) reads as stdin.
    #[must_use]
    pub fn input(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.inputs.insert(name.to_owned(), bytes.into());
        self
    }

    /// Answers the next lookup with these records, all of the name and type that are asked for; each as in a zone
    /// file: `10 mail.example.com.` An empty list is an answer without records.
    #[must_use]
    pub fn resolves(self, texts: &[&str]) -> Self {
        let record = |text: &&str| dns::Record {
            name: String::new(),
            record_type: 0,
            ttl_s: 300,
            text: (*text).to_owned(),
        };
        self.dns(Ok(dns::Answer {
            server: "192.0.2.53:53".to_owned(),
            code: 0,
            answers: texts.iter().map(record).collect(),
            authorities: Vec::new(),
            elapsed: Duration::from_millis(1),
        }))
    }

    /// Answers the next lookup. A record without a name gets that of the question, one of type 0 its type.
    #[must_use]
    pub fn dns(mut self, answer: Result<dns::Answer, HostError>) -> Self {
        self.dns_answers.push_back(answer);
        self
    }

    /// Answers the next message to a DNS server.
    #[must_use]
    pub fn dns_reply(mut self, reply: Result<dns::Reply, HostError>) -> Self {
        self.dns_replies.push_back(reply);
        self
    }

    /// The way of the next session of probes.
    #[must_use]
    pub fn path(mut self, path: FakePath) -> Self {
        self.paths.push_back(Ok(path));
        self
    }

    /// Makes the next session of probes fail.
    #[must_use]
    pub fn no_path(mut self, error: HostError) -> Self {
        self.paths.push_back(Err(error));
        self
    }

    /// How the next load test goes.
    #[must_use]
    pub fn loads(mut self, load: FakeLoad) -> Self {
        self.loads.push_back(Ok(load));
        self
    }

    /// Makes the next load test fail at its start.
    #[must_use]
    pub fn no_load(mut self, error: HostError) -> Self {
        self.loads.push_back(Err(error));
        self
    }

    /// Puts an address into the engine's database of networks.
    #[must_use]
    pub fn network(mut self, address: IpAddr, network: Network) -> Self {
        self.networks.get_or_insert_default().insert(address, network);
        self
    }

    /// Leads sockets for this host and port to a listener of the test.
    #[must_use]
    pub fn peer(mut self, host: &str, port: u16, address: SocketAddr) -> Self {
        self.peers.insert((host.to_owned(), port), address);
        self
    }

    /// Gives the job so much time.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Asks the job to end once the plugin has paused for so long; zero is at once.
    #[must_use]
    pub fn cancelled_after(mut self, paused: Duration) -> Self {
        self.cancelled_after = Some(paused);
        self
    }

    /// Runs the job in this region.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }
}

/// What a test looks at.
impl FakeHost {
    /// Standard output as text.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout.bytes).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes).into_owned()
    }

    /// The records of one kind, in order.
    #[must_use]
    pub fn records(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|(of, _)| of == kind).map(|(_, record)| record).collect()
    }

    /// What an output file holds, as text; empty when it was not written.
    #[must_use]
    pub fn output_text(&self, name: &str) -> String {
        let bytes = self.outputs.get(name).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The text of a refusal when the plugin lacks this right.
    pub(super) fn lacks(&self, right: &Capability) -> Option<String> {
        let lacks = self.granted.as_ref().is_some_and(|granted| !granted.contains(right));
        lacks.then(|| {
            format!(
                "the job has no grant {0:?}: the plugin's manifest must ask for it (capabilities = [{0:?}])",
                right.name()
            )
        })
    }

    /// The listener of a test, or a loopback address as it stands: no unit test asks the real network.
    pub(super) fn peer_address(&mut self, host: &str, port: u16) -> Result<SocketAddr, HostError> {
        if let Some(refusal) = self.lacks(&Capability::Sockets) {
            return Err(HostError::Denied(refusal));
        }
        let key = (host.to_owned(), port);
        let loopback = host.parse().ok().filter(IpAddr::is_loopback);
        let address = self.peers.get(&key).copied();
        self.connections.push(key);
        address.or_else(|| loopback.map(|ip| (ip, port).into())).ok_or_else(|| {
            HostError::Failed(format!(
                "the test has no peer {host}:{port}: FakeHost::peer gives one"
            ))
        })
    }
}
