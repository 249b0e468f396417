//! Where a hop connects to in place of what its URL says: `--connect-to` and then `--resolve`.
//!
//! As in curl: the first `--connect-to` that fits counts, and what it names is then looked up in the
//! entries of `--resolve`, the host's own before those of `*`. The host holds every address against
//! the target policy, wherever it came from.

use std::net::IpAddr;

use blitz_plugin::web::{Failure, FailureKind, Family, Request};

use crate::exit::{Code, Problem};
use crate::url::Url;

/// The entries of a command line.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// `--connect-to`, as typed: what does not fit a hop is not looked at, as in curl.
    connect_to: Vec<String>,
    resolved: Vec<Resolved>,
}

/// One `--resolve`.
#[derive(Debug, PartialEq, Eq)]
struct Resolved {
    /// In lower case; `*` for any.
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// What a hop's request says of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) connect_to: Option<(String, u16)>,
    pub(crate) addresses: Vec<String>,
}

impl Routes {
    /// Reads `--connect-to` and `--resolve`.
    pub(crate) fn parse(connect_to: &[String], resolve: &[String]) -> Result<Self, Problem> {
        let mut resolved: Vec<Resolved> = Vec::new();
        for entry in resolve {
            if let Some(removed) = entry.strip_prefix('-') {
                let removed = removed.to_ascii_lowercase();
                resolved.retain(|known| format!("{}:{}", known.host, known.port) != removed);
                continue;
            }
            let refused = || {
                let text = format!("Couldn't parse CURLOPT_RESOLVE entry '{entry}'");
                Problem::new(Code::BadOption, text)
            };
            let new = Resolved::parse(entry.strip_prefix('+').unwrap_or(entry));
            let new = new.ok_or_else(refused)?;
            resolved.retain(|known| (&known.host, known.port) != (&new.host, new.port));
            resolved.push(new);
        }
        Ok(Self { connect_to: connect_to.to_vec(), resolved })
    }

    /// The way to a URL. Entries whose addresses are all of the other family do not count.
    pub(crate) fn of(&self, url: &Url, family: Family) -> Result<Route, Problem> {
        let connect_to = self
            .connect_to
            .iter()
            .find_map(|rule| destination(rule, url).transpose())
            .transpose()?;
        let (host, port) = match &connect_to {
            Some((host, port)) => (host.to_ascii_lowercase(), *port),
            None => (url.host.to_ascii_lowercase(), url.port()),
        };
        let entry = |name: &str| {
            self.resolved.iter().find(|known| known.host == name && known.port == port)
        };
        let fits = |address: &&IpAddr| is_of(family, address);
        let addresses = entry(&host).or_else(|| entry("*")).map_or_else(Vec::new, |known| {
            known.addresses.iter().filter(fits).map(ToString::to_string).collect()
        });
        Ok(Route { connect_to, addresses })
    }
}

/// The failure that an address of the other family than that of `-4` or `-6` is in the place of a name, as in
/// curl: the host takes such an address as it is.
pub(crate) fn family_failure(url: &Url, request: &Request) -> Option<Failure> {
    let in_url = (url.host.clone(), url.port());
    let (host, port) = request.connect_to.as_ref().unwrap_or(&in_url);
    let is_other = |address: IpAddr| !is_of(request.family, &address);
    if !request.addresses.is_empty() || !unbracketed(host).parse().is_ok_and(is_other) {
        return None;
    }
    let text = format!("Failed to connect to {host} port {port}: it is of the other family");
    Some(Failure::new(FailureKind::Connect, text))
}

fn is_of(family: Family, address: &IpAddr) -> bool {
    match family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    }
}

impl Resolved {
    /// Reads `HOST:PORT:ADDRESS[,ADDRESS]`.
    fn parse(entry: &str) -> Option<Self> {
        let (host, rest) = entry.split_once(':')?;
        let (port, addresses) = rest.split_once(':')?;
        let addresses: Option<Vec<IpAddr>> =
            addresses.split(',').map(|text| unbracketed(text).parse().ok()).collect();
        Some(Self {
            host: Some(host.to_ascii_lowercase()).filter(|host| !host.is_empty())?,
            port: number(port)?,
            addresses: addresses?,
        })
    }
}

