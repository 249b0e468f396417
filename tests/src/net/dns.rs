//! A name server whose names say what they are: the labels of a name are its records.
//!
//! | label | meaning |
//! |---|---|
//! | `4-0a000001` | an A record, in hexadecimal |
//! | `6-` and 32 digits | an AAAA record |
//! | `c2` first | an alias of an alias of the rest |
//! | `r` first, then a word that makes it unique | each question gets the next address only, the last one again and again |
//! | `t` first | by UDP only the hint to ask by TCP |
//!
//! A name without an address does not exist. No answer may be kept: its time to live is 0.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A record type of RFC 1035 and 3596.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const TXT: u16 = 16;

/// Bytes of a message's head.
const HEAD: usize = 12;

/// A name with these addresses.
#[must_use]
pub fn name_of(addresses: &[IpAddr]) -> String {
    let labels: String = addresses
        .iter()
        .map(|address| match address {
            IpAddr::V4(v4) => format!("4-{:08x}.", v4.to_bits()),
            IpAddr::V6(v6) => format!("6-{:032x}.", v6.to_bits()),
        })
        .collect();
    format!("{labels}lab")
}

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// The name server's memory: how often a name that changes was asked for.
#[derive(Debug, Default)]
pub struct Zone {
    asked: HashMap<(String, u16), usize>,
    /// Of names that were told to have one.
    texts: HashMap<String, String>,
}

/// What was asked, and the message that answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// In small letters, without the last dot.
    pub name: String,
    /// The record type.
    pub kind: u16,
    /// The whole message.
    pub message: Vec<u8>,
}

impl Zone {
    /// Gives a name this TXT record.
    pub fn say(&mut self, name: &str, text: &str) {
        self.texts.insert(name.to_lowercase(), text.to_owned());
    }

    /// Answers a message; `None` when it is no question.
    pub fn answer(&mut self, question: &[u8], transport: Transport) -> Option<Answer> {
        let (name, kind, end) = read_question(question)?;
        if let Some(text) = self.texts.get(&name).filter(|_| kind == TXT) {
            let data = [&[u8::try_from(text.len()).ok()?], text.as_bytes()].concat();
            let message = message(question.get(..end)?, &[(name.clone(), TXT, data)], false, false);
            return Some(Answer { name, kind, message });
        }
        let mut labels: Vec<&str> = name.split('.').collect();
        let truncated = labels.first() == Some(&"t");
        if truncated {
            labels.remove(0);
        }
        let mut records: Vec<(String, u16, Vec<u8>)> = Vec::new();
        let mut owner = name.clone();
        let aliases = labels.first().and_then(|l| l.strip_prefix('c')?.parse::<usize>().ok());
        if let Some(count) = aliases {
            let rest = labels.split_off(1).join(".");
            for left in (0..count).rev() {
                let alias = match left {
                    0 => rest.clone(),
                    left => format!("c{left}.{rest}"),
                };
                records.push((owner, CNAME, encoded(&alias)));
                owner = alias;
            }
            labels.clear();
        }
        let all: Vec<IpAddr> = owner.split('.').filter_map(address).collect();
        let mut addresses: Vec<IpAddr> =
            all.iter().copied().filter(|address| record_type(*address) == kind).collect();
        if labels.first() == Some(&"r") && !addresses.is_empty() {
            let asked = self.asked.entry((name.clone(), kind)).or_default();
            addresses = vec![addresses[(*asked).min(addresses.len() - 1)]];
            *asked += 1;
        }
        for address in addresses {
            let data = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            records.push((owner.clone(), kind, data));
        }
        let cut = truncated && transport == Transport::Udp;
        if cut {
            records.clear();
        }
        let message = message(question.get(..end)?, &records, cut, all.is_empty());
        Some(Answer { name, kind, message })
    }
}

/// The address in a label.
fn address(label: &str) -> Option<IpAddr> {
    let (family, digits) = label.split_once('-')?;
    match (family, digits.len()) {
        ("4", 8) => Some(Ipv4Addr::from_bits(u32::from_str_radix(digits, 16).ok()?).into()),
        ("6", 32) => Some(Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok()?).into()),
        _ => None,
    }
}

fn record_type(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => A,
        IpAddr::V6(_) => AAAA,
    }
}

/// The first question: its name, its type, and where it ends.
fn read_question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEAD;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

/// An answer to `question` (a head and one question), whose id and flag "recursion desired" it repeats.
fn message(
    question: &[u8],
    records: &[(String, u16, Vec<u8>)],
    cut: bool,
    unknown: bool,
) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2] = 0x84 | (question[2] & 1) | if cut { 2 } else { 0 };
    message[3] = 0x80 | if unknown { 3 } else { 0 };
    let count = u16::try_from(records.len()).unwrap_or(0).to_be_bytes();
    message[4..HEAD].copy_from_slice(&[0, 1, count[0], count[1], 0, 0, 0, 0]);
    for (owner, kind, data) in records {
        message.extend(encoded(owner));
        message.extend(kind.to_be_bytes());
        // The class of the internet, and a time to live of 0.
        message.extend([0, 1, 0, 0, 0, 0]);
        message.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        message.extend(data);
    }
    message
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(zone: &mut Zone, name: &str, kind: u16, transport: Transport) -> Vec<u8> {
        let mut question = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend(encoded(name));
        question.extend(kind.to_be_bytes());
        question.extend([0, 1]);
        let answer = zone.answer(&question, transport).unwrap();
        assert_eq!((answer.name.as_str(), answer.kind), (name, kind));
        assert_eq!(answer.message[..2], [7, 9]);
        answer.message
    }

    #[test]
    fn a_name_says_its_addresses() {
        let mut zone = Zone::default();
        let name = name_of(&["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(name, "4-0a000001.6-00000000000000000000000000000001.lab");
        let answer = ask(&mut zone, &name, A, Transport::Udp);
        assert_eq!((answer[7], answer[3] & 15), (1, 0));
        assert!(answer.ends_with(&[0, 4, 10, 0, 0, 1]));
        let answer = ask(&mut zone, &name, AAAA, Transport::Udp);
        assert!(answer.ends_with(&[0, 0, 1]) && answer[7] == 1);
        let nothing = ask(&mut zone, "www.example.com", A, Transport::Udp);
        assert_eq!((nothing[7], nothing[3] & 15), (0, 3), "no such name");
    }

    #[test]
    fn a_name_has_the_text_that_it_was_given() {
        let mut zone = Zone::default();
        zone.say("_blitz.Example.lab", "blitz=x");
        let answer = ask(&mut zone, "_blitz.example.lab", TXT, Transport::Udp);
        assert!(answer.ends_with(b"\x07blitz=x") && answer[7] == 1);
        assert_eq!(ask(&mut zone, "_blitz.other.lab", TXT, Transport::Udp)[7], 0);
    }

    #[test]
    fn names_change_and_names_have_aliases() {
        let mut zone = Zone::default();
        for last in [1, 2, 2] {
            let answer = ask(&mut zone, "r.x.4-0a000001.4-0a000002.lab", A, Transport::Udp);
            assert!(answer.ends_with(&[0, 4, 10, 0, 0, last]) && answer[7] == 1);
        }
        let answer = ask(&mut zone, "c2.4-0a000001.lab", A, Transport::Udp);
        assert_eq!(answer[7], 3, "two aliases and an address");
        let name = "t.4-0a000001.lab";
        assert_eq!(ask(&mut zone, name, A, Transport::Udp)[2] & 2, 2, "truncated");
        assert_eq!(ask(&mut zone, name, A, Transport::Tcp)[7], 1);
    }
}
