//! One hop's request: method, headers in curl's order, and which of them a redirect may carry on.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use blitz_plugin::Host;
use blitz_plugin::secret::masked_header;
use blitz_plugin::web::{Headers, Request};

use crate::args::{Settings, TextOrFile};
use crate::body::{self, Body};
use crate::connect::Routes;
use crate::decode;
use crate::exit::Problem;
use crate::url::Url;

pub(crate) const AGENT: &str = concat!("blitz-curl/", env!("CARGO_PKG_VERSION"));

/// The method that follows from the options; `-X` only changes the word that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Head,
    /// With a body.
    Post,
    /// With a body.
    Put,
}

const CONTENT_TYPE: &str = "Content-Type";

impl Verb {
    pub(crate) fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// Where the next exchange goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) verb: Verb,
    pub(crate) referer: Option<String>,
}

/// One `-H`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Custom {
    name: String,
    /// `None` leaves the header out that would be sent otherwise.
    value: Option<String>,
}

/// What all hops share.
#[derive(Debug)]
pub(crate) struct Template<'a> {
    pub(crate) settings: &'a Settings,
    /// As typed, with what `-G` and `-T` add to it.
    pub(crate) url: String,
    /// The first URL: whoever shares its origin may see the credentials.
    pub(crate) origin: Url,
    pub(crate) custom: Vec<Custom>,
    pub(crate) body: Option<Body>,
    pub(crate) routes: Routes,
    /// `--cacert`, read.
    pub(crate) roots: Option<Vec<u8>>,
}

impl Template<'_> {
    /// The word for the method.
    fn method(&self, hop: &Hop) -> String {
        self.settings.method.clone().unwrap_or_else(|| hop.verb.name().to_owned())
    }

    /// The body of a hop: a redirect to GET leaves it out.
    pub(crate) fn body(&self, hop: &Hop) -> Option<&Body> {
        self.body.as_ref().filter(|_| hop.verb.has_body())
    }

    /// The whole request. `timeout` is what is left of `--max-time`.
    pub(crate) fn request(&self, hop: &Hop, timeout: Option<Duration>) -> Result<Request, Problem> {
        let settings = self.settings;
        let route = self.routes.of(&hop.url, settings.family)?;
        Ok(Request {
            method: self.method(hop),
            url: hop.url.without_fragment(),
            headers: self.headers(hop),
            body: self.body(hop).map(|body| body.bytes.clone()),
            version: settings.version,
            verify: settings.verify,
            roots: self.roots.clone(),
            family: settings.family,
            connect_to: route.connect_to,
            addresses: route.addresses,
            resolver: settings.resolver.clone(),
            connect_timeout: settings.connect_timeout,
            timeout,
        })
    }

    fn headers(&self, hop: &Hop) -> Headers {
        let settings = self.settings;
        let is_trusted = self.origin.has_origin_of(&hop.url)
            || settings.redirects.is_some_and(|redirects| redirects.trusts_others);
        let body = self.body(hop);
        let is_form = body.is_some_and(|body| body.is_form);
        let is_in_body =
            |custom: &Custom| is_form && custom.is(CONTENT_TYPE) && custom.value.is_some();
        let custom = self.custom.iter().filter(|custom| !is_in_body(custom));
        let custom: Vec<&Custom> =
            custom.filter(|custom| self.may_carry(custom, hop, is_trusted)).collect();
        let mut list = List { custom: &custom, headers: Vec::new() };

        list.add_in_place("Host", &hop.url.host_header());
        list.add("Authorization", self.authorization(hop, is_trusted));
        list.add("Range", settings.range.as_ref().map(|range| format!("bytes={range}")));
        let agent = settings.agent.as_deref().unwrap_or(AGENT);
        list.add("User-Agent", Some(agent.to_owned()).filter(|agent| !agent.is_empty()));
        list.add("Accept", Some("*/*".to_owned()));
        list.add("Accept-Encoding", settings.decodes.then(|| decode::ACCEPTED.to_owned()));
        list.add("Referer", hop.referer.clone().filter(|referer| !referer.is_empty()));
        let cookies = Some(settings.cookies.join(";")).filter(|all| is_trusted && !all.is_empty());
        list.add("Cookie", cookies);
        for custom in &custom {
            if let Some(value) = custom.value.as_ref().filter(|_| !custom.is("Host")) {
                list.headers.push((custom.name.clone(), value.clone().into_bytes()));
            }
        }
        if let Some(body) = body {
            list.add("Content-Length", Some(body.bytes.len().to_string()));
            list.add(CONTENT_TYPE, body.media_type.clone());
        }
        list.headers
    }

    /// Headers that name the user stay with the origin, and a `Host` with its host.
    fn may_carry(&self, custom: &Custom, hop: &Hop, is_trusted: bool) -> bool {
        if custom.is("Authorization") || custom.is("Cookie") {
            return is_trusted;
        }
        !custom.is("Host") || hop.url.host.eq_ignore_ascii_case(&self.origin.host)
    }

    /// Options go before credentials in the URL, as in curl.
    fn authorization(&self, hop: &Hop, is_trusted: bool) -> Option<String> {
        let basic = |(name, password): &(String, String)| {
            format!("Basic {}", BASE64.encode(format!("{name}:{password}")))
        };
        let bearer = self.settings.bearer.as_ref().map(|token| format!("Bearer {token}"));
        let from_options = bearer.or_else(|| self.settings.user.as_ref().map(basic));
        // A server that sends elsewhere may not choose what is said there.
        let from_urls = hop.url.user.as_ref().or(self.origin.user.as_ref());
        from_options.or_else(|| from_urls.map(basic)).filter(|_| is_trusted)
    }
}

