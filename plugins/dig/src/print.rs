//! Queries and answers as dig 9.18 prints them.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use blitz_plugin::dns::Transport;
use blitz_plugin::{Failure, Host};

use crate::ask::Answered;
use crate::lookup::Lookup;
use crate::numbers;
use crate::query::{OPTION_COOKIE, OPTION_NSID, OPTION_SUBNET};
use crate::rdata::{self, Civil, civil};
use crate::wire::{FLAGS, Message, QR, RA, RD, Record};

const OPTION_PADDING: u16 = 12;
const OPTION_EXTENDED_ERROR: u16 = 15;

/// The words of the command line, until they are printed.
#[derive(Debug)]
pub(crate) struct Printer {
    greeting: Option<String>,
}

impl Printer {
    pub(crate) fn new(words: &[String], has_server: bool, is_short: bool) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let found = if has_server { "; (1 server found)\n" } else { "" };
        let short = if is_short { " +short" } else { "" };
        let words = words.iter().filter(|word| *word != "--").map(|word| format!(" {word}"));
        let words: String = words.collect();
        let greeting = format!(
            "\n; <<>> DiG blitz {version} <<>>{words}\n{found};; global options:{short} +cmd\n"
        );
        Self { greeting: Some(greeting) }
    }

    /// Once, unless it is not wanted.
    pub(crate) fn greeting(&mut self, lookup: &Lookup, host: &mut dyn Host) -> Result<(), Failure> {
        let greeting = self.greeting.take().filter(|_| lookup.shows.command).unwrap_or_default();
        Ok(write!(host.stdout(), "{greeting}")?)
    }

    /// For `+qr`.
    pub(crate) fn query(
        &mut self,
        query: &Message,
        lookup: &Lookup,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        if lookup.shows.short {
            return Ok(());
        }
        self.greeting(lookup, host)?;
        let mut text = long(query, lookup, None);
        if lookup.shows.stats {
            text += &format!(";; QUERY SIZE: {}\n\n", query.bytes.len());
        }
        Ok(write!(host.stdout(), "{text}")?)
    }

    pub(crate) fn answer(
        &mut self,
        answered: &Answered,
        lookup: &Lookup,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        if lookup.shows.short {
            return Ok(write!(host.stdout(), "{}", short(answered, lookup))?);
        }
        self.greeting(lookup, host)?;
        let text = long(&answered.message, lookup, answered.cookie.as_deref());
        Ok(write!(host.stdout(), "{text}{}", stats(answered, lookup))?)
    }
}

fn short(answered: &Answered, lookup: &Lookup) -> String {
    let mut text = String::new();
    for record in &answered.message.sections[0] {
        if lookup.is_trace {
            text += &format!("{} ", numbers::kind_text(record.kind));
        }
        text += &rdata::text(&answered.message, record);
        if lookup.shows.identity {
            let address = server(answered, lookup).0;
            let address = address.split('#').next().unwrap_or(&address);
            let (time, unit) = time(answered, lookup, ("us", "ms"));
            text += &format!(" from server {address} in {time} {unit}.");
        }
        text.push('\n');
    }
    text
}

fn long(message: &Message, lookup: &Lookup, cookie: Option<&[u8]>) -> String {
    let shows = &lookup.shows;
    let mut text = String::new();
    if shows.comments {
        text += &header(message, lookup);
        text.push('\n');
        text += &pseudo_section(message, cookie);
    }
    let headline = |title: &str| match shows.comments {
        true => format!(";; {title} SECTION:\n"),
        false => String::new(),
    };
    let end = if shows.comments { "\n" } else { "" };
    if shows.question && !message.questions.is_empty() {
        text += &headline("QUESTION");
        for (name, kind, class) in &message.questions {
            text += &question(name, *kind, *class, lookup);
        }
        text += end;
    }
    let titles = ["ANSWER", "AUTHORITY", "ADDITIONAL"];
    for ((records, title), is_shown) in message.sections.iter().zip(titles).zip(shows.sections) {
        if is_shown && !records.is_empty() {
            text += &headline(title);
            text += &lines(message, records, lookup);
            text += end;
        }
    }
    text
}

pub(crate) fn lines(message: &Message, records: &[Record], lookup: &Lookup) -> String {
    records.iter().map(|record| line(message, record, lookup)).collect()
}

