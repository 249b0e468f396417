//! The command line as lookups, in dig's grammar: words in any order, `+` before options, options before the first
//! name for all lookups and behind a name for its own.

use std::net::{IpAddr, SocketAddr};

use blitz_plugin::dns::Transport;
use blitz_plugin::web::Family;
use blitz_plugin::{Arguments, Failure};

use crate::EXIT_USAGE;
use crate::lookup::Lookup;
use crate::numbers::{self, NS, PTR};
use crate::options::{number, usage};

/// Names of one command line.
const LOOKUPS_MAX: usize = 32;

/// All lookups of a command line.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) lookups: Vec<Lookup>,
    /// A server was named before the first name: the greeting says so then.
    pub(crate) has_server: bool,
    /// `+short` stood before the first name: the greeting says so then.
    pub(crate) has_short: bool,
    /// What dig says on stderr, and goes on.
    pub(crate) warnings: Vec<String>,
}

impl CommandLine {
    pub(crate) fn read(args: &Arguments) -> Result<Self, Failure> {
        let (mut all, mut lookups, mut warnings) = (Lookup::default(), Vec::new(), Vec::new());
        let (mut has_server, mut has_short) = (false, false);
        for (argument, value) in args.in_order() {
            let name = match (argument, value.split_at_checked(1)) {
                ("WORDS", Some(("@" | "+", _)))
                | ("port" | "ipv4" | "ipv6" | "microseconds", _) => None,
                ("type" | "class", _) => None,
                ("reverse", _) => Some(reverse(value)?),
                ("query", _) => Some(value.to_owned()),
                _ if numbers::kind_number(value).or(numbers::class_number(value)).is_some() => None,
                _ => Some(value.to_owned()),
            };
            if let Some(name) = name {
                if lookups.len() == LOOKUPS_MAX {
                    return Err(usage(&format!("a command has {LOOKUPS_MAX} names at most")));
                }
                has_short |= all.shows.short;
                let mut lookup = Lookup { name, ..all.clone() };
                if argument == "reverse" {
                    (lookup.kind, lookup.class) = (PTR, 1);
                }
                lookups.push(lookup);
                continue;
            }
            has_server |= value.starts_with('@') && lookups.is_empty();
            let lookup = lookups.last_mut().unwrap_or(&mut all);
            match (argument, value.split_at_checked(1)) {
                ("WORDS", Some(("@", server))) => lookup.server = Some(server.to_owned()),
                ("WORDS", Some(("+", option))) => lookup.option(option)?,
                ("port", _) => lookup.port = Some(number("port number", value, 65535)?),
                ("ipv4", _) => lookup.family = Family::Ipv4,
                ("ipv6", _) => lookup.family = Family::Ipv6,
                ("microseconds", _) => lookup.shows.microseconds = true,
                ("class", _) => match numbers::class_number(value) {
                    Some(class) => lookup.class = class,
                    None => warnings.push(format!(";; Warning, ignoring invalid class {value}")),
                },
                _ => match (numbers::kind_number(value), numbers::class_number(value)) {
                    (Some(kind), _) => lookup.kind = kind,
                    (None, Some(class)) if argument == "WORDS" => lookup.class = class,
                    _ => warnings.push(format!(";; Warning, ignoring invalid type {value}")),
                },
            }
        }
        if lookups.is_empty() {
            lookups.push(Lookup { kind: NS, ..all });
        }
        // As in dig, these two are of the whole command line.
        let is_short = lookups.iter().any(|lookup| lookup.shows.short);
        let has_greeting = lookups.iter().all(|lookup| lookup.shows.command);
        for lookup in &mut lookups {
            (lookup.shows.short, lookup.shows.command) = (is_short, has_greeting);
        }
        if lookups.iter().any(|lookup| matches!(lookup.kind, 251 | 252)) {
            let text = "zone transfers are not supported: an exchange has one answer";
            return Err(Failure::new(EXIT_USAGE, text));
        }
        lookups.iter().try_for_each(check_server)?;
        Ok(Self { lookups, has_server, has_short, warnings })
    }
}

/// Refuses a server that cannot be asked so, and what only a server that is named can be asked.
fn check_server(lookup: &Lookup) -> Result<(), Failure> {
    match lookup.server.as_deref() {
        Some("") => Err(usage("@ needs a server behind it: @ADDRESS or @NAME")),
        Some(server) if !fits(server, lookup.family) => {
            let text = format!("couldn't get address for '{server}': address family not supported");
            Err(Failure::new(EXIT_USAGE, text))
        }
        Some(_) => Ok(()),
        // Its servers are those of the zones.
        None if lookup.is_trace => Ok(()),
        None => {
            let option = match lookup.transport() {
                Transport::Tls => "+tls",
                Transport::Https => "+https",
                Transport::Udp | Transport::Tcp if lookup.port.is_some() => {
                    let text = "the engine's own resolver is asked at its own port";
                    return Err(usage(&format!("-p needs @SERVER: {text}")));
                }
                Transport::Udp | Transport::Tcp => return Ok(()),
            };
            let text = "the engine's own resolver is asked by UDP and TCP";
            Err(usage(&format!("{option} needs @SERVER: {text}")))
        }
    }
}

/// Whether a server may be asked over this family; for a name its addresses decide. As in dig, an IPv4 address that is
/// written as an IPv6 one is of neither.
fn fits(server: &str, family: Family) -> bool {
    let bare = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(server);
    let bare = bare.split('%').next().unwrap_or(bare);
    let with_port = || server.parse().map(|address: SocketAddr| address.ip());
    let Ok(address) = bare.parse().or_else(|_| with_port()) else { return true };
    match family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6() && address.to_canonical().is_ipv6(),
    }
}

/// The name at which an address's own name is. Fewer than four numbers are a part of an IPv4 address.
fn reverse(text: &str) -> Result<String, Failure> {
    if let Ok(IpAddr::V6(address)) = text.parse() {
        let nibbles =
            address.octets().into_iter().rev().map(|b| format!("{:x}.{:x}.", b & 15, b >> 4));
        return Ok(nibbles.collect::<String>() + "ip6.arpa.");
    }
    let numbers: Vec<&str> = text.split('.').filter(|number| !number.is_empty()).collect();
    let fits = (1..=4).contains(&numbers.len())
        && numbers.iter().all(|number| number.parse::<u8>().is_ok());
    if !fits {
        return Err(usage(&format!("Invalid IP address {text}")));
    }
    let reversed: Vec<&str> = numbers.into_iter().rev().collect();
    Ok(reversed.join(".") + ".in-addr.arpa.")
}
