//! The variables of `-w`, with curl's names and meanings.
//!
//! Of curl's own those are left out that would not be true here: `conn_id` and `xfer_id` number the connections
//! and transfers of one libcurl.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use blitz_plugin::web::Version;
use serde_json::json;

use crate::args::Settings;
use crate::certificate::Certificate;
use crate::output::Sink;
use crate::render::address_and_port;
use crate::stats::{RefusedRedirect, Stats};
use crate::url::Url;

/// Those of `%{json}`.
const IN_JSON: &[&str] = &[
    "certs",
    "content_type",
    "errormsg",
    "exitcode",
    "filename_effective",
    "ftp_entry_path",
    "http_code",
    "http_connect",
    "http_version",
    "local_ip",
    "local_port",
    "method",
    "num_certs",
    "num_connects",
    "num_headers",
    "num_redirects",
    "num_retries",
    "proxy_ssl_verify_result",
    "proxy_used",
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
    "time_posttransfer",
    "time_pretransfer",
    "time_redirect",
    "time_starttransfer",
    "time_total",
    "url",
    "url_effective",
    "urlnum",
];

/// A variable's value.
pub(crate) enum Variable {
    Text(Option<String>),
    Number(u64),
    /// Three digits.
    Status(u16),
    /// In microseconds; printed in seconds with six decimals.
    Time(u64),
}

impl Variable {
    pub(crate) fn plain(self) -> String {
        match self {
            Self::Text(text) => text.unwrap_or_default(),
            Self::Number(number) => number.to_string(),
            Self::Status(status) => format!("{status:03}"),
            Self::Time(us) => format!("{}.{:06}", us / 1_000_000, us % 1_000_000),
        }
    }

    /// As JSON. A time keeps its six decimals: `0.000007`, where a float would become `7e-6`.
    fn json(self) -> String {
        match self {
            Self::Text(text) => json!(text).to_string(),
            Self::Number(number) => number.to_string(),
            Self::Status(status) => status.to_string(),
            time @ Self::Time(_) => time.plain(),
        }
    }
}

/// `%{json}`
pub(crate) fn all_as_json(settings: &Settings, stats: &Stats) -> String {
    let known = IN_JSON.iter().filter_map(|&name| {
        value(name, settings, stats).map(|value| format!("\"{name}\":{}", value.json()))
    });
    let version = format!("\"curl_version\":{}", json!(crate::request::AGENT));
    format!("{{{}}}", known.chain([version]).collect::<Vec<_>>().join(","))
}

/// `%{header_json}`: the headers of the latest answer, each name in lower case with all of its values.
pub(crate) fn headers_as_json(stats: &Stats) -> String {
    let headers = stats.answered.as_ref().map(|answered| answered.headers.as_slice());
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in headers.unwrap_or_default() {
        let name = name.to_ascii_lowercase();
        let value = String::from_utf8_lossy(value).into_owned();
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    let lines: Vec<String> =
        all.iter().map(|(name, values)| format!("{}:{}", json!(name), json!(values))).collect();
    format!("{{{}\n}}", lines.join(",\n"))
}

/// The value of a variable; `None` for a name that is not known.
pub(crate) fn value(name: &str, settings: &Settings, stats: &Stats) -> Option<Variable> {
    use Variable::{Number, Status, Text, Time};
    let asked = stats.asked.as_ref();
    let answered = stats.answered.as_ref().or(stats.answered_before.as_ref());
    let times = stats.times;
    let latest = Some(&stats.connection).filter(|latest| latest.remote.is_some());
    let latest = latest.unwrap_or(&stats.connection_before);
    let remote = || latest.remote.as_deref().map(address_and_port);
    let local = || latest.local.as_deref().map(address_and_port);
    let address = |pair: Option<(&str, &str)>| {
        Text(Some(pair.map_or_else(String::new, |(address, _)| address.to_owned())))
    };
    let port = |pair: Option<(&str, &str)>| {
        Number(pair.and_then(|(_, port)| port.parse().ok()).unwrap_or(0))
    };
    let per_second = |bytes: u64| match times.total_us {
        0 => Number(0),
        us => Number(
            u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(us)).unwrap_or(u64::MAX),
        ),
    };
    let uploaded = asked.filter(|_| stats.is_sent).map_or(0, |asked| asked.body_bytes);
    let tls = stats.connection.tls.as_ref();
    Some(match name {
        "certs" => Text(Some(certificates(stats))),
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
        "ftp_entry_path" => Text(None),
        "http_code" | "response_code" => Status(answered.map_or(0, |answered| answered.status)),
        // There are no proxies.
        "http_connect" => Status(0),
        "proxy_ssl_verify_result" | "proxy_used" => Number(0),
        "http_version" => Text(Some(
            answered
                .map_or("0", |answered| match answered.version {
                    Version::Http10 => "1",
                    Version::Http11 => "1.1",
                    Version::Http2 => "2",
                    Version::Http3 => "3",
                })
                .to_owned(),
        )),
        "local_ip" => address(local()),
        "local_port" => port(local()),
        "method" => Text(Some(match (asked, &settings.method) {
            (Some(asked), _) => asked.method.clone(),
            (None, Some(method)) => method.clone(),
            (None, None) => settings.verb().name().to_owned(),
        })),
        "num_certs" => Number(tls.map_or(0, |tls| count(tls.certificates.len()))),
        // The host makes a connection for each exchange.
        "num_connects" => Number(stats.connects_count),
        "num_headers" => Number(answered.map_or(0, |answered| count(answered.headers.len()))),
        "num_redirects" => Number(stats.redirects_count),
        "num_retries" => Number(stats.retries_count),
        "redirect_url" => Text(stats.redirect_url.clone()),
        "referer" => Text(asked.and_then(|asked| asked.referer.clone())),
        "remote_ip" => address(remote()),
        "remote_port" => port(remote()),
        "scheme" => Text(asked.map(|asked| asked.url.scheme.name().to_owned())),
        "size_download" => Number(stats.body_bytes),
        "size_header" => Number(stats.header_bytes),
        "size_request" => Number(stats.request_bytes),
        "size_upload" => Number(uploaded),
        "speed_download" => per_second(stats.body_bytes),
        "speed_upload" => per_second(uploaded),
        // A handshake that failed before there was a chain has no verdict.
        "ssl_verify_result" => Number(match tls {
            Some(tls) => verify_result(&tls.verdict),
            None => u64::from(stats.has_tls() && stats.connection.remote.is_some()),
        }),
        "time_appconnect" => Time(times.app_connect_us),
        "time_connect" => Time(times.connect_us),
        "time_namelookup" => Time(times.name_lookup_us),
        "time_posttransfer" => Time(times.post_transfer_us),
        "time_pretransfer" => Time(times.pre_transfer_us),
        "time_redirect" => Time(times.redirect_us),
        "time_starttransfer" => Time(times.start_transfer_us),
        "time_total" => Time(times.total_us),
        "url" => Text(Some(stats.url.as_ref().unwrap_or(&settings.url).clone())),
        "url_effective" => Text(Some(match (&stats.refused_redirect, asked) {
            (Some(RefusedRedirect { url: Some(url) }), _) => url.clone(),
            (_, Some(asked)) => effective(&asked.url),
            (_, None) => stats.url.as_ref().unwrap_or(&settings.url).clone(),
        })),
        "urlnum" => Number(0),
        _ => {
            let (url, part) = match name.split_once('.')? {
                ("url", part) => (Url::parse(&settings.url).ok(), part),
                ("urle", part) => (asked.map(|asked| asked.url.clone()), part),
                _ => return None,
            };
            part_of(url.as_ref(), part)?
        }
    })
}

