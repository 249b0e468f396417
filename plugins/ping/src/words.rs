//! The lines of ping.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use blitz_plugin::probes::{Answer, Outcome, Protocol};

use crate::settings::Settings;
use crate::tally::{Rtt, Tally};

/// `PING host (192.0.2.1) 56(84) bytes of data.`
pub(crate) fn head(settings: &Settings, address: IpAddr, size_bytes: u16) -> String {
    let (host, size) = (&settings.target.host, settings.size);
    let port = match settings.target.protocol {
        Protocol::Icmp => String::new(),
        Protocol::Tcp => format!(" port {}/tcp", settings.port),
        Protocol::Udp => format!(" port {}/udp", settings.port),
    };
    match (settings.target.protocol, address.is_ipv4()) {
        (Protocol::Tcp, true) => format!("PING {host} ({address}){port}"),
        (Protocol::Tcp, false) => format!("PING {host}({address}){port}"),
        (_, true) => format!("PING {host} ({address}){port} {size}({size_bytes}) bytes of data."),
        (_, false) if !settings.target.names => {
            format!("PING {host}({address}){port} {size} data bytes")
        }
        (_, false) => format!("PING {host}({host} ({address})){port} {size} data bytes"),
    }
}

/// `64 bytes from name (192.0.2.1): icmp_seq=1 ttl=57 time=11.3 ms`
pub(crate) fn echo(settings: &Settings, who: &str, answer: &Answer, is_new: bool) -> String {
    let what = match settings.target.protocol {
        Protocol::Icmp => format!("{} bytes", u32::from(settings.size) + 8),
        Protocol::Tcp if answer.is_open == Some(true) => "open".to_owned(),
        Protocol::Tcp => "closed".to_owned(),
        Protocol::Udp => "answer".to_owned(),
    };
    let sequence = sequence(settings, answer.id);
    let ttl = answer.ttl.map(|ttl| format!(" ttl={ttl}")).unwrap_or_default();
    let duplicate = if is_new { "" } else { " (DUP!)" };
    let time = time(answer.rtt_ns / 1000);
    format!("{what} from {who}: {sequence}{ttl} time={time} ms{duplicate}")
}

/// `icmp_seq=1`
pub(crate) fn sequence(settings: &Settings, id: u32) -> String {
    match settings.target.protocol {
        // 16 bits, as it is in the packet.
        Protocol::Icmp => format!("icmp_seq={}", id & 0xffff),
        Protocol::Tcp => format!("tcp_seq={id}"),
        Protocol::Udp => format!("udp_seq={id}"),
    }
}

/// Three digits are enough, rounded, as ping of iputils has them.
fn time(us: u64) -> String {
    match us {
        99_950.. => ((us + 500) / 1000).to_string(),
        9995.. => with_digits(us + 50, 100, 1),
        1000.. => with_digits(us + 5, 10, 2),
        _ => with_digits(us, 1, 3),
    }
}

/// Milliseconds with so many digits behind the point; the last one is worth so many microseconds.
fn with_digits(us: u64, digit_us: u64, digits: usize) -> String {
    format!("{}.{:0digits$}", us / 1000, us % 1000 / digit_us)
}

/// `name (192.0.2.1)`, or the address alone.
pub(crate) fn who(settings: &Settings, address: IpAddr, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{name} ({address})"),
        None if settings.target.names => format!("{address} ({address})"),
        None => address.to_string(),
    }
}

/// `[1700000000.123456] `
pub(crate) fn stamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("[{}.{:06}] ", now.as_secs(), now.subsec_micros())
}

/// Why a packet never left.
pub(crate) fn unsent(answer: &Answer) -> String {
    match (answer.mtu, &answer.text) {
        (Some(mtu), _) => format!("local error: message too long, mtu={mtu}"),
        (None, Some(text)) => format!("sendmsg: {text}"),
        (None, None) => "sendmsg: the packet did not leave the engine".to_owned(),
    }
}

