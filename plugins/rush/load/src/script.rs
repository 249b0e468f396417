//! The plan compiled for sending: what each step writes, as bytes that were made at the start, with holes where a
//! variable stands.
//!
//! What a variable is worth is a function of the plan's seed, the number of the transaction and the variable: nothing is stored for it,
//! and a request that was sent in part can be made again. Only cookies that were taken from answers are kept ([`Kept`]). A step
//! without holes costs one look-up and no copy.

mod cookie;
mod head;
mod message;
mod template;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use cookie::Kept;
pub(crate) use message::Message;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blitz_contract::load::work::Pinned;
use blitz_contract::load::{Body, HttpVersion, Origin, Plan};

use head::Head;
use template::Template;
use value::{Drawing, Names, Value};

/// The whole transaction.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) steps: Box<[Step]>,
    seed: u64,
    values: Box<[Value]>,
}

/// One request of it.
#[derive(Debug)]
pub(crate) struct Step {
    /// Place among the targets.
    pub(crate) origin: u32,
    pub(crate) timeout_ns: u64,
    /// The status that must come.
    pub(crate) expected: Option<u16>,
    /// Its answer has no body, whatever its head says.
    pub(crate) is_head: bool,
    /// May be sent again when nobody knows whether it was carried out. Source: RFC 9110, section 9.2.2.
    pub(crate) is_idempotent: bool,
    /// Cookies of its answer are wanted.
    pub(crate) extracts: bool,
    /// Name of each, and its number among those that a transaction keeps.
    wanted: Box<[(Box<[u8]>, u16)]>,
    text: Text,
}

/// What a step writes.
#[derive(Debug)]
enum Text {
    /// HTTP/1.1, head and body in one.
    Fixed(Box<[u8]>),
    /// HTTP/1.1 with holes.
    Holes { head: Template, body: Template },
    /// HTTP/2.
    Message(Box<Message>),
}

impl Script {
    /// Compiles a plan that was checked. The order of `targets` gives origins their numbers.
    ///
    /// # Errors
    ///
    /// Says what of which step cannot be sent.
    pub(crate) fn new(plan: &Plan, targets: &[Pinned]) -> Result<Self, String> {
        let mut names = Names::new(plan.seed);
        let mut kept = 0_u16;
        let mut steps = Vec::with_capacity(plan.steps.len());
        for (number, step) in plan.steps.iter().enumerate() {
            let at = |what: String| format!("steps[{number}]: {what}");
            for variable in &step.variables {
                names.define(&variable.name, Value::new(&variable.values));
            }
            let (origin, target) = Origin::of_url(&step.url).ok_or_else(|| {
                at(format!("{:?} is not an absolute http or https URL", step.url))
            })?;
            let place = targets
                .iter()
                .position(|pinned| pinned.origin == origin)
                .ok_or_else(|| at(format!("{origin} is not among the targets")))?;
            let body = match &step.body {
                None => None,
                Some(Body::Text(text)) => Some(Template::parse(text, template::Rule::Body, &names)),
                Some(Body::Base64(text)) => {
                    let bytes =
                        BASE64_STANDARD.decode(text).map_err(|e| at(format!("body: {e}")))?;
                    Some(Template::text(bytes))
                }
            };
            let head = Head { step, origin: &origin, target: &target, keep_alive: plan.keep_alive };
            let text = match plan.version {
                HttpVersion::Http1 => head.text(body, &names).map_err(at)?,
                HttpVersion::Http2 => {
                    Text::Message(Box::new(Message::new(&head, body, &names).map_err(at)?))
                }
            };
            let mut wanted = Vec::with_capacity(step.extract.len());
            for name in &step.extract {
                names.define(name, Value::Cookie(kept));
                wanted.push((name.as_bytes().into(), kept));
                kept =
                    kept.checked_add(1).ok_or_else(|| at("takes too many cookies".to_owned()))?;
            }
            steps.push(Step {
                origin: u32::try_from(place).map_err(|e| at(e.to_string()))?,
                timeout_ns: step.timeout_ms.saturating_mul(1_000_000),
                expected: step.status,
                is_head: step.method == "HEAD",
                is_idempotent: ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]
                    .contains(&step.method.as_str()),
                extracts: !wanted.is_empty(),
                wanted: wanted.into(),
                text,
            });
        }
        Ok(Self { steps: steps.into(), seed: plan.seed, values: names.values() })
    }

    /// The least time-out of all steps.
    pub(crate) fn min_timeout_ns(&self) -> u64 {
        self.steps.iter().map(|step| step.timeout_ns).min().unwrap_or_default()
    }

    /// Head and body of HTTP/1.1, in one piece: as made at the start where there are no holes; else written behind what `scratch` has.
    /// The same for the same step, number and cookies. Empty for a plan of HTTP/2.
    pub(crate) fn request<'a>(
        &'a self,
        step: usize,
        number: u64,
        kept: Option<&Kept>,
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match self.steps.get(step).map(|step| &step.text) {
            Some(Text::Fixed(bytes)) => bytes,
            Some(Text::Holes { head, body }) => {
                let begin = scratch.len();
                let drawing = self.drawing(number, kept);
                // The head says how long the body is: the body is written first, and moved behind it.
                body.write(&drawing, 0, scratch);
                let body_bytes = scratch.len() - begin;
                head.write(&drawing, body_bytes, scratch);
                scratch[begin..].rotate_left(body_bytes);
                &scratch[begin..]
            }
            Some(Text::Message(_)) | None => &[],
        }
    }

    /// The request of a plan of HTTP/2, and its body.
    ///
    /// # Errors
    ///
    /// Says what a value made impossible.
    pub(crate) fn message(
        &self,
        step: usize,
        number: u64,
        kept: Option<&Kept>,
    ) -> Result<(http::Request<()>, bytes::Bytes), String> {
        match self.steps.get(step).map(|step| &step.text) {
            Some(Text::Message(message)) => message.make(&self.drawing(number, kept)),
            _ => Err(format!("steps[{step}] is no request of HTTP/2")),
        }
    }

    fn drawing<'a>(&'a self, number: u64, kept: Option<&'a Kept>) -> Drawing<'a> {
        Drawing { values: &self.values, seed: self.seed, number, kept }
    }
}