/// Where `HOST1:PORT1:HOST2:PORT2` sends a URL; `None` when it is about another one, or changes nothing.
fn destination(rule: &str, url: &Url) -> Result<Option<(String, u16)>, Problem> {
    let after_host = rule.strip_prefix(':').or_else(|| {
        let (host, rest) = rule.split_at_checked(url.host.len())?;
        rest.strip_prefix(':').filter(|_| host.eq_ignore_ascii_case(&url.host))
    });
    let after_port = after_host.and_then(|rest| {
        rest.strip_prefix(':').or_else(|| {
            let (port, rest) = rest.split_once(':')?;
            (number(port)? == url.port()).then_some(rest)
        })
    });
    let Some(target) = after_port.filter(|target| !target.is_empty()) else { return Ok(None) };
    let (host, port) = match target.rfind(']').filter(|_| target.starts_with('[')) {
        Some(end) => target.split_at(end + 1),
        None => target.split_at(target.find(':').unwrap_or(target.len())),
    };
    let port = match port.strip_prefix(':').unwrap_or(port) {
        "" => None,
        text => Some(number(text).ok_or_else(|| {
            let text = format!("No valid port number in connect to host string ({text})");
            Problem::new(Code::BadOption, text)
        })?),
    };
    if host.is_empty() && port.is_none() {
        return Ok(None);
    }
    let host = if host.is_empty() { &url.host } else { host };
    Ok(Some((unbracketed(host).to_owned(), port.unwrap_or(url.port()))))
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

/// A port. `u16::from_str` takes a plus sign.
fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|&entry| entry.to_owned()).collect()
    }

    /// `HOST:PORT=ADDRESSES`, or the problem.
    fn route(connect_to: &[&str], resolve: &[&str], url: &str, family: Family) -> String {
        let found = Routes::parse(&owned(connect_to), &owned(resolve))
            .and_then(|routes| routes.of(&Url::parse(url).unwrap(), family));
        match found {
            Ok(route) => {
                let to = route.connect_to.map(|(host, port)| format!("{host}:{port}"));
                format!("{}={}", to.unwrap_or_default(), route.addresses.join(","))
            }
            Err(problem) => format!("{} {}", problem.code.status(), problem.text),
        }
    }

    #[test]
    fn addresses_come_from_the_entry_that_fits() {
        let any = Family::Any;
        for (entries, url, family, expected) in [
            (&["h:80:192.0.2.1"][..], "h", any, "=192.0.2.1"),
            (&["+H:80:192.0.2.1"], "http://h/", any, "=192.0.2.1"),
            (&["h:80:192.0.2.1"], "https://h/", any, "="),
            (&["h:443:192.0.2.1"], "https://h/", any, "=192.0.2.1"),
            (&["h:80:192.0.2.1,[2001:db8::1]"], "h", any, "=192.0.2.1,2001:db8::1"),
            (&["h:80:192.0.2.1,[2001:db8::1]"], "h", Family::Ipv6, "=2001:db8::1"),
            (&["h:80:192.0.2.1"], "h", Family::Ipv6, "="),
            (&["h:80:2001:db8::1"], "h", any, "=2001:db8::1"),
            (&["*:80:192.0.2.1"], "h", any, "=192.0.2.1"),
            (&["*:80:192.0.2.1", "h:80:192.0.2.2"], "h", any, "=192.0.2.2"),
            (&["h:80:192.0.2.1", "h:80:192.0.2.2"], "h", any, "=192.0.2.2"),
            (&["h:80:192.0.2.1", "-h:80"], "h", any, "="),
            (&["-h"], "h", any, "="),
        ] {
            assert_eq!(route(&[], entries, url, family), expected, "{entries:?} {url}");
        }
        for entry in [
            "x",
            "h:80",
            "h:80:",
            "h:x:192.0.2.1",
            "h:80:z",
            "h:80:192.0.2.1,z",
            "h:80:[::1",
            "h:99999:192.0.2.1",
            "[::1]:80:192.0.2.1",
            ":80:192.0.2.1",
        ] {
            let expected = format!("49 Couldn't parse CURLOPT_RESOLVE entry '{entry}'");
            assert_eq!(route(&[], &[entry], "h", any), expected);
        }
    }

    #[test]
    fn a_destination_is_the_first_that_fits() {
        for (rules, url, expected) in [
            (&["h:80:other:81"][..], "h", "other:81="),
            (&["H:80:other:81"], "h", "other:81="),
            (&["h:81:other:82"], "h", "="),
            (&["hh:80:other:82"], "h", "="),
            (&["h::other:81"], "https://h/", "other:81="),
            ("::other:".split(' ').collect::<Vec<_>>().as_slice(), "h:99", "other:99="),
            (&["::other"], "h:99", "other:99="),
            (&[":80::81"], "h", "h:81="),
            (&["h:80:[2001:db8::1]:81"], "h", "2001:db8::1:81="),
            (&["[::1]:80:other:81"], "[::1]", "other:81="),
            (&[":::"], "h", "="),
            (&["x", "x:y", "", "h:80:a:1", "h:80:b:2"], "h", "a:1="),
            (&["h:80:other:x"], "h", "49 No valid port number in connect to host string (x)"),
            (&["h:80:o:99999"], "h", "49 No valid port number in connect to host string (99999)"),
        ] {
            assert_eq!(route(rules, &[], url, Family::Any), expected, "{rules:?} {url}");
        }
        let both = route(&["::o:81"], &["o:81:192.0.2.1", "h:80:192.0.2.2"], "h", Family::Any);
        assert_eq!(both, "o:81=192.0.2.1");
    }
}
