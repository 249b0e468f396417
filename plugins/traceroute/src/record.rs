//! The same for programs: a record of kind `hop` for each, and one of kind `trace` at the end.

use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::probes::{Label, Outcome};
use blitz_plugin::{Host, HostError, Record};

use crate::known::Known;
use crate::line;
use crate::strategy::Hop;

/// One hop. What stands beside `addresses` is of the first that answered.
pub(crate) fn hop(hop: &Hop, known: &Known) -> Record {
    let addresses: Vec<Record> = hop
        .addresses()
        .into_iter()
        .map(|address| {
            let answers = hop.answers().filter(|answer| answer.from == Some(address));
            let rtt_us: Vec<u64> = answers.map(|answer| answer.rtt_ns / 1000).collect();
            who(Record::new(), Some(address), known).field("rtt_us", rtt_us)
        })
        .collect();
    let first = hop.answers().next();
    let labels: &[Label] = first.map_or(&[], |answer| &answer.labels);
    let label = |label: &Label| {
        let &Label { label, traffic_class, is_bottom, ttl } = label;
        let record = Record::new().field("label", label).field("traffic_class", traffic_class);
        record.field("is_bottom", is_bottom).field("ttl", ttl)
    };
    let record = short(hop, known);
    record
        .field("icmp", first.and_then(|answer| answer.icmp).map(|(kind, code)| [kind, code]))
        .field("mtu", hop.mtu)
        .field("mpls", labels.iter().map(label).collect::<Vec<Record>>())
        .field("addresses", addresses)
}

/// A hop as the record of the trace has it.
fn short(hop: &Hop, known: &Known) -> Record {
    let address = hop.answers().find_map(|answer| answer.from);
    let record = who(Record::new().field("ttl", hop.ttl), address, known);
    let error = hop.answers().find_map(line::note);
    record.field("rtt_us", hop.rtts_us()).field("error", error)
}

fn who(record: Record, address: Option<IpAddr>, known: &Known) -> Record {
    let network = address.and_then(|address| known.network(address));
    record
        .field("addr", address.map(|address| address.to_string()))
        .field("name", address.and_then(|address| known.name(address)))
        .field("asn", network.and_then(|network| network.asn))
        .field("organization", network.and_then(|network| network.organization.as_ref()))
        .field("country", network.and_then(|network| network.country.as_ref()))
}

/// The whole, as it grows.
#[derive(Debug)]
pub(crate) struct Trace {
    host: String,
    address: IpAddr,
    hops: Vec<Record>,
    last_ttl: Option<u8>,
    /// Of the target.
    rtt_us: Option<u64>,
    pub(crate) is_reached: bool,
    /// Why a probe did not leave the engine.
    pub(crate) unsent: Option<String>,
}

impl Trace {
    pub(crate) fn new(host: &str, address: IpAddr) -> Self {
        Self {
            host: host.to_owned(),
            address,
            hops: Vec::new(),
            last_ttl: None,
            rtt_us: None,
            is_reached: false,
            unsent: None,
        }
    }

    pub(crate) fn add(&mut self, hop: &Hop, known: &Known) {
        self.hops.push(short(hop, known));
        self.last_ttl = Some(hop.ttl);
        let came = |outcome, from| match outcome {
            Outcome::Reached => true,
            // Its own firewall says no: it is there all the same.
            Outcome::Unreachable => from == Some(self.address),
            Outcome::TimeExceeded | Outcome::Unsent => false,
        };
        let target = hop.answers().filter(|answer| came(answer.outcome, answer.from));
        self.rtt_us = target.map(|answer| answer.rtt_ns / 1000).min();
        self.is_reached = self.rtt_us.is_some();
        let unsent = hop.answers().find(|answer| answer.outcome == Outcome::Unsent);
        if let Some(answer) = unsent.filter(|answer| answer.mtu.is_none()) {
            let text = answer.text.clone();
            self.unsent = text.or_else(|| Some("a probe did not leave the engine".to_owned()));
        }
    }

    /// Gives the record; without the hops, which have records of their own, where they are too long for one.
    pub(crate) fn emit(
        &self,
        probes_count: usize,
        elapsed: Duration,
        host: &mut dyn Host,
    ) -> Result<(), HostError> {
        let record = |hops: Option<&[Record]>| {
            Record::new()
                .field("host", &self.host)
                .field("address", self.address.to_string())
                .field("hops_count", self.last_ttl)
                .field("rtt_us", self.rtt_us)
                .field("reached", self.is_reached)
                .field("probes_count", probes_count)
                .field("elapsed_us", u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
                .field("hops", hops)
        };
        match record(Some(&self.hops)).emit(host, "trace") {
            Err(HostError::Limit(_)) => record(None).emit(host, "trace"),
            went => went,
        }
    }
}
