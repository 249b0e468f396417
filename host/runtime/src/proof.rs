//! Whether a host shows what proves that its owner agrees to be loaded. `look` asks one place, here it is decided what the
//! answers say together. Where a token may stand, and why a name alone is not enough, is in [`blitz_contract::load::proof`].
//!
//! All of it goes by [`crate::egress`], to addresses that were looked up before: those that are loaded are those that were
//! asked. No redirect is followed, as what it leads to is another place.

mod look;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use blitz_contract::load::proof::{self, is_token};
use blitz_contract::load::{Proof, Way};
use futures_util::future::join_all;
use url::Host;

use crate::doing::Doing;
use crate::egress::{Egress, Endpoint, Family, TargetPolicy, Wanted, has_route};
use crate::http::Client;
use crate::rate::Rates;

/// For all that is asked in one look, each by itself: a target under load that answers within this time is well.
pub(crate) const LOOK_TIME: Duration = Duration::from_secs(5);

/// Ports of a host without one, the better kept first.
const PLACES: [(bool, u16); 2] = [(true, 443), (false, 80)];

/// A place at which a token is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// As URLs have it, without brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// HTTPS.
    pub(crate) is_secure: bool,
    /// All of them are asked.
    pub(crate) addresses: &'a [IpAddr],
    pub(crate) token: &'a str,
}

/// What one look found at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// It is there.
    There,
    /// Something else is: the words say what.
    Other(String),
    /// Nobody can say: no answer came, or one that says that the server has troubles.
    Unclear(String),
}

/// What was found, by each way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotProved {
    /// The host that was asked.
    pub host: String,
    /// Each way, and what was there: lines for people.
    pub found: Vec<(Way, String)>,
    /// The ways of which nobody can say whether they show the token.
    pub unclear: Vec<Way>,
}

impl fmt::Display for NotProved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not show that its owner agrees", self.host)?;
        for (number, (_, text)) in self.found.iter().enumerate() {
            write!(f, "{} {text}", if number == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for NotProved {}

/// Looks for proofs. Needs nothing of a runtime but its way out: a gateway has one, and runs no plugins.
#[derive(Debug, Clone)]
pub struct Prover(Client);

impl Prover {
    /// Goes where this policy lets it go, and never to what is protected.
    #[must_use]
    pub fn new(targets: TargetPolicy, protected: Vec<Endpoint>) -> Self {
        Self(Client::new(Egress::paced(targets, protected, Rates::default())))
    }

    pub(crate) fn of(client: Client) -> Self {
        Self(client)
    }

    /// Looks for the token of a proof at its host: without a port by HTTPS and by HTTP. A proof without a token is not
    /// looked for; it has no way.
    ///
    /// # Errors
    ///
    /// [`NotProved`] says for each way what was found.
    pub async fn prove(&self, proof: &Proof) -> Result<Option<Way>, NotProved> {
        let Some(token) = &proof.token else { return Ok(None) };
        let client = self.0.for_run(&Doing::default());
        let (host, port) = proof::split(&proof.host);
        let places = match port {
            None => PLACES.to_vec(),
            Some(port) => vec![(true, port), (false, port)],
        };
        let mut not: Option<NotProved> = None;
        for (is_secure, port) in places {
            let found = match addresses(client.egress(), host, port).await {
                Ok(addresses) => {
                    let place = Place { host, port, is_secure, addresses: &addresses, token };
                    prove(&client, &place).await
                }
                Err(text) => Err(nowhere(host, &text)),
            };
            match (found, &mut not) {
                (Ok(way), _) => return Ok(Some(way)),
                (Err(new), None) => not = Some(new),
                (Err(new), Some(not)) => {
                    not.found.extend(new.found);
                    not.unclear.extend(new.unclear);
                }
            }
        }
        let mut not = not.unwrap_or_else(|| nowhere(host, "it was looked for nowhere"));
        not.host.clone_from(&proof.host);
        // The zone says the same to both.
        let mut told = std::collections::BTreeSet::new();
        not.found.retain(|(_, text)| told.insert(text.clone()));
        Err(not)
    }
}

/// Looks for a token by all ways at once.
pub(crate) async fn prove(client: &Client, place: &Place<'_>) -> Result<Way, NotProved> {
    let Place { host, token, addresses, .. } = *place;
    let Some(uuid) = proof::uuid_path(token).filter(|_| is_token(token)) else {
        return Err(nowhere(host, "what is looked for is no token"));
    };
    // An engine without IPv6 neither loads such an address nor hears of it.
    let addresses: Vec<IpAddr> =
        addresses.iter().copied().filter(|address| has_route(*address)).collect();
    if addresses.is_empty() {
        return Err(nowhere(host, "there is no route to any of its addresses"));
    }
    let place = &Place { addresses: &addresses, ..*place };
    let well_known = proof::well_known_path(token);
    let (well_known, uuid, record) = tokio::join!(
        at_all(client, place, &well_known),
        at_all(client, place, &uuid),
        look::record(client, place)
    );
    let ways = [(Way::WellKnown, well_known), (Way::Uuid, uuid), (Way::Record, record)];
    if let Some((way, _)) = ways.iter().find(|(_, seen)| *seen == Seen::There) {
        return Ok(*way);
    }
    let mut not = NotProved { host: host.to_owned(), found: Vec::new(), unclear: Vec::new() };
    for (way, seen) in ways {
        match seen {
            Seen::There => {}
            Seen::Other(text) => not.found.push((way, text)),
            Seen::Unclear(text) => {
                not.found.push((way, text));
                not.unclear.push(way);
            }
        }
    }
    Err(not)
}

/// A path, at every address: one that has it does not speak for the others.
async fn at_all(client: &Client, place: &Place<'_>, path: &str) -> Seen {
    let looks = place.addresses.iter().map(|address| look::file(client, place, *address, path));
    worst(join_all(looks).await)
}

/// What is surely not there says more than what is not clear.
fn worst(seen: Vec<Seen>) -> Seen {
    let mut worst = Seen::There;
    for seen in seen {
        match (&worst, &seen) {
            (Seen::Other(_), _) | (Seen::Unclear(_), Seen::There | Seen::Unclear(_)) => {}
            _ => worst = seen,
        }
    }
    worst
}

/// The addresses of a host, and that the policy allows all of them.
async fn addresses(egress: &Egress, host: &str, port: u16) -> Result<Vec<IpAddr>, String> {
    let parsed = match host.parse() {
        Ok(IpAddr::V4(address)) => Host::Ipv4(address),
        Ok(IpAddr::V6(address)) => Host::Ipv6(address),
        Err(_) => Host::parse(host).map_err(|_| format!("{host:?} is no name of a host"))?,
    };
    let wanted =
        Wanted { host: &parsed, port, family: Family::Any, addresses: &[], resolver: None };
    let looking = async {
        let resolved = egress.resolve(&wanted).await?;
        egress.all_allowed(&resolved).await?;
        Ok(resolved.addresses.iter().map(std::net::SocketAddr::ip).collect())
    };
    match tokio::time::timeout(LOOK_TIME, looking).await {
        Ok(found) => found.map_err(|error: crate::egress::EgressError| error.to_string()),
        Err(_) => Err(format!("{host} was not found in {} s", LOOK_TIME.as_secs())),
    }
}

fn nowhere(host: &str, text: &str) -> NotProved {
    let ways = [Way::WellKnown, Way::Uuid, Way::Record];
    NotProved {
        host: host.to_owned(),
        found: vec![(Way::WellKnown, text.to_owned())],
        unclear: ways.to_vec(),
    }
}
