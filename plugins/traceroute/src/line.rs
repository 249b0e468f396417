//! The line of a hop, as traceroute prints it.

use std::fmt::Write as _;
use std::net::IpAddr;

use blitz_plugin::probes::{Answer, Label, Outcome};

use crate::known::Known;
use crate::settings::Settings;
use crate::strategy::Hop;

/// Without its end.
pub(crate) fn line(hop: &Hop, settings: &Settings, known: &Known) -> String {
    let mut line = format!("{:2} ", hop.ttl);
    let mut shown: Option<(Option<IpAddr>, &[Label])> = None;
    let mut mtu = hop.mtu;
    for slot in &hop.slots {
        let Some(answer) = &slot.answer else {
            line.push_str(" *");
            continue;
        };
        let is = (answer.from, answer.labels.as_slice());
        if shown != Some(is) {
            line.push_str(&who(answer, settings, known));
            shown = Some(is);
        }
        if answer.outcome != Outcome::Unsent {
            write!(line, "  {} ms", milliseconds(answer.rtt_ns)).ok();
        }
        if let Some(mtu) = mtu.take() {
            write!(line, " F={mtu}").ok();
        }
        if let Some(note) = note(answer) {
            write!(line, " {note}").ok();
        }
    }
    line
}

fn who(answer: &Answer, settings: &Settings, known: &Known) -> String {
    let Some(address) = answer.from else { return " *".to_owned() };
    let mut who = if settings.is_numeric {
        format!(" {address}")
    } else {
        let text = address.to_string();
        format!(" {} ({text})", known.name(address).unwrap_or(&text))
    };
    if settings.shows_networks {
        let asn = known.network(address).and_then(|network| network.asn);
        who.push_str(&asn.map_or(" [*]".to_owned(), |asn| format!(" [AS{asn}]")));
    }
    if settings.shows_labels && !answer.labels.is_empty() {
        let label = |l: &Label| {
            let is_bottom = u8::from(l.is_bottom);
            format!("L={},E={},S={is_bottom},T={}", l.label, l.traffic_class, l.ttl)
        };
        let labels: Vec<String> = answer.labels.iter().map(label).collect();
        write!(who, " <MPLS:{}>", labels.join("/")).ok();
    }
    who
}

/// With three places behind the point.
fn milliseconds(rtt_ns: u64) -> String {
    let rtt_us = rtt_ns / 1000;
    format!("{}.{:03}", rtt_us / 1000, rtt_us % 1000)
}

/// Why it does not go on, by the codes of RFC 792, RFC 1812 and RFC 4443; `None` for what is no error.
pub(crate) fn note(answer: &Answer) -> Option<String> {
    let mtu = answer.mtu.unwrap_or_default();
    let is_ipv6 = answer.from.is_some_and(|from| from.is_ipv6());
    let note = match (is_ipv6, answer.icmp) {
        (_, None) if answer.outcome == Outcome::Unsent => {
            return answer.mtu.map(|mtu| format!("!F-{mtu}"));
        }
        // Time exceeded, an echo, a port that nobody listens at.
        (_, None) | (false, Some((11, 0) | (0, _) | (3, 3))) => return None,
        (true, Some((3, 0) | (129, _) | (1, 4))) => return None,
        (false, Some((3, 4))) | (true, Some((2, _))) => return Some(format!("!F-{mtu}")),
        (false, Some((3, 0 | 6 | 8 | 11))) | (true, Some((1, 0))) => "!N",
        (false, Some((3, 1 | 7 | 12))) | (true, Some((1, 2 | 3))) => "!H",
        (false, Some((3, 2))) => "!P",
        (false, Some((3, 5))) => "!S",
        (false, Some((3, 9 | 10 | 13))) | (true, Some((1, 1))) => "!X",
        (false, Some((3, 14))) => "!V",
        (false, Some((3, 15))) => "!C",
        (false, Some((3, code))) | (true, Some((1, code))) => return Some(format!("!<{code}>")),
        (_, Some((kind, code))) => return Some(format!("!<{kind}-{code}>")),
    };
    Some(note.to_owned())
}
