//! A request of HTTP/2: pseudo headers, headers and body, as the `h2` crate takes them.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Uri};

use blitz_contract::load::Scheme as PlanScheme;

use super::head::{self, Head};
use super::template::{Template, escape};
use super::value::{Drawing, Names};

/// What a step sends.
#[derive(Debug)]
pub(crate) struct Message {
    /// Made at the start, with what does not depend on a value.
    fixed: Request<()>,
    body: Bytes,
    /// Where there are holes: all of it.
    holes: Option<Holes>,
}

#[derive(Debug)]
struct Holes {
    scheme: Scheme,
    authority: Template,
    target: Template,
    headers: Vec<(HeaderName, Template)>,
    body: Template,
    says_length: bool,
}

/// Headers of a connection, which HTTP/2 does not have. Source: RFC 9113, section 8.2.2. The others of them no plan has.
const OF_CONNECTIONS: [&str; 2] = ["keep-alive", "proxy-connection"];

impl Message {
    pub(super) fn new(
        head: &Head<'_>,
        body: Option<Template>,
        names: &Names,
    ) -> Result<Self, String> {
        let mut authority = Template::text(head.origin.authority().into_bytes());
        let mut headers = Vec::with_capacity(head.step.headers.len() + 2);
        for (name, value) in head.headers(names)? {
            if name.eq_ignore_ascii_case("host") {
                authority = value;
            } else if !OF_CONNECTIONS.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|e| format!("header {name:?}: {e}"))?;
                headers.push((name, value));
            }
        }
        if !head.has("user-agent") {
            headers.push((USER_AGENT, Template::text(head::USER_AGENT.as_bytes().to_vec())));
        }
        let scheme = match head.origin.scheme {
            PlanScheme::Http => Scheme::HTTP,
            PlanScheme::Https => Scheme::HTTPS,
        };
        let holes = Holes {
            scheme,
            authority,
            target: head.target(names).map_text(escape),
            headers,
            says_length: body.is_some() || head.wants_length(),
            body: body.unwrap_or_default(),
        };
        head::sized(holes.head_bytes_max(names), &holes.body, names)?;
        let method = Method::from_bytes(head.step.method.as_bytes()).map_err(|e| e.to_string())?;
        let nothing = Drawing { values: &[], seed: 0, number: 0, kept: None };
        let is_fixed = holes.is_fixed();
        let mut fixed = Request::new(());
        *fixed.method_mut() = method;
        let mut made = Self { fixed, body: Bytes::new(), holes: Some(holes) };
        if is_fixed {
            (made.fixed, made.body) = made.make(&nothing)?;
            made.holes = None;
        }
        Ok(made)
    }

    pub(super) fn make(&self, drawing: &Drawing<'_>) -> Result<(Request<()>, Bytes), String> {
        let Some(holes) = &self.holes else { return Ok((self.fixed.clone(), self.body.clone())) };
        let mut request = Request::new(());
        *request.method_mut() = self.fixed.method().clone();
        *request.uri_mut() = holes.uri(drawing)?;
        let mut text = Vec::new();
        let mut headers = HeaderMap::with_capacity(holes.headers.len() + 1);
        for (name, value) in &holes.headers {
            text.clear();
            value.write(drawing, 0, &mut text);
            let value =
                HeaderValue::from_bytes(&text).map_err(|e| format!("header {name}: {e}"))?;
            headers.append(name.clone(), value);
        }
        let mut body = Vec::new();
        holes.body.write(drawing, 0, &mut body);
        if holes.says_length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        *request.headers_mut() = headers;
        Ok((request, Bytes::from(body)))
    }
}

impl Holes {
    /// Of everything but the body.
    fn head_bytes_max(&self, names: &Names) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len().saturating_add(value.bytes_max(names)));
        let pseudo = [&self.authority, &self.target].map(|text| text.bytes_max(names));
        headers.chain(pseudo).fold(0, usize::saturating_add)
    }

    fn is_fixed(&self) -> bool {
        self.authority.is_fixed()
            && self.target.is_fixed()
            && self.body.is_fixed()
            && self.headers.iter().all(|(_, value)| value.is_fixed())
    }

    fn uri(&self, drawing: &Drawing<'_>) -> Result<Uri, String> {
        let (mut authority, mut target) = (Vec::new(), Vec::new());
        self.authority.write(drawing, 0, &mut authority);
        self.target.write(drawing, 0, &mut target);
        let named = |what: &str, e: &dyn std::error::Error, text: &[u8]| {
            format!("{what} {:?}: {e}", String::from_utf8_lossy(text))
        };
        let host =
            Authority::try_from(&authority[..]).map_err(|e| named("host", &e, &authority))?;
        let path = PathAndQuery::try_from(&target[..]).map_err(|e| named("path", &e, &target))?;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(host);
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|e| e.to_string())
    }
}
