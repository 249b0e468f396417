//! `-w`: a line of one's own at the end, made of curl's variables.

use serde_json::{Map, Value, json};

use blitz_plugin::Host;

use crate::args::Settings;
use crate::body;
use crate::exit::Problem;
use crate::output::Sink;
use crate::render::address_and_port;
use crate::stats::Stats;

/// Prints the format of `-w`, when there is one.
pub(crate) fn run(settings: &Settings, stats: &Stats, host: &mut dyn Host) -> Result<(), Problem> {
    let Some(format) = &settings.write_out else { return Ok(()) };
    let format = body::text_of(format, host)?;
    let mut writer = Writer { to_stderr: false, text: String::new() };
    for piece in pieces(&format) {
        match piece {
            Piece::Text(text) => writer.text.push_str(&text),
            Piece::Header(name) => {
                writer.text.push_str(&stats.header(name).unwrap_or_default());
            }
            Piece::Variable("stdout") => writer.turn(false, host)?,
            Piece::Variable("stderr") => writer.turn(true, host)?,
            Piece::Variable("onerror") if stats.problem.is_none() => break,
            Piece::Variable("onerror") => {}
            Piece::Variable("json") => writer.text.push_str(&json_of(settings, stats)),
            Piece::Variable(name) => match value(name, settings, stats) {
                Some(value) => writer.text.push_str(&value.plain()),
                None => {
                    let text = format!("curl: unknown --write-out variable: '{name}'\n");
                    host.stderr().write_all(text.as_bytes()).ok();
                }
            },
        }
    }
    writer.turn(false, host)
}

/// Collects text for one of two streams.
struct Writer {
    to_stderr: bool,
    text: String,
}

impl Writer {
    /// Writes what was collected, and goes on with the other stream.
    fn turn(&mut self, to_stderr: bool, host: &mut dyn Host) -> Result<(), Problem> {
        let text = std::mem::take(&mut self.text);
        if self.to_stderr {
            host.stderr().write_all(text.as_bytes()).ok();
        } else if !text.is_empty() {
            Sink::Stdout.write(text.as_bytes(), host)?;
        }
        self.to_stderr = to_stderr;
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(String),
    /// `%{name}`
    Variable(&'a str),
    /// `%header{name}`
    Header(&'a str),
}

/// Splits a format. What is not a variable stands for itself.
fn pieces(format: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        let braced = |prefix: &str| behind.strip_prefix(prefix).and_then(|s| s.split_once('}'));
        if first == '%' {
            let found = match (braced("{"), braced("header{")) {
                (Some((name, end)), _) => Some((Piece::Variable(name), end)),
                (None, Some((name, end))) => Some((Piece::Header(name), end)),
                (None, None) => None,
            };
            if let Some((piece, end)) = found {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(piece);
                rest = end;
                continue;
            }
        }
        let escape = match (first, behind.chars().next()) {
            ('%', Some('%')) => Some('%'),
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('r')) => Some('\r'),
            ('\\', Some('t')) => Some('\t'),
            _ => None,
        };
        text.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &behind[1..] } else { behind };
    }
    pieces.push(Piece::Text(text));
    pieces
}

/// The variables of `%{json}`, in curl's order.
const VARIABLES: &[&str] = &[
    "content_type",
    "errormsg",
    "exitcode",
    "filename_effective",
    "http_code",
    "http_version",
    "local_ip",
    "local_port",
    "method",
    "num_certs",
    "num_connects",
    "num_headers",
    "num_redirects",
    "redirect_url",
    "referer",
    "remote_ip",
    "remote_port",
    "response_code",
    "scheme",
    "size_download",
    "size_header",
    "size_request",
    "size_upload",
    "speed_download",
    "speed_upload",
    "ssl_verify_result",
    "time_appconnect",
    "time_connect",
    "time_namelookup",
    "time_pretransfer",
    "time_redirect",
    "time_starttransfer",
    "time_total",
    "url",
    "url_effective",
    "urlnum",
];

/// A variable's value.
enum Variable {
    Text(Option<String>),
    Number(u64),
    /// Three digits.
    Status(u16),
    /// In microseconds; printed in seconds with six decimals.
    Time(u64),
}

impl Variable {
    fn plain(self) -> String {
        match self {
            Self::Text(text) => text.unwrap_or_default(),
            Self::Number(number) => number.to_string(),
            Self::Status(status) => format!("{status:03}"),
            Self::Time(us) => format!("{}.{:06}", us / 1_000_000, us % 1_000_000),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Status(status) => json!(status),
            time @ Self::Time(_) => time.plain().parse::<f64>().map_or(Value::Null, Value::from),
        }
    }
}

fn json_of(settings: &Settings, stats: &Stats) -> String {
    let known = VARIABLES.iter().filter_map(|&name| {
        value(name, settings, stats).map(|value| (name.to_owned(), value.json()))
    });
    Value::Object(known.collect::<Map<_, _>>()).to_string()
}

