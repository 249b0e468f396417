//! The head of a request of HTTP/1.1.

use blitz_contract::load::{BODY_BYTES_MAX, Origin, Step};

use super::Text;
use super::template::{Rule, Template, is_control};
use super::value::Names;

/// What the head of a step is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) step: &'a Step,
    pub(super) origin: &'a Origin,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) keep_alive: bool,
}

/// Of requests that name none of their own: the runtime names its job.
pub(super) const USER_AGENT: &str = concat!("blitz-rush/", env!("CARGO_PKG_VERSION"));

/// Longest head: no server reads a longer one.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// Whether head and body can be sent, whatever their values are: a short plan must not become gigabytes in a second.
///
/// # Errors
///
/// The text of a limit.
pub(super) fn sized(head_bytes: usize, body: &Template, names: &Names) -> Result<(), String> {
    for (what, bytes, limit) in
        [("head", head_bytes, HEAD_BYTES_MAX), ("body", body.bytes_max(names), BODY_BYTES_MAX)]
    {
        if bytes > limit {
            return Err(format!(
                "with its longest values the {what} has {bytes} bytes, at most {limit} are sent; make the values shorter"
            ));
        }
    }
    Ok(())
}

impl Head<'_> {
    /// Head and body in one text where nothing depends on a value.
    pub(super) fn text(&self, body: Option<Template>, names: &Names) -> Result<Text, String> {
        let mut head = Template::default();
        head.push(self.step.method.as_bytes());
        head.push(b" ");
        head.append(self.target(names));
        head.push(b" HTTP/1.1\r\n");
        if !self.has("host") {
            head.push(format!("host: {}\r\n", self.origin.authority()).as_bytes());
        }
        for (name, value) in self.headers(names)? {
            head.push(name.as_bytes());
            head.push(b": ");
            head.append(value);
            head.push(b"\r\n");
        }
        if !self.has("user-agent") {
            head.push(format!("user-agent: {USER_AGENT}\r\n").as_bytes());
        }
        if !self.keep_alive {
            head.push(b"connection: close\r\n");
        }
        let has_body = body.is_some();
        let body = body.unwrap_or_default();
        if has_body || self.wants_length() {
            head.push(b"content-length: ");
            match body.fixed() {
                Some(fixed) => head.push(fixed.len().to_string().as_bytes()),
                None => head.push_body_bytes(),
            }
            head.push(b"\r\n");
        }
        head.push(b"\r\n");
        sized(head.bytes_max(names), &body, names)?;
        if let (Some(head), Some(body)) = (head.fixed(), body.fixed()) {
            return Ok(Text::Fixed([head, body].concat().into()));
        }
        Ok(Text::Holes { head, body })
    }

    /// What stands in the request line; a fragment is never sent.
    pub(super) fn target(&self, names: &Names) -> Template {
        let fragment = self
            .target
            .match_indices('#')
            .find(|(at, _)| !self.target[at + 1..].starts_with('{'))
            .map_or(self.target.len(), |(at, _)| at);
        Template::parse(&self.target[..fragment], Rule::Url, names)
    }

    /// Those of the plan.
    pub(super) fn headers(&self, names: &Names) -> Result<Vec<(&str, Template)>, String> {
        self.step
            .headers
            .iter()
            .map(|(name, value)| {
                if value.bytes().any(is_control) {
                    return Err(format!(
                        "header {name:?}: a value has no control characters, not {value:?}"
                    ));
                }
                Ok((name.as_str(), Template::parse(value, Rule::Head, names)))
            })
            .collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.step.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// Whether the length is said even of no body: the method has a meaning for one. Source: RFC 9110, section 8.6.
    pub(super) fn wants_length(&self) -> bool {
        ["POST", "PUT", "PATCH"].contains(&self.step.method.as_str())
    }
}
