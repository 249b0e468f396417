//! One lookup: tries, TCP after truncation, and what servers ask to be told again.

use blitz_plugin::dns::{Message as Exchange, Reply, Transport};
use blitz_plugin::{Failure, Host, HostError};

use crate::lookup::Lookup;
use crate::numbers::{BADCOOKIE, BADVERS};
use crate::print::Printer;
use crate::query::{self, OPTION_COOKIE};
use crate::wire::{Message, TC};
use crate::{EXIT_INTERNAL, EXIT_NO_REPLY, EXIT_REFUSED, EXIT_USAGE};

/// What came of a lookup.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) reply: Reply,
    pub(crate) message: Message,
    pub(crate) transport: Transport,
    /// The client's cookie that was sent.
    pub(crate) cookie: Option<Vec<u8>>,
}

/// Asks until there is an answer.
///
/// # Errors
///
/// Status 9 when no server answered, told already.
pub(crate) fn ask(
    lookup: &Lookup,
    printer: &mut Printer,
    host: &mut dyn Host,
) -> Result<Answered, Failure> {
    let mut lookup = lookup.clone();
    let mut server_cookie: Option<Vec<u8>> = None;
    let mut tries = 0;
    let mut is_told = false;
    while tries < lookup.tries {
        let bytes = query::bytes(&lookup, server_cookie.as_deref()).map_err(|reason| {
            let text = format!("'{}' is not a legal name ({reason})", lookup.name);
            Failure::new(EXIT_INTERNAL, text)
        })?;
        let sent = Message::read(bytes.clone());
        if let Some(sent) = sent.as_ref().filter(|_| lookup.shows.query) {
            printer.query(sent, &lookup, host)?;
        }
        let cookie = sent.and_then(|sent| sent.option(OPTION_COOKIE).map(<[u8]>::to_vec));
        let reply = match host.dns_exchange(&exchange(&lookup, bytes)) {
            Ok(reply) => reply,
            Err(HostError::Denied(text)) => {
                return Err(Failure::new(EXIT_REFUSED, text));
            }
            Err(error) if error.to_string().contains("Could not resolve host") => {
                let server = lookup.server.as_deref().unwrap_or_default();
                let text = format!("couldn't get address for '{server}': not found");
                return Err(Failure::new(EXIT_USAGE, text));
            }
            Err(error) => {
                is_told = failed(&lookup, &error.to_string(), host)?;
                tries += 1;
                continue;
            }
        };
        let Some(message) = Message::read(reply.bytes.clone()) else {
            writeln!(host.stdout(), ";; Got bad packet: FORMERR\n{} bytes", reply.bytes.len())?;
            return Err(Failure::new(EXIT_INTERNAL, ""));
        };
        // Each of these once: what is changed cannot be the reason again.
        let is_udp = lookup.transport() == Transport::Udp;
        if message.flags & TC != 0 && is_udp && !lookup.ignores_truncation {
            comment(&lookup, "Truncated, retrying in TCP mode.", host)?;
            lookup.travel(Transport::Tcp, true);
        } else if message.rcode() == BADVERS
            && lookup.edns.as_ref().is_some_and(|edns| edns.version > 0 && edns.negotiates)
        {
            let version = message.edns.as_ref().map_or(0, |edns| edns.version);
            let asked = lookup.edns.get_or_insert_default();
            let version = version.min(asked.version - 1);
            asked.version = version;
            comment(&lookup, &format!("BADVERS, retrying with EDNS version {version}."), host)?;
        } else if message.rcode() == BADCOOKIE && server_cookie.is_none() && cookie.is_some() {
            server_cookie = message.option(OPTION_COOKIE).map(<[u8]>::to_vec);
            // Without one there is nothing to tell again.
            server_cookie.get_or_insert_default();
            comment(&lookup, "BADCOOKIE, retrying.", host)?;
        } else {
            return Ok(Answered { reply, message, transport: lookup.transport(), cookie });
        }
    }
    if !is_told {
        printer.greeting(&lookup, host)?;
        writeln!(host.stdout(), ";; no servers could be reached")?;
    }
    Err(Failure::new(EXIT_NO_REPLY, ""))
}

fn comment(lookup: &Lookup, text: &str, host: &mut dyn Host) -> Result<(), Failure> {
    if lookup.shows.comments {
        writeln!(host.stdout(), ";; {text}")?;
    }
    Ok(())
}

fn exchange(lookup: &Lookup, bytes: Vec<u8>) -> Exchange {
    let server = lookup.server.as_ref().map(|server| {
        let is_ipv6 = server.contains(':');
        let port = lookup.port.map(|port| format!(":{port}")).unwrap_or_default();
        let brackets = if is_ipv6 && !server.starts_with('[') { ("[", "]") } else { ("", "") };
        let whole = format!("{}{server}{}{port}", brackets.0, brackets.1);
        match &lookup.https_path {
            Some(path) => format!("https://{whole}/{}", path.trim_start_matches('/')),
            // An address alone needs no brackets.
            None if port.is_empty() && lookup.transport() != Transport::Https => server.clone(),
            None => whole,
        }
    });
    Exchange {
        bytes,
        transport: lookup.transport(),
        server,
        family: lookup.family,
        is_insecure: !lookup.is_verified,
        timeout_ms: u64::try_from(lookup.timeout.as_millis()).ok(),
    }
}

/// Tells why an attempt failed, in dig's words; true when that is all that is to be said.
fn failed(lookup: &Lookup, text: &str, host: &mut dyn Host) -> Result<bool, Failure> {
    let lower = text.to_ascii_lowercase();
    let known = [
        ("refused", "connection refused"),
        ("no answer", "timed out"),
        ("did not answer", "timed out"),
        ("no connection", "timed out"),
        ("timed out", "timed out"),
        ("network is unreachable", "network unreachable"),
        ("unreachable", "host unreachable"),
        ("no route", "host unreachable"),
        ("reset", "connection reset"),
        ("end of file", "end of file"),
        ("closed", "end of file"),
    ];
    let reason = known.iter().find(|(part, _)| lower.contains(part)).map_or(text, |(_, word)| word);
    let server = lookup.server.as_deref().unwrap_or("the engine's resolver");
    let port = lookup.port.unwrap_or(match lookup.transport() {
        Transport::Udp | Transport::Tcp => 53,
        Transport::Tls => 853,
        Transport::Https => 443,
    });
    let is_local = reason == "network unreachable";
    let how = match lookup.transport() {
        Transport::Udp if is_local => "UDP setup with",
        Transport::Udp => {
            writeln!(host.stdout(), ";; communications error to {server}#{port}: {reason}")?;
            return Ok(false);
        }
        _ => "Connection to",
    };
    let name = match lookup.name.trim_end_matches('.') {
        "" => ".",
        name => name,
    };
    let at = format!("{server}#{port}({server})");
    writeln!(host.stdout(), ";; {how} {at} for {name} failed: {reason}.")?;
    writeln!(host.stdout(), ";; no servers could be reached")?;
    Ok(true)
}
