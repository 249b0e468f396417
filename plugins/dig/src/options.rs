//! Options that begin with `+`, and their abbreviations.

use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::Failure;
use blitz_plugin::dns::Transport;

use crate::lookup::{Edns, FLAG_AA, FLAG_AD, FLAG_CD, FLAG_RD, Lookup, Shows};
use crate::{EXIT_INTERNAL, EXIT_USAGE};

/// Attempts of one lookup.
const TRIES_MAX: u32 = 16;

/// The longest wait for one attempt.
const TIMEOUT_MAX_S: u64 = 300;

/// In the order in which dig takes an abbreviation.
const OPTIONS: [&str; 50] = [
    "aaflag",
    "aaonly",
    "adflag",
    "additional",
    "all",
    "answer",
    "authority",
    "badcookie",
    "besteffort",
    "bufsize",
    "cdflag",
    "class",
    "cmd",
    "comments",
    "cookie",
    "defname",
    "dnssec",
    "do",
    "edns",
    "fail",
    "https",
    "identify",
    "idnin",
    "idnout",
    "ignore",
    "keepopen",
    "nsid",
    "qr",
    "question",
    "rdflag",
    "recurse",
    "retry",
    "rrcomments",
    "search",
    "short",
    "stats",
    "subnet",
    "tcp",
    "time",
    "timeout",
    "tls",
    "tls-ca",
    "trace",
    "tries",
    "ttlid",
    "unexpected",
    "vc",
    "crypto",
    "ednsnegotiation",
    "mapped",
];

impl Lookup {
    /// `+OPTION`, `+noOPTION`, `+OPTION=VALUE`.
    pub(crate) fn option(&mut self, option: &str) -> Result<(), Failure> {
        let (word, value) = option.split_once('=').map_or((option, None), |(w, v)| (w, Some(v)));
        let lower = word.to_ascii_lowercase();
        let (is_on, word) = lower.strip_prefix("no").map_or((true, &*lower), |word| (false, word));
        let known = OPTIONS.iter().find(|known| !word.is_empty() && known.starts_with(word));
        let invalid = || usage(&format!("Invalid option: +{option}"));
        let value = || value.ok_or_else(invalid);
        let shows = &mut self.shows;
        match *known.ok_or_else(invalid)? {
            "aaflag" | "aaonly" => self.flag(FLAG_AA, is_on),
            "adflag" => self.flag(FLAG_AD, is_on),
            "cdflag" => self.flag(FLAG_CD, is_on),
            "rdflag" | "recurse" => self.flag(FLAG_RD, is_on),
            "all" => {
                shows.sections = [is_on; 3];
                (shows.command, shows.comments) = (is_on, is_on);
                (shows.question, shows.stats) = (is_on, is_on);
            }
            "answer" => shows.sections[0] = is_on,
            "authority" => shows.sections[1] = is_on,
            "additional" => shows.sections[2] = is_on,
            "question" => shows.question = is_on,
            "comments" => shows.comments = is_on,
            "stats" => shows.stats = is_on,
            "cmd" => shows.command = is_on,
            "class" => shows.class = is_on,
            "ttlid" => shows.ttl = is_on,
            "identify" => shows.identity = is_on,
            "qr" => shows.query = is_on,
            "short" => {
                shows.short = is_on;
                if is_on {
                    shows.sections = [true, false, false];
                    (shows.comments, shows.question, shows.stats) = (false, false, false);
                }
            }
            "edns" if !is_on => self.edns = None,
            "edns" => {
                let version = value().map_or(Ok(0), |value| number("EDNS version", value, 255))?;
                self.edns().version = version;
            }
            "bufsize" if !is_on => self.edns().udp_bytes = Edns::default().udp_bytes,
            "bufsize" => self.edns().udp_bytes = number("buffer size", value()?, 65535)?,
            "dnssec" | "do" => self.edns().wants_dnssec = is_on,
            "nsid" => self.edns().wants_nsid = is_on,
            "cookie" => {
                let cookie = value().ok().map(hex_bytes).transpose()?;
                let edns = self.edns();
                (edns.sends_cookie, edns.cookie) = (is_on, cookie);
            }
            "subnet" => {
                let subnet = if is_on { Some(subnet(value()?)?) } else { None };
                self.edns().subnet = subnet;
            }
            "tls-ca" if value().is_ok() => {
                let text = "+tls-ca takes no file: engines have authorities of their own";
                return Err(usage(text));
            }
            "tls-ca" => self.is_verified = is_on,
            "ednsnegotiation" => self.edns().negotiates = is_on,
            "ignore" => self.ignores_truncation = is_on,
            "tcp" | "vc" => self.travel(Transport::Tcp, is_on),
            "tls" => self.travel(Transport::Tls, is_on),
            "https" => {
                self.https_path = value().ok().map(str::to_owned);
                self.travel(Transport::Https, is_on);
            }
            "time" | "timeout" => {
                let seconds: u64 = number("timeout", value()?, TIMEOUT_MAX_S)?;
                self.timeout = Duration::from_secs(seconds.max(1));
            }
            "tries" => {
                self.tries = number::<u32>("tries", value()?, u64::from(TRIES_MAX))?.max(1);
            }
            "retry" => {
                self.tries = number::<u32>("retries", value()?, u64::from(TRIES_MAX - 1))? + 1;
            }
            "trace" if is_on => {
                self.is_trace = true;
                self.flag(FLAG_RD, false);
                self.edns().wants_dnssec = true;
                shows_trace(&mut self.shows);
            }
            "trace" => self.is_trace = false,
            // A job has no search list, no terminal and no connection that stays open.
            _ => {}
        }
        Ok(())
    }
}

fn shows_trace(shows: &mut Shows) {
    shows.identity = true;
    shows.sections = [true, true, false];
    (shows.comments, shows.question, shows.stats) = (false, false, false);
}

/// A number of the command line, in dig's words when it is none.
pub(crate) fn number<T: TryFrom<u64>>(what: &str, text: &str, most: u64) -> Result<T, Failure> {
    let number = text.parse().ok().filter(|number| *number <= most);
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let text = format!("Couldn't parse {what}: {text:?} is not 0 to {most}");
        Failure::new(EXIT_INTERNAL, text)
    })
}

/// Server cookies have 8 to 32 bytes. Source: RFC 7873, section 4.
fn hex_bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let pair = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(pair).collect();
    bytes.filter(|bytes| (8..=40).contains(&bytes.len())).ok_or_else(|| {
        Failure::new(EXIT_INTERNAL, format!("+cookie: {text:?} is not 8 to 40 bytes in hex"))
    })
}

fn subnet(text: &str) -> Result<(IpAddr, u8), Failure> {
    let bad = || Failure::new(EXIT_INTERNAL, format!("Couldn't parse client: {text:?}"));
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    if address == "0" {
        return Ok(([0, 0, 0, 0].into(), 0));
    }
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Ok(most), |length| length.parse().map_err(|_| bad()))?;
    if length > most { Err(bad()) } else { Ok((address, length)) }
}

/// Status 1, as dig's.
pub(crate) fn usage(text: &str) -> Failure {
    Failure::new(EXIT_USAGE, format!("{text}\ntry 'blitz help dig'"))
}
