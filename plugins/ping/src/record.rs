//! The same for programs: a record of kind `echo` for each answer, and one of kind `summary` at the end.

use std::net::IpAddr;

use blitz_plugin::Record;
use blitz_plugin::probes::{Answer, Outcome, Protocol};

use crate::settings::Settings;
use crate::tally::{Rtt, Tally};
use crate::words;

/// One answer.
pub(crate) fn echo(answer: &Answer, name: Option<&str>, is_new: bool) -> Record {
    let (outcome, error) = match answer.outcome {
        Outcome::Reached if is_new => ("reply", None),
        Outcome::Reached => ("duplicate", None),
        Outcome::Unsent => ("unsent", Some(words::unsent(answer))),
        Outcome::TimeExceeded => ("time-exceeded", Some(words::error(answer))),
        Outcome::Unreachable => ("unreachable", Some(words::error(answer))),
    };
    let has_time = answer.outcome != Outcome::Unsent;
    Record::new()
        .field("seq", answer.id)
        .field("outcome", outcome)
        .field("addr", answer.from.map(|from| from.to_string()))
        .field("name", name)
        .field("ttl", answer.ttl)
        .field("rtt_us", has_time.then_some(answer.rtt_ns / 1000))
        .field("icmp", answer.icmp.map(|(kind, code)| [kind, code]))
        .field("mtu", answer.mtu)
        .field("is_open", answer.is_open)
        .field("error", error)
}

/// The whole. `rtt_us` is null where nothing was received, `jitter_us` before the second answer.
pub(crate) fn summary(settings: &Settings, address: IpAddr, tally: &Tally) -> Record {
    let rtt = tally.rtt().map(|Rtt { min_us, avg_us, max_us, mdev_us }| {
        let record = Record::new().field("min", min_us).field("avg", avg_us);
        record.field("max", max_us).field("mdev", mdev_us)
    });
    let protocol = match settings.target.protocol {
        Protocol::Icmp => "icmp",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    Record::new()
        .field("host", &settings.target.host)
        .field("address", address.to_string())
        .field("protocol", protocol)
        .field("port", (settings.port > 0).then_some(settings.port))
        .field("sent", tally.sent)
        .field("received", tally.received)
        .field("duplicates", tally.duplicates)
        .field("errors", tally.errors)
        .field("loss_percent", (tally.loss_percent() * 1000.0).round() / 1000.0)
        .field("rtt_us", rtt)
        .field("jitter_us", tally.jitter_us())
}
