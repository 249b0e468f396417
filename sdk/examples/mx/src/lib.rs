//! Which servers take the mail of a domain, in the order in which they are tried.

use std::time::Duration;

use blitz_plugin::dns::{Question, code, record_type};
use blitz_plugin::{Call, Failure, Host, Plugin, Record};

blitz_plugin::arguments!(pub struct Args);

#[derive(Debug)]
pub struct Mx;

blitz_plugin::export!(Mx);

/// The status when a domain takes no mail; 1 and 2 are for what went wrong.
const EXIT_NO_MAIL: u8 = 3;

impl Plugin for Mx {
    fn run(call: &Call, host: &mut dyn Host) -> Result<u8, Failure> {
        let args = Args::of(call);
        let mut spent = Duration::ZERO;
        let mut servers = Vec::new();
        for text in lookup(&args, &args.domain, record_type::MX, &mut spent, host)? {
            let parts = text.split_once(' ');
            let (preference, name) =
                parts.ok_or_else(|| Failure::new(1, format!("MX {text:?}")))?;
            servers.push((preference.parse::<u16>()?, name.to_owned()));
        }
        // A lone dot says that there is no mail (RFC 7505).
        servers.retain(|(_, name)| name != ".");
        servers.sort();
        if servers.is_empty() {
            return Err(Failure::new(EXIT_NO_MAIL, format!("{} has no mail servers", args.domain)));
        }
        let types: &[u16] = match args.addresses.as_str() {
            "none" => &[],
            "ipv4" => &[record_type::A],
            "ipv6" => &[record_type::AAAA],
            _ => &[record_type::A, record_type::AAAA],
        };
        let mut records = Vec::new();
        for (preference, name) in servers {
            let mut addresses = Vec::new();
            for record_type in types {
                addresses.extend(lookup(&args, &name, *record_type, &mut spent, host)?);
            }
            writeln!(host.stdout(), "{preference:5} {name} {}", addresses.join(" "))?;
            let record = Record::new().field("preference", preference).field("name", name);
            records.push(record.field("addresses", addresses));
        }
        Record::new()
            .field("domain", args.domain)
            .field("servers_count", records.len())
            .field("servers", records)
            .field("lookup_us", microseconds(spent))
            .emit(host, "mail")?;
        Ok(0)
    }
}

/// The records of one type that a name has. That there is no such name is a [`Failure`].
fn lookup(
    args: &Args,
    name: &str,
    record_type: u16,
    spent: &mut Duration,
    host: &mut dyn Host,
) -> Result<Vec<String>, Failure> {
    let resolver = args.resolver.clone();
    let question = Question::new(name, record_type);
    let answer = host.lookup(&Question { resolver, timeout: Some(args.wait), ..question })?;
    *spent += answer.elapsed;
    host.observe("lookup_us", &[microseconds(answer.elapsed)])?;
    match answer.code {
        code::NOERROR => Ok(answer.texts(record_type).map(str::to_owned).collect()),
        code::NXDOMAIN => Err(Failure::new(EXIT_NO_MAIL, format!("{name} does not exist"))),
        other => Err(Failure::new(1, format!("{} answered with code {other}", answer.server))),
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