fn header(message: &Message, lookup: &Lookup) -> String {
    let is_reply = message.flags & QR != 0;
    let rcode = numbers::rcode_text(message.rcode());
    let opcode = numbers::opcode_text(u8::try_from(message.flags >> 11 & 15).unwrap_or_default());
    let mut text = if is_reply { ";; Got answer:\n" } else { ";; Sending:\n" }.to_owned();
    if message.questions.iter().any(|(name, ..)| format!(".{name}").ends_with(".local.")) {
        text += ";; WARNING: .local is reserved for Multicast DNS\n\
                 ;; You are currently testing what happens when an mDNS query is leaked to DNS\n";
    }
    text += &format!(";; ->>HEADER<<- opcode: {opcode}, status: {rcode}, id: {}\n", message.id);
    text += ";; flags:";
    for (_, word) in FLAGS.iter().filter(|(flag, _)| message.flags & flag != 0) {
        text += &format!(" {word}");
    }
    if message.flags & 0x40 != 0 {
        text += "; MBZ: 0x4";
    }
    let [questions, answers, authorities, additional] = message.counts;
    text += &format!(
        "; QUERY: {questions}, ANSWER: {answers}, AUTHORITY: {authorities}, ADDITIONAL: {additional}\n"
    );
    if is_reply && message.flags & (RD | RA) == RD {
        text += ";; WARNING: recursion requested but not available\n";
    }
    if is_reply
        && lookup.edns.is_some()
        && message.edns.is_none()
        && [1, 4].contains(&message.rcode())
    {
        let dnssec = lookup.edns.as_ref().is_some_and(|edns| edns.wants_dnssec);
        let dnssec = if dnssec { "+nodnssec " } else { "" };
        text += &format!(
            "\n;; WARNING: EDNS query returned status {rcode} - retry with '{dnssec}+noedns'\n"
        );
    }
    if message.extra_bytes > 0 {
        let bytes = message.extra_bytes;
        text += &format!(";; WARNING: Message has {bytes} extra bytes at end\n");
    }
    text
}

/// The OPT record. `cookie` is what was sent, for an answer.
fn pseudo_section(message: &Message, cookie: Option<&[u8]>) -> String {
    let Some(edns) = &message.edns else { return String::new() };
    let dnssec = if edns.flags & 0x8000 != 0 { " do" } else { "" };
    let reserved = match edns.flags & 0x7fff {
        0 => String::new(),
        rest => format!("; MBZ: {rest:#06x}"),
    };
    let mut text = format!(
        ";; OPT PSEUDOSECTION:\n; EDNS: version: {}, flags:{dnssec}{reserved}; udp: {}\n",
        edns.version, edns.udp_bytes
    );
    for (code, data) in &edns.options {
        text += &option(*code, data, cookie);
        text.push('\n');
    }
    text
}

