//! What a target shows of its owner's word, when a test begins and while it runs.

use std::net::{IpAddr, SocketAddr};

use blitz_contract::load::{Origin, Proof, Scheme, Way};

use super::targets::Refused;
use crate::http::Client;
use crate::proof::{self, NotProved, Place};

/// Looks in a row that are not clear, before it counts as gone: a target under load may leave one of them without an
/// answer. What is clearly something else, a 404 or another body, is gone at once.
const UNCLEAR_LOOKS: u32 = 2;

/// A target that may be loaded because of a proof.
#[derive(Debug)]
pub(super) struct Shown {
    token: Option<String>,
    /// Where it was found last.
    way: Option<Way>,
    /// Looks in a row that were not clear.
    unclear: u32,
}

impl Shown {
    /// Looks before the first packet of the test. Nothing is looked for where an operator has agreed.
    pub(super) async fn first(
        http: &Client,
        origin: &Origin,
        addresses: &[SocketAddr],
        proof: &Proof,
    ) -> Result<Self, Refused> {
        let mut shown = Self { token: proof.token.clone(), way: None, unclear: 0 };
        match shown.look(http, origin, addresses).await {
            Ok(way) => shown.way = way,
            Err(not) => {
                return Err(Refused::Denied(format!(
                    "{not}; 'blitz targets verify {}' says what to put where",
                    proof.host
                )));
            }
        }
        Ok(shown)
    }

    /// Looks while the test runs: whether to look again soon.
    ///
    /// # Errors
    ///
    /// Why it may not go on.
    pub(super) async fn again(
        &mut self,
        http: &Client,
        origin: &Origin,
        addresses: &[SocketAddr],
    ) -> Result<bool, String> {
        match self.look(http, origin, addresses).await {
            Ok(way) => {
                (self.way, self.unclear) = (way, 0);
                Ok(false)
            }
            Err(not) => self.decide(&not),
        }
    }

    /// Only the way by which it was found may leave a look unclear.
    fn decide(&mut self, not: &NotProved) -> Result<bool, String> {
        if !self.way.is_some_and(|way| not.unclear.contains(&way)) {
            return Err(not.to_string());
        }
        self.unclear += 1;
        if self.unclear >= UNCLEAR_LOOKS {
            return Err(format!("{not} ({UNCLEAR_LOOKS} looks in a row)"));
        }
        tracing::info!(%not, "the proof of a load test's target was not seen, looking again soon");
        Ok(true)
    }

    async fn look(
        &self,
        http: &Client,
        origin: &Origin,
        addresses: &[SocketAddr],
    ) -> Result<Option<Way>, NotProved> {
        let Some(token) = &self.token else { return Ok(None) };
        let addresses: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        let place = Place {
            host: &origin.host,
            port: origin.port,
            is_secure: origin.scheme == Scheme::Https,
            addresses: &addresses,
            token,
        };
        Box::pin(proof::prove(http, &place)).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_may_be_unclear_and_none_may_find_something_else() {
        let not = |unclear: &[Way]| NotProved {
            host: "x.example".to_owned(),
            found: vec![(Way::WellKnown, "nothing".to_owned())],
            unclear: unclear.to_vec(),
        };
        let shown = || Shown { token: Some(String::new()), way: Some(Way::WellKnown), unclear: 0 };
        let (mut silent, mut gone, mut elsewhere) = (shown(), shown(), shown());
        assert_eq!(silent.decide(&not(&[Way::WellKnown])), Ok(true));
        let text = silent.decide(&not(&[Way::WellKnown])).unwrap_err();
        assert!(text.contains("x.example") && text.contains("2 looks in a row"), "{text}");
        assert!(gone.decide(&not(&[])).is_err());
        assert!(elsewhere.decide(&not(&[Way::Record])).is_err(), "it was not found there");
    }
}
