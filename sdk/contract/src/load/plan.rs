//! What a load test does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Steps of one transaction.
pub const STEPS_MAX: usize = 32;
/// Segments of a shape: one a minute for a day.
pub const SEGMENTS_MAX: usize = 1440;
/// Headers of one step.
pub const HEADERS_MAX: usize = 64;
/// Bytes of one body: a worker holds it once, and a template is filled in for each request.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Variables of all steps, with the cookies that they take: a transaction keeps each.
pub const VARIABLES_MAX: usize = 64;

/// What all engines of a load test do together. Unknown fields are refused: a worker that passed one over would
/// do something else than was asked. A field that is added later must not be written while it has its default, so that
/// plugins that have not heard of it read an [`Opening`](super::Opening).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// A transaction: these requests, one after the other. 1 to [`STEPS_MAX`].
    pub steps: Vec<Step>,
    /// How many, and when.
    pub shape: Shape,
    /// Requests in all: the test ends when so many were sent, or with its shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Transactions in all, of a [`Shape::Users`]: when so many have begun, no user begins another one, however they end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<u64>,
    /// From the end of one transaction to the begin of a user's next one.
    #[serde(default)]
    pub think_ms: u64,
    /// From the start: what ends in this time is left out of the figures.
    #[serde(default)]
    pub warm_up_ms: u64,
    /// Connections of all engines together, of a [`Shape::Rate`]; with more requests than that in flight, they wait. None is as
    /// many as the caps of the engines allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// False opens a connection for each request.
    #[serde(default = "yes")]
    pub keep_alive: bool,
    /// The version of HTTP.
    #[serde(default)]
    pub version: HttpVersion,
    /// Requests at once on one connection of HTTP/2.
    #[serde(default = "one")]
    pub streams: u32,
    /// False accepts any certificate.
    #[serde(default = "yes")]
    pub verify: bool,
    /// False makes every TLS handshake a whole one.
    #[serde(default = "yes")]
    pub resume: bool,
    /// Of all random numbers: of arrivals and of variables.
    #[serde(default)]
    pub seed: u64,
}

/// How many, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shape {
    /// A closed model: so many users, each of whom begins its next transaction when the last one has ended.
    Users {
        /// One after the other; `from` and `to` are whole users.
        segments: Vec<Segment>,
    },
    /// An open model: so many transactions begin in a second, whatever became of those before.
    Rate {
        /// One after the other; `from` and `to` are transactions per second.
        segments: Vec<Segment>,
        /// Arrivals at random with this mean, in place of even ones.
        #[serde(default)]
        poisson: bool,
    },
}

/// A straight line from one height to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// At its begin.
    pub from: f64,
    /// At its end.
    pub to: f64,
    /// How long.
    pub duration_ms: u64,
}

/// One request of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// `GET`.
    pub method: String,
    /// Absolute, `http` or `https`. In path and query `#{name}` stands for a variable.
    pub url: String,
    /// Sent in this order, with `#{name}` in their values. `host`, `user-agent` and `content-length` are added when
    /// missing.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// What is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// The status that the answer must have; any other is an error of kind `assert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the start of the request, a connect included, to the last byte.
    pub timeout_ms: u64,
    /// Cookies of the answer that become variables of these names, for the steps after it.
    #[serde(default)]
    pub extract: Vec<String>,
    /// What stands for `#{name}` from this step on: drawn anew for each transaction.
    #[serde(default)]
    pub variables: Vec<Variable>,
}

/// A body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// With `#{name}` for variables.
    Text(String),
    /// As it is, in base64.
    Base64(String),
}

/// A name for what is drawn anew for each transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// 1 to 40 letters, digits and `_`.
    pub name: String,
    /// From which it is drawn.
    pub values: Values,
}

/// What a variable is drawn from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Values {
    /// One of these.
    List(Vec<String>),
    /// `count` words of `min` to `max` letters and digits are made at the start; one of them.
    Alpha {
        /// Shortest.
        min: u32,
        /// Longest.
        max: u32,
        /// How many different ones.
        count: u32,
    },
    /// `count` whole numbers from `min` to `max` are made at the start; one of them.
    Number {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
        /// How many different ones.
        count: u32,
    },
    /// A random UUID, another each time.
    Udid,
}

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN where there is TLS, else by prior knowledge.
    Http2,
}

impl Plan {
    /// These requests in this shape; all else as it is in JSON where it is absent.
    #[must_use]
    pub fn new(steps: Vec<Step>, shape: Shape) -> Self {
        Self {
            steps,
            shape,
            requests: None,
            transactions: None,
            think_ms: 0,
            warm_up_ms: 0,
            connections: None,
            keep_alive: true,
            version: HttpVersion::default(),
            streams: 1,
            verify: true,
            resume: true,
            seed: 0,
        }
    }
}

impl Step {
    /// A request without headers of its own and without a body, whose answer may have any status.
    #[must_use]
    pub fn new(method: &str, url: &str, timeout: Duration) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
            status: None,
            timeout_ms: milliseconds(timeout),
            extract: Vec::new(),
            variables: Vec::new(),
        }
    }
}

impl Segment {
    /// The same height all the time.
    #[must_use]
    pub fn flat(height: f64, duration: Duration) -> Self {
        Self { from: height, to: height, duration_ms: milliseconds(duration) }
    }
}

impl Shape {
    /// Its segments.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        match self {
            Self::Users { segments } | Self::Rate { segments, .. } => segments,
        }
    }

    /// From its begin to its end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let millis = self.segments().iter().fold(0u64, |sum, s| sum.saturating_add(s.duration_ms));
        Duration::from_millis(millis)
    }

    /// The greatest height.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.segments().iter().fold(0.0, |peak, s| peak.max(s.from).max(s.to))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}