fn option(code: u16, data: &[u8], cookie: Option<&[u8]>) -> String {
    match (code, data) {
        (OPTION_SUBNET, [0, family @ 0..=2, prefix, scope, address @ ..])
            if address.len() <= 16 =>
        {
            let mut bytes = [0; 16];
            bytes[..address.len()].copy_from_slice(address);
            let [a, b, c, d, ..] = bytes;
            let address: IpAddr =
                if *family == 2 { IpAddr::from(bytes) } else { [a, b, c, d].into() };
            format!("; CLIENT-SUBNET: {address}/{prefix}/{scope}")
        }
        (OPTION_COOKIE, _) => {
            let state = match cookie {
                None => "",
                Some(sent) if data == sent => " (echoed)",
                Some(sent) if data.len() >= 16 && data.get(..8) == sent.get(..8) => " (good)",
                Some(_) => " (bad)",
            };
            format!("; COOKIE: {}{state}", rdata::hex(data).to_lowercase())
        }
        (OPTION_PADDING, _) => format!("; PAD: ({} bytes)", data.len()),
        (OPTION_EXTENDED_ERROR, [high, low, words @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            let known = numbers::extended_error_text(code);
            let known = known.map(|known| format!(" ({known})")).unwrap_or_default();
            let words = match words {
                [] => String::new(),
                words => format!(": ({})", visible(words)),
            };
            format!("; EDE: {code}{known}{words}")
        }
        (code, data) => {
            let name = if code == OPTION_NSID { "NSID".to_owned() } else { format!("OPT={code}") };
            let bytes: String = data.iter().map(|byte| format!(" {byte:02x}")).collect();
            let words =
                if data.is_empty() { String::new() } else { format!(" (\"{}\")", visible(data)) };
            format!("; {name}:{bytes}{words}")
        }
    }
}

/// Text as far as it is one: what a terminal would obey is a dot, as in dig.
fn visible(bytes: &[u8]) -> String {
    let seen = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
    bytes.iter().map(seen).collect()
}

/// Where TTL, class, type and data begin.
fn columns(lookup: &Lookup) -> [usize; 4] {
    match (lookup.shows.ttl, lookup.shows.class) {
        (true, true) => [24, 32, 40, 48],
        (false, false) => [24, 24, 24, 32],
        _ => [24, 24, 32, 40],
    }
}

fn question(name: &str, kind: u16, class: u16, lookup: &Lookup) -> String {
    let [_, class_at, kind_at, _] = columns(lookup);
    let mut line = Line::new(name);
    line.put(class_at, &numbers::class_text(class));
    line.put(kind_at, &numbers::kind_text(kind));
    format!(";{}\n", line.text)
}

fn line(message: &Message, record: &Record, lookup: &Lookup) -> String {
    let [ttl_at, class_at, kind_at, data_at] = columns(lookup);
    let mut line = Line::new(&record.name);
    if lookup.shows.ttl {
        line.put(ttl_at, &record.ttl_s.to_string());
    }
    if lookup.shows.class {
        line.put(class_at, &numbers::class_text(record.class));
    }
    line.put(kind_at, &numbers::kind_text(record.kind));
    line.put(data_at, &rdata::text(message, record));
    line.text + "\n"
}

/// A line of columns, with tabs as far as they go.
struct Line {
    text: String,
    column: usize,
}

impl Line {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), column: text.len() }
    }

    fn put(&mut self, at: usize, text: &str) {
        const TAB: usize = 8;
        let at = at.max(self.column + 1);
        let tabs = at / TAB - self.column / TAB;
        let from = if tabs > 0 { at / TAB * TAB } else { self.column };
        self.text += &"\t".repeat(tabs);
        self.text += &" ".repeat(at - from);
        self.text += text;
        self.column = at + text.len();
    }
}

/// `1.2.3.4#53`, and what the user calls it.
fn server(answered: &Answered, lookup: &Lookup) -> (String, String) {
    let server = &answered.reply.server;
    let (address, shown) = match server.parse::<SocketAddr>() {
        Ok(at) => (at.ip().to_string(), format!("{}#{}", at.ip(), at.port())),
        Err(_) => (server.clone(), server.clone()),
    };
    (shown, lookup.server.clone().unwrap_or(address))
}

fn time(
    answered: &Answered,
    lookup: &Lookup,
    units: (&'static str, &'static str),
) -> (u64, &'static str) {
    let time_us = answered.reply.elapsed_us;
    if lookup.shows.microseconds { (time_us, units.0) } else { (time_us / 1000, units.1) }
}

fn stats(answered: &Answered, lookup: &Lookup) -> String {
    let (server, name) = server(answered, lookup);
    let size = answered.reply.bytes.len();
    if lookup.shows.stats {
        let (time, unit) = time(answered, lookup, ("usec", "msec"));
        let transport = transport_text(answered.transport);
        let when = when(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        return format!(
            ";; Query time: {time} {unit}\n;; SERVER: {server}({name}) ({transport})\n\
             ;; WHEN: {when}\n;; MSG SIZE  rcvd: {size}\n\n"
        );
    }
    if lookup.shows.identity {
        let (time, unit) = time(answered, lookup, ("us", "ms"));
        return format!(";; Received {size} bytes from {server}({name}) in {time} {unit}\n\n");
    }
    String::new()
}

pub(crate) fn transport_text(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::Https => "HTTPS",
    }
}

/// `Sat Nov 21 17:20:00 UTC 2026`.
pub(crate) fn when(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, hour, minute, second, weekday } = civil(seconds);
    let of = |words: &[&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| words.get(at).copied()).unwrap_or_default()
    };
    let (weekday, month) = (of(&DAYS, weekday), of(&MONTHS, month - 1));
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}
