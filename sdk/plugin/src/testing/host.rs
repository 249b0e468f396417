//! The host of a unit test: its answers are canned, what the plugin gave is recorded, and it refuses what the real
//! one refuses.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use blitz_contract::Capability;
use blitz_contract::frame::{EVENT_KIND_BYTES_MAX, is_event_kind};
use serde_json::Value;

use super::answer::CannedAnswer;
use super::path::{FakePath, FakeSession};
use super::recorder::Recorder;
use crate::dns;
use crate::host::{Host, HostError};
use crate::probes::{Network, Session, Target};
use crate::web::{Answer, Failure, FailureKind, Request};

/// Bytes of an output file's name, as the host has it: `PATH_MAX` of Linux.
const FILE_NAME_MAX_BYTES: usize = 4096;

/// Output files of one run, as the host has it.
const OUTPUT_FILES_MAX: usize = 64;

/// Bytes of one record, as the host has it.
const EVENT_MAX_BYTES: usize = 64 * 1024;

/// Bytes of a metric's name, as the contract has it.
const METRIC_NAME_MAX_BYTES: usize = 40;

/// Counters and distributions of one run, as the host has it.
const METRICS_MAX: usize = 64;

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
    /// What [`Host::read_input`] finds, by name.
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
    /// How long sessions of probes have waited; nothing waits for it.
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

    /// Gives an input of the user's machine; `-` is what [`Host::read_input`] reads as stdin.
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
    fn lacks(&self, right: &Capability) -> Option<String> {
        let lacks = self.granted.as_ref().is_some_and(|granted| !granted.contains(right));
        lacks.then(|| {
            format!(
                "the job has no grant {0:?}: the plugin's manifest must ask for it (capabilities = [{0:?}])",
                right.name()
            )
        })
    }

    /// The listener of a test, or a loopback address as it stands: no unit test asks the real network.
    fn peer_address(&mut self, host: &str, port: u16) -> Result<SocketAddr, HostError> {
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

    fn check_new_metric(&self, name: &str) -> Result<(), HostError> {
        // Two words or more: the last one is the unit.
        let fits = name.len() <= METRIC_NAME_MAX_BYTES
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && name
                .rsplit_once('_')
                .is_some_and(|(what, unit)| !what.is_empty() && !unit.is_empty());
        if !fits {
            return Err(HostError::Failed(format!(
                "a metric's name is 1 to {METRIC_NAME_MAX_BYTES} of a-z, 0-9 and _, and ends with its unit \
                 (latency_us, requests_count), not {name:?}"
            )));
        }
        if self.counters.len() + self.observations.len() >= METRICS_MAX {
            return Err(HostError::Limit(format!(
                "a run has at most {METRICS_MAX} counters and distributions; {name:?} is one more"
            )));
        }
        Ok(())
    }
}

impl Host for FakeHost {
    fn stdout(&mut self) -> &mut dyn Write {
        &mut self.stdout
    }

    fn stderr(&mut self) -> &mut dyn Write {
        &mut self.stderr
    }