impl Custom {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Reads `Name: value`, `Name;` (empty) or `Name:` (left out).
    fn parse(line: &str) -> Result<Self, Problem> {
        let refused = || {
            Problem::usage(format!(
                "option -H: {:?} is not a header; give 'Name: value', 'Name;' or 'Name:'",
                masked_header(line)
            ))
        };
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(refused());
        }
        let (name, value) = match (line.split_once(':'), line.strip_suffix(';')) {
            (Some((name, value)), _) => {
                (name, Some(value.trim_start().to_owned()).filter(|value| !value.is_empty()))
            }
            (None, Some(name)) => (name, Some(String::new())),
            (None, None) => return Err(refused()),
        };
        let name = name.trim();
        if name.is_empty() || name.contains(' ') {
            return Err(refused());
        }
        Ok(Self { name: name.to_owned(), value })
    }
}

/// Reads every `-H`, with the files that they name.
pub(crate) fn custom_headers(
    settings: &Settings,
    host: &mut dyn Host,
) -> Result<Vec<Custom>, Problem> {
    let mut custom = Vec::new();
    for header in &settings.headers {
        let text = body::text_of(header, host)?;
        match header {
            TextOrFile::Text(_) => custom.push(Custom::parse(&text)?),
            TextOrFile::File(_) => {
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    custom.push(Custom::parse(line)?);
                }
            }
        }
    }
    if settings.is_json {
        for name in [CONTENT_TYPE, "Accept"] {
            if !custom.iter().any(|custom| custom.is(name)) {
                let value = Some("application/json".to_owned());
                custom.push(Custom { name: name.to_owned(), value });
            }
        }
    }
    Ok(custom)
}

/// The `Content-Type` among them.
pub(crate) fn media_type(custom: &[Custom]) -> Option<&str> {
    custom.iter().find(|custom| custom.is(CONTENT_TYPE))?.value.as_deref()
}

/// Headers being collected; `-H` goes before what would be sent otherwise.
struct List<'a> {
    custom: &'a [&'a Custom],
    headers: Headers,
}

impl List<'_> {
    fn add(&mut self, name: &str, value: Option<String>) {
        let is_custom = self.custom.iter().any(|custom| custom.is(name));
        if let Some(value) = value.filter(|_| !is_custom) {
            self.headers.push((name.to_owned(), value.into_bytes()));
        }
    }

    /// As `add`, but a custom value takes this place.
    fn add_in_place(&mut self, name: &str, value: &str) {
        let custom = self.custom.iter().find(|custom| custom.is(name));
        let value = custom.map_or(Some(value), |custom| custom.value.as_deref());
        if let Some(value) = value {
            self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        }
    }
}