/// The value of a variable; `None` for a name that is not known.
fn value(name: &str, settings: &Settings, stats: &Stats) -> Option<Variable> {
    use Variable::{Number, Status, Text, Time};
    let asked = stats.asked.as_ref();
    let answered = stats.answered.as_ref();
    let times = stats.times;
    let remote = || {
        answered.and_then(|answered| answered.connection.remote.as_deref()).map(address_and_port)
    };
    let local =
        || answered.and_then(|answered| answered.connection.local.as_deref()).map(address_and_port);
    let address = |pair: Option<(&str, &str)>| Text(pair.map(|(address, _)| address.to_owned()));
    let port = |pair: Option<(&str, &str)>| {
        Number(pair.and_then(|(_, port)| port.parse().ok()).unwrap_or(0))
    };
    let per_second = |bytes: u64| match times.total_us {
        0 => Number(0),
        us => Number(
            u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(us)).unwrap_or(u64::MAX),
        ),
    };
    let uploaded = asked.map_or(0, |asked| asked.body_bytes);
    Some(match name {
        "content_type" => Text(stats.header("content-type")),
        "errormsg" => Text(stats.problem.as_ref().map(|problem| problem.text.clone())),
        "exitcode" => {
            Number(stats.problem.as_ref().map_or(0, |problem| problem.code.status().into()))
        }
        "filename_effective" => Text(match &settings.body_to {
            Sink::Stdout => None,
            Sink::File(name) => Some(name.clone()),
            Sink::Nowhere => Some("/dev/null".to_owned()),
        }),
        "http_code" | "response_code" => Status(answered.map_or(0, |answered| answered.status)),
        "http_version" => Text(Some(
            answered.map_or_else(|| "0".to_owned(), |answered| answered.version.to_string()),
        )),
        "local_ip" => address(local()),
        "local_port" => port(local()),
        "method" => Text(asked.map(|asked| asked.method.clone())),
        "num_certs" => Number(
            answered
                .and_then(|answered| answered.connection.tls.as_ref())
                .map_or(0, |tls| u64::try_from(tls.certificates.len()).unwrap_or(u64::MAX)),
        ),
        // The host makes a connection for each exchange.
        "num_connects" => Number(stats.redirects_count + u64::from(answered.is_some())),
        "num_headers" => Number(
            answered
                .map_or(0, |answered| u64::try_from(answered.headers.len()).unwrap_or(u64::MAX)),
        ),
        "num_redirects" => Number(stats.redirects_count),
        "redirect_url" => Text(stats.redirect_url.as_ref().map(ToString::to_string)),
        "referer" => Text(asked.and_then(|asked| asked.referer.clone())),
        "remote_ip" => address(remote()),
        "remote_port" => port(remote()),
        "scheme" => Text(asked.map(|asked| asked.url.scheme.name().to_owned())),
        "size_download" => Number(stats.body_bytes),
        "size_header" => Number(stats.header_bytes),
        "size_request" => Number(asked.map_or(0, |asked| asked.head_bytes + asked.body_bytes)),
        "size_upload" => Number(uploaded),
        "speed_download" => per_second(stats.body_bytes),
        "speed_upload" => per_second(uploaded),
        "ssl_verify_result" => Number(
            answered
                .and_then(|answered| answered.connection.tls.as_ref())
                .map_or(0, |tls| u64::from(tls.verdict != "ok")),
        ),
        "time_appconnect" => Time(times.app_connect_us),
        "time_connect" => Time(times.connect_us),
        "time_namelookup" => Time(times.name_lookup_us),
        "time_pretransfer" => Time(times.pre_transfer_us),
        "time_redirect" => Time(times.redirect_us),
        "time_starttransfer" => Time(times.start_transfer_us),
        "time_total" => Time(times.total_us),
        "url" => Text(Some(settings.url.clone())),
        "url_effective" => {
            Text(Some(asked.map_or_else(|| settings.url.clone(), |asked| asked.url.to_string())))
        }
        "urlnum" => Number(0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_split_as_curl_splits_it() {
        let text = |text: &str| Piece::Text(text.to_owned());
        for (format, expected) in [
            ("", vec![text("")]),
            ("a\\n\\t\\r%%\\x", vec![text("a\n\t\r%\\x")]),
            (
                "%{a}%{b}",
                vec![text(""), Piece::Variable("a"), text(""), Piece::Variable("b"), text("")],
            ),
            ("%header{x-y}!", vec![text(""), Piece::Header("x-y"), text("!")]),
            ("%{open", vec![text("%{open")]),
            ("100% \u{e9}%", vec![text("100% \u{e9}%")]),
        ] {
            assert_eq!(pieces(format), expected, "{format}");
        }
    }
}