    fn read_input(
        &mut self,
        name: &str,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Vec<u8>, HostError> {
        let Some(whole) = self.inputs.get(name) else {
            return Err(HostError::Denied(format!("{name:?} did not come with the job")));
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let rest = whole.get(offset..).unwrap_or_default();
        Ok(rest[..rest.len().min(bytes_max)].to_vec())
    }

    fn write_output(&mut self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        if name.is_empty() || name.len() > FILE_NAME_MAX_BYTES || name.contains(char::is_control) {
            return Err(HostError::Failed(format!(
                "a file name has 1 to {FILE_NAME_MAX_BYTES} bytes and no control characters"
            )));
        }
        if !self.outputs.contains_key(name) && self.outputs.len() >= OUTPUT_FILES_MAX {
            return Err(HostError::Limit(format!(
                "a run writes at most {OUTPUT_FILES_MAX} files; {name:?} is one more"
            )));
        }
        self.outputs.entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn emit(&mut self, kind: &str, body: &str) -> Result<(), HostError> {
        if !is_event_kind(kind) {
            return Err(HostError::Failed(format!(
                "an event's kind is 1 to {EVENT_KIND_BYTES_MAX} of a-z, 0-9 and -, not {kind:?}"
            )));
        }
        if body.len() > EVENT_MAX_BYTES {
            return Err(HostError::Limit(format!(
                "an event has at most {EVENT_MAX_BYTES} bytes, {kind:?} has {}",
                body.len()
            )));
        }
        let body = serde_json::from_str(body).map_err(|error| {
            HostError::Failed(format!("the event {kind:?} is not JSON: {error}"))
        })?;
        self.events.push((kind.to_owned(), body));
        Ok(())
    }

    fn exchange(&mut self, request: &Request) -> Result<Answer, Failure> {
        if let Some(refusal) = self.lacks(&Capability::Web) {
            return Err(Failure::new(FailureKind::Denied, refusal));
        }
        self.requests.push(request.clone());
        let nothing = || Err(Failure::new(FailureKind::Connect, "the test has no answer left"));
        self.answers.pop_front().unwrap_or_else(nothing).map(CannedAnswer::into_answer)
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<TcpStream, HostError> {
        let address = self.peer_address(host, port)?;
        TcpStream::connect_timeout(&address, timeout).map_err(failed)
    }

    fn connect_udp(&mut self, host: &str, port: u16) -> Result<UdpSocket, HostError> {
        let address = self.peer_address(host, port)?;
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, 0).into(),
        };
        let socket = UdpSocket::bind(own).map_err(failed)?;
        socket.connect(address).map_err(failed)?;
        Ok(socket)
    }

    fn lookup(&mut self, question: &dns::Question) -> Result<dns::Answer, HostError> {
        if let Some(refusal) = self.lacks(&Capability::Dns) {
            return Err(HostError::Denied(refusal));
        }
        self.questions.push(question.clone());
        let nothing = || Err(HostError::Failed("the test has no answer left".to_owned()));
        let mut answer = self.dns_answers.pop_front().unwrap_or_else(nothing)?;
        for record in &mut answer.answers {
            if record.name.is_empty() {
                record.name = question.name.clone();
            }
            if record.record_type == 0 {
                record.record_type = question.record_type;
            }
        }
        Ok(answer)
    }

    fn dns_exchange(&mut self, message: &dns::Message) -> Result<dns::Reply, HostError> {
        if let Some(refusal) = self.lacks(&Capability::Dns) {
            return Err(HostError::Denied(refusal));
        }
        self.messages.push(message.clone());
        let nothing = || Err(HostError::Failed("the test has no reply left".to_owned()));
        let mut reply = self.dns_replies.pop_front().unwrap_or_else(nothing)?;
        if let (Some(id), Some(asked)) = (reply.bytes.get_mut(..2), message.bytes.get(..2)) {
            id.copy_from_slice(asked);
        }
        Ok(reply)
    }

    fn probes(&mut self, target: &Target) -> Result<Box<dyn Session>, HostError> {
        if let Some(refusal) = self.lacks(&Capability::Probes) {
            return Err(HostError::Denied(refusal));
        }
        self.targets.push(target.clone());
        let nothing = || Err(HostError::Failed("the test has no path left".to_owned()));
        let path = self.paths.pop_front().unwrap_or_else(nothing)?;
        let end = self.cancelled_after.map(|after| after.saturating_sub(self.paused));
        Ok(Box::new(FakeSession::new(path, Rc::clone(&self.waited), end)))
    }

    fn networks(&mut self, addresses: &[IpAddr]) -> Result<Vec<Option<Network>>, HostError> {
        match &self.networks {
            Some(known) => {
                Ok(addresses.iter().map(|address| known.get(address).cloned()).collect())
            }
            None => Err(HostError::Failed("this engine has no database of networks".to_owned())),
        }
    }

    fn count(&mut self, name: &str, by: u64) -> Result<(), HostError> {
        if !self.counters.contains_key(name) {
            self.check_new_metric(name)?;
        }
        let counter = self.counters.entry(name.to_owned()).or_default();
        *counter = counter.saturating_add(by);
        Ok(())
    }

    fn observe(&mut self, name: &str, values: &[u64]) -> Result<(), HostError> {
        if !self.observations.contains_key(name) {
            self.check_new_metric(name)?;
        }
        self.observations.entry(name.to_owned()).or_default().extend_from_slice(values);
        Ok(())
    }

    fn time_left(&mut self) -> Duration {
        self.time.saturating_sub(self.paused + self.waited.get())
    }

    fn is_cancelled(&mut self) -> bool {
        self.cancelled_after.is_some_and(|after| self.paused + self.waited.get() >= after)
    }

    /// Time passes without waiting.
    fn pause(&mut self, time: Duration) -> bool {
        self.paused += match self.cancelled_after {
            Some(after) => time.min(after.saturating_sub(self.paused + self.waited.get())),
            None => time,
        };
        self.is_cancelled()
    }
}

fn failed(error: io::Error) -> HostError {
    HostError::Failed(error.to_string())
}
