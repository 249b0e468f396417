//! `+trace`: from the root servers down, one referral after the other.

use std::net::IpAddr;

use blitz_plugin::dns::{Question, record_type};
use blitz_plugin::web::Family;
use blitz_plugin::{Failure, Host};

use crate::ask::{self, Answered};
use crate::lookup::Lookup;
use crate::numbers::{A, AAAA, NS};
use crate::print::Printer;
use crate::wire::RD;
use crate::{EXIT_NO_REPLY, rdata, record};

/// Source: IANA, "Root Hints". The letter stands before `.root-servers.net.`
const ROOTS: [(char, &str, &str); 13] = [
    ('a', "198.41.0.4", "2001:503:ba3e::2:30"),
    ('b', "170.247.170.2", "2801:1b8:10::b"),
    ('c', "192.33.4.12", "2001:500:2::c"),
    ('d', "199.7.91.13", "2001:500:2d::d"),
    ('e', "192.203.230.10", "2001:500:a8::e"),
    ('f', "192.5.5.241", "2001:500:2f::f"),
    ('g', "192.112.36.4", "2001:500:12::d0d"),
    ('h', "198.97.190.53", "2001:500:1::53"),
    ('i', "192.36.148.17", "2001:7fe::53"),
    ('j', "192.58.128.30", "2001:503:c27::2:30"),
    ('k', "193.0.14.129", "2001:7fd::1"),
    ('l', "199.7.83.42", "2001:500:9f::42"),
    ('m', "202.12.27.33", "2001:dc3::35"),
];

/// Referrals that are followed: a name has 127 labels at most, and nobody delegates at so many.
const STEPS_MAX: usize = 32;

/// Servers of one zone that are asked, and whose names are looked up, before the trace gives up.
const SERVERS_MAX: usize = 4;

/// A name server: its name, and its address when the referral told it.
type Server = (String, Option<IpAddr>);

/// Follows the delegations to the lookup's name.
pub(crate) fn run(
    lookup: &Lookup,
    printer: &mut Printer,
    host: &mut dyn Host,
) -> Result<(), Failure> {
    let mut zone = ".".to_owned();
    let mut servers = match &lookup.server {
        Some(_) => Vec::new(),
        None => roots(lookup.family),
    };
    // First who the root's servers are, as dig asks its resolver.
    let mut step = Lookup { name: zone.clone(), kind: NS, class: 1, ..lookup.clone() };
    if servers.is_empty() {
        // A server of the user's may be a resolver.
        step.flags |= RD;
    }
    for _ in 0..STEPS_MAX {
        let answered = if servers.is_empty() {
            ask::ask(&step, printer, host)?
        } else {
            first_answer(&step, &servers, printer, host)?
        };
        printer.answer(&answered, &answered_by(&step, &servers, &answered), host)?;
        record::emit(&answered, &step, host)?;
        let is_start = step.name == "." && step.kind == NS && zone == ".";
        let section = usize::from(!is_start);
        if !is_start && (answered.message.rcode() != 0 || !answered.message.sections[0].is_empty())
        {
            return Ok(());
        }
        let Some((below, next)) = referral(&answered, section, lookup.family) else {
            return Ok(());
        };
        if !is_start && (!is_within(&below, &zone) || below.len() <= zone.len()) {
            writeln!(host.stdout(), ";; BAD (HORIZONTAL) REFERRAL")?;
            return Ok(());
        }
        if is_start && lookup.name == "." && lookup.kind == NS {
            return Ok(());
        }
        zone = below;
        servers = known_roots(next, lookup.family);
        step = Lookup { server: None, ..lookup.clone() };
    }
    writeln!(host.stdout(), ";; more than {STEPS_MAX} referrals")?;
    Err(Failure::new(EXIT_NO_REPLY, ""))
}

