//! What traceroute, mtr and ping print, as values: Debian's tools and ours have the same form.

use std::net::IpAddr;

/// One line of a traceroute.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hop {
    /// Its number.
    pub ttl: u8,
    /// Who answered, each once, in the order of the line.
    pub from: Vec<String>,
    /// What the addresses are called, where a name was printed.
    pub names: Vec<String>,
    /// In milliseconds.
    pub rtts: Vec<f64>,
    /// Probes without an answer.
    pub unanswered: usize,
    /// `!H` and its like.
    pub marks: Vec<String>,
    /// What a packet may have, where `--mtu` found a link that carries less.
    pub mtu: Option<u32>,
}

impl Hop {
    /// The only one who answered.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        match self.from.as_slice() {
            [from] => Some(from),
            _ => None,
        }
    }
}

/// The hops of a traceroute; lines of another form are left out.
#[must_use]
pub fn traceroute(text: &str) -> Vec<Hop> {
    text.lines().filter_map(hop).collect()
}

fn hop(line: &str) -> Option<Hop> {
    let mut words = line.split_whitespace().peekable();
    let mut hop = Hop { ttl: words.next()?.parse().ok()?, ..Hop::default() };
    let mut name = None;
    while let Some(word) = words.next() {
        let bare = word.trim_matches(['(', ')']);
        if word == "*" {
            hop.unanswered += 1;
        } else if let Some(mtu) = word.strip_prefix("F=") {
            hop.mtu = mtu.parse().ok();
        } else if word.starts_with('!') {
            hop.marks.push(word.to_owned());
        } else if bare.parse::<IpAddr>().is_ok() {
            if bare != word {
                hop.names.extend(name.take().filter(|name| name != bare));
            } else if words.peek().is_some_and(|next| next.starts_with('(')) {
                // Where a name is missing the address stands in its place.
                continue;
            }
            if !hop.from.iter().any(|from| from == bare) {
                hop.from.push(bare.to_owned());
            }
        } else if let (Ok(rtt), Some(&"ms")) = (word.parse(), words.peek()) {
            hop.rtts.push(rtt);
        } else if word != "ms" {
            name = Some(word.to_owned());
        }
    }
    Some(hop)
}

/// One line of a report of mtr.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number.
    pub ttl: u8,
    /// `None` where nobody answered.
    pub from: Option<String>,
    /// Per cent.
    pub loss: f64,
    /// Probes that were sent.
    pub sent: u32,
    /// In milliseconds: the last, the mean, the best, the worst, and the standard deviation.
    pub times: Vec<f64>,
}

/// The rows of a report.
#[must_use]
pub fn mtr(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let (ttl, rest) = line.split_once(".|--")?;
        let mut words = rest.split_whitespace();
        let from = words.next()?;
        let loss = words.next()?.trim_end_matches('%').parse().ok()?;
        let sent = words.next()?.parse().ok()?;
        Some(Row {
            ttl: ttl.trim().parse().ok()?,
            from: (from != "???").then(|| from.to_owned()),
            loss,
            sent,
            times: words.filter_map(|word| word.parse().ok()).collect(),
        })
    };
    text.lines().filter_map(row).collect()
}

/// The lines of a ping with every figure of time and size left out, for a comparison by words.
#[must_use]
pub fn without_times(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let words = line.split_whitespace().map(|word| match word.split_once('=') {
            Some(("time", _)) => "time=?".to_owned(),
            _ if is_list_of_times(word) || word.ends_with("ms") && word.len() > 2 => "?".to_owned(),
            _ => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect()
}

fn is_list_of_times(word: &str) -> bool {
    word.contains('.') && word.contains('/') && word.split('/').all(|w| w.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_of_a_traceroute() {
        let text = "traceroute to dst (5.77.4.2), 30 hops max, 60 byte packets\n \
                    1  r1.lab (5.77.1.2)  0.041 ms  0.012 ms *\n 2  * * *\n \
                    3  5.77.3.2  1.5 ms !H 5.77.101.2  2 ms\n 4  5.77.4.2 (5.77.4.2)  F=1400 3.0 ms\n";
        let hops = traceroute(text);
        assert_eq!(hops.len(), 4);
        assert_eq!(hops[0].only(), Some("5.77.1.2"));
        assert_eq!((hops[0].names.as_slice(), hops[0].unanswered), (&["r1.lab".to_owned()][..], 1));
        assert_eq!((hops[1].unanswered, hops[1].from.len()), (3, 0));
        assert_eq!(hops[2].from, ["5.77.3.2", "5.77.101.2"]);
        assert_eq!(
            (hops[2].rtts.as_slice(), hops[2].marks.as_slice()),
            (&[1.5, 2.0][..], &["!H".to_owned()][..])
        );
        assert_eq!((hops[3].only(), hops[3].mtu), (Some("5.77.4.2"), Some(1400)));
        assert!(hops[3].names.is_empty());
    }

    #[test]
    fn rows_of_a_report() {
        let text = "HOST: here    Loss%   Snt   Last   Avg  Best  Wrst StDev\n  \
                    1.|-- 5.77.1.2   0.0%     1    0.1   0.1   0.1   0.1   0.0\n  \
                    2.|-- ???       100.0     1    0.0   0.0   0.0   0.0   0.0\n";
        let rows = mtr(text);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].from.as_deref(), rows[0].sent), (Some("5.77.1.2"), 1));
        assert_eq!((rows[1].from.as_deref(), rows[1].times.len()), (None, 5));
        assert!((rows[1].loss - 100.0).abs() < 0.01);
    }

    #[test]
    fn a_ping_by_its_words() {
        let text = "64 bytes from 5.77.4.2: icmp_seq=1 ttl=61 time=0.05 ms\n\n\
                    2 packets transmitted, 2 received, 0% packet loss, time 1001ms\n\
                    rtt min/avg/max/mdev = 0.045/0.050/0.056/0.005 ms\n";
        assert_eq!(
            without_times(text),
            [
                "64 bytes from 5.77.4.2: icmp_seq=1 ttl=61 time=? ms",
                "2 packets transmitted, 2 received, 0% packet loss, time ?",
                "rtt min/avg/max/mdev = ? ms"
            ]
        );
    }
}