/// Without a query that is empty, as in curl.
fn effective(url: &Url) -> String {
    let mut url = url.clone();
    url.query = url.query.filter(|query| !query.is_empty());
    url.to_string()
}

/// OpenSSL's number for a verdict, as curl gives it; 1, "unspecified", for what has none.
fn verify_result(verdict: &str) -> u64 {
    match verdict {
        "ok" => 0,
        "certificate is not yet valid" => 9,
        "certificate has expired" => 10,
        "self-signed certificate" => 18,
        "unable to get local issuer certificate" => 20,
        _ => 1,
    }
}

/// `%{url.host}` and its like. Name and password of a URL are not given out.
fn part_of(url: Option<&Url>, part: &str) -> Option<Variable> {
    let text = |read: fn(&Url) -> Option<String>| Some(Variable::Text(url.and_then(read)));
    match part {
        "scheme" => text(|url| Some(url.scheme.name().to_owned())),
        "host" => text(|url| Some(url.host.clone())),
        "port" => text(|url| Some(url.port().to_string())),
        "path" => text(|url| Some(url.path.clone())),
        "query" => text(|url| url.query.clone()),
        "fragment" => text(|url| url.fragment.clone()),
        _ => None,
    }
}

/// The chain as curl with OpenSSL writes it, without the numbers of keys and signatures.
fn certificates(stats: &Stats) -> String {
    /// Characters of a line in PEM (RFC 7468).
    const PEM_COLUMNS: usize = 64;
    let mut text = String::new();
    for der in stats.connection.tls.iter().flat_map(|tls| &tls.certificates) {
        if let Some(read) = Certificate::parse(der) {
            let key = match read.key_type.as_str() {
                "RSA" => "rsaEncryption",
                "EC" => "id-ecPublicKey",
                other => other,
            };
            let lines = [
                ("Subject", read.subject.joined(" = ", ", ")),
                ("Issuer", read.issuer.joined(" = ", ", ")),
                ("Version", format!("{:x}", read.version.saturating_sub(1))),
                ("Serial Number", read.serial),
                ("Signature Algorithm", read.signature_algorithm),
                ("Public Key Algorithm", key.to_owned()),
                ("X509v3 Subject Alternative Name", alternative_names(&read.sans)),
                ("Start date", read.not_before.openssl()),
                ("Expire date", read.not_after.openssl()),
            ];
            for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
                text.push_str(&format!("{name}:{value}\n"));
            }
        }
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = BASE64.encode(der);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(rest.len().min(PEM_COLUMNS));
            text.push_str(line);
            text.push('\n');
            rest = behind;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

fn alternative_names(names: &[String]) -> String {
    let named = names.iter().map(|name| {
        if name.parse::<IpAddr>().is_ok() {
            format!("IP Address:{name}")
        } else if name.starts_with("email:") || name.starts_with("URI:") {
            name.clone()
        } else {
            format!("DNS:{name}")
        }
    });
    named.collect::<Vec<_>>().join(", ")
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