/// The first of these servers that answers; the reasons of the others are told.
fn first_answer(
    step: &Lookup,
    servers: &[Server],
    printer: &mut Printer,
    host: &mut dyn Host,
) -> Result<Answered, Failure> {
    // Those with an address first: it costs nothing.
    let known = servers.iter().filter(|(_, address)| address.is_some());
    let unknown = servers.iter().filter(|(_, address)| address.is_none());
    let mut last = None;
    for (name, address) in known.chain(unknown).take(SERVERS_MAX) {
        let Some(address) = address.or_else(|| address_of(name, step.family, host)) else {
            writeln!(host.stdout(), ";; couldn't get address for '{name}': not found")?;
            continue;
        };
        let server = Some(address.to_string());
        match ask::ask(&Lookup { server, tries: 1, ..step.clone() }, printer, host) {
            Err(failure) if failure.status == EXIT_NO_REPLY => last = Some(failure),
            other => return other,
        }
    }
    Err(last.unwrap_or_else(|| Failure::new(EXIT_NO_REPLY, "")))
}

/// The step with the server as people know it, for what is printed.
fn answered_by(step: &Lookup, servers: &[Server], answered: &Answered) -> Lookup {
    let address = answered.reply.server.parse().map(|at: std::net::SocketAddr| at.ip()).ok();
    let named = servers.iter().find(|(_, known)| known.is_some() && *known == address);
    let name = named.map(|(name, _)| name.trim_end_matches('.').to_owned());
    Lookup { server: name.or_else(|| step.server.clone()), ..step.clone() }
}

/// The zone of the NS records of a section, and their servers with the glue that came along.
fn referral(answered: &Answered, section: usize, family: Family) -> Option<(String, Vec<Server>)> {
    let message = &answered.message;
    let delegations = message.sections[section].iter().filter(|record| record.kind == NS);
    let zone = delegations.clone().next()?.name.to_ascii_lowercase();
    let mut servers = Vec::new();
    for delegation in delegations.filter(|record| record.name.eq_ignore_ascii_case(&zone)) {
        let name = rdata::text(message, delegation);
        let glue = message.sections[2]
            .iter()
            .filter(|glue| matches!(glue.kind, A | AAAA) && glue.name.eq_ignore_ascii_case(&name));
        let address = glue.filter_map(|glue| rdata::text(message, glue).parse().ok());
        let address = address.filter(|address| fits(address, family)).min_by_key(IpAddr::is_ipv6);
        servers.push((name, address));
    }
    Some((zone, servers))
}

fn fits(address: &IpAddr, family: Family) -> bool {
    match family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    }
}

fn is_within(name: &str, zone: &str) -> bool {
    zone == "." || name == zone || name.ends_with(&format!(".{zone}"))
}

fn roots(family: Family) -> Vec<Server> {
    let names = ROOTS.iter().map(|(letter, ..)| (format!("{letter}.root-servers.net."), None));
    known_roots(names.collect(), family)
}

/// Puts in the addresses that everybody knows.
fn known_roots(mut servers: Vec<Server>, family: Family) -> Vec<Server> {
    for (name, address) in servers.iter_mut().filter(|(_, address)| address.is_none()) {
        let root = ROOTS
            .iter()
            .find(|(letter, ..)| name.eq_ignore_ascii_case(&format!("{letter}.root-servers.net.")));
        let text = root.map(|(_, v4, v6)| if family == Family::Ipv6 { *v6 } else { *v4 });
        *address = text.and_then(|text| text.parse().ok());
    }
    servers
}

/// By the engine's own resolver, where a referral came without glue.
fn address_of(name: &str, family: Family, host: &mut dyn Host) -> Option<IpAddr> {
    let kinds: &[u16] = match family {
        Family::Any => &[record_type::A, record_type::AAAA],
        Family::Ipv4 => &[record_type::A],
        Family::Ipv6 => &[record_type::AAAA],
    };
    kinds.iter().find_map(|kind| {
        let answer = host.lookup(&Question::new(name, *kind)).ok()?;
        answer.texts(*kind).find_map(|text| text.parse().ok())
    })
}