/// What the network says, by the codes of RFC 792, RFC 1812 and RFC 4443.
pub(crate) fn error(answer: &Answer) -> String {
    let mtu = answer.mtu.unwrap_or_default();
    let is_ipv6 = answer.from.is_some_and(|from| from.is_ipv6());
    let text = match (is_ipv6, answer.icmp) {
        (_, None) => match answer.outcome {
            Outcome::TimeExceeded => "Time to live exceeded",
            _ => "Destination Host Unreachable",
        },
        (false, Some((3, 0))) => "Destination Net Unreachable",
        (false, Some((3, 1))) => "Destination Host Unreachable",
        (false, Some((3, 2))) => "Destination Protocol Unreachable",
        (false, Some((3, 3))) => "Destination Port Unreachable",
        (false, Some((3, 4))) => return format!("Frag needed and DF set (mtu = {mtu})"),
        (false, Some((3, 5))) => "Source Route Failed",
        (false, Some((3, 6))) => "Destination Net Unknown",
        (false, Some((3, 7))) => "Destination Host Unknown",
        (false, Some((3, 8))) => "Source Host Isolated",
        (false, Some((3, 9))) => "Destination Net Prohibited",
        (false, Some((3, 10))) => "Destination Host Prohibited",
        (false, Some((3, 11))) => "Destination Net Unreachable for Type of Service",
        (false, Some((3, 12))) => "Destination Host Unreachable for Type of Service",
        (false, Some((3, 13))) => "Packet filtered",
        (false, Some((3, 14))) => "Precedence Violation",
        (false, Some((3, 15))) => "Precedence Cutoff",
        (false, Some((3, code))) => return format!("Dest Unreachable, Bad Code: {code}"),
        (false, Some((11, 0))) => "Time to live exceeded",
        (false, Some((11, 1))) => "Frag reassembly time exceeded",
        (false, Some((12, _))) => "Parameter problem",
        (true, Some((1, 0))) => "Destination unreachable: No route",
        (true, Some((1, 1))) => "Destination unreachable: Administratively prohibited",
        (true, Some((1, 2))) => "Destination unreachable: Beyond scope of source address",
        (true, Some((1, 3))) => "Destination unreachable: Address unreachable",
        (true, Some((1, 4))) => "Destination unreachable: Port unreachable",
        (true, Some((1, code))) => return format!("Destination unreachable: Unknown code {code}"),
        (true, Some((2, _))) => return format!("Packet too big: mtu={mtu}"),
        (true, Some((3, 0))) => "Time exceeded: Hop limit",
        (true, Some((3, 1))) => "Time exceeded: Defragmentation failure",
        (true, Some((4, _))) => "Parameter problem",
        (_, Some((kind, _))) => return format!("Bad ICMP type: {kind}"),
    };
    text.to_owned()
}

/// The last words: a block of lines.
pub(crate) fn statistics(settings: &Settings, tally: &Tally) -> String {
    let Tally { sent, received, duplicates, errors, .. } = tally;
    let mut text = format!("\n--- {} ping statistics ---\n", settings.target.host);
    text.push_str(&format!("{sent} packets transmitted, {received} received"));
    for (count, what) in [(duplicates, "duplicates"), (errors, "errors")] {
        if *count > 0 {
            text.push_str(&format!(", +{count} {what}"));
        }
    }
    let time = tally.last_sent.saturating_sub(tally.first_sent).as_millis();
    text.push_str(&format!(", {}% packet loss, time {time}ms\n", percent(tally.loss_percent())));
    if let Some(Rtt { min_us, avg_us, max_us, mdev_us }) = tally.rtt() {
        let times = [min_us, avg_us, max_us, mdev_us].map(milliseconds).join("/");
        text.push_str(&format!("rtt min/avg/max/mdev = {times} ms"));
        if tally.pipe > 1 {
            text.push_str(&format!(", pipe {}", tally.pipe));
        }
    }
    text.push('\n');
    text
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}

/// Six digits at most, as `%g` has it.
fn percent(percent: f64) -> String {
    let places = match percent {
        100.0.. => 3,
        10.0.. => 4,
        _ => 5,
    };
    let text = format!("{percent:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_three_digits() {
        for (us, text) in [
            (0, "0.000"),
            (999, "0.999"),
            (1004, "1.00"),
            (1005, "1.01"),
            (9994, "9.99"),
            (9995, "10.0"),
            (20_049, "20.0"),
            (20_050, "20.1"),
            (99_949, "99.9"),
            (99_950, "100"),
            (123_499, "123"),
            (123_500, "124"),
        ] {
            assert_eq!(time(us), text, "{us}");
        }
    }
}
