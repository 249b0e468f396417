//! What the host of a unit test lends: it refuses what the real one refuses.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use blitz_contract::Capability;
use blitz_contract::frame::{EVENT_KIND_BYTES_MAX, is_event_kind};
use blitz_contract::load::{OPENING_EVENT, TICK_EVENT};

use super::answer::CannedAnswer;
use super::host::FakeHost;
use super::load::FakeTest;
use super::path::FakeSession;
use crate::dns;
use crate::host::{Host, HostError};
use crate::load::{LoadTest, Plan};
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
        if [OPENING_EVENT, TICK_EVENT].contains(&kind) {
            return Err(HostError::Failed(format!(
                "events of kind {kind:?} are the host's own, which makes them of a load test"
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

    fn load(&mut self, plan: &Plan) -> Result<Box<dyn LoadTest>, HostError> {
        if let Some(refusal) = self.lacks(&Capability::Load) {
            return Err(HostError::Denied(refusal));
        }
        self.plans.push(plan.clone());
        plan.check().map_err(|error| HostError::Failed(error.to_string()))?;
        if self.has_load_test.get() {
            let text = "a run has one load test at a time; drop the last one first";
            return Err(HostError::Limit(text.to_owned()));
        }
        if self.is_cancelled() {
            return Err(HostError::Limit("the job is asked to end".to_owned()));
        }
        let nothing = || Err(HostError::Failed("the test has no load test left".to_owned()));
        let load = self.loads.pop_front().unwrap_or_else(nothing)?;
        let end = self.cancelled_after.map(|after| after.saturating_sub(self.paused));
        let (clock, is_open) = (Rc::clone(&self.waited), Rc::clone(&self.has_load_test));
        Ok(Box::new(FakeTest::start(load, plan, clock, end, is_open)))
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

impl FakeHost {
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
