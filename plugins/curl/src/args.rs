//! The command line as settings: what is asked, and a refusal of what cannot be meant together.

use std::time::Duration;

use blitz_plugin::Arguments;
use blitz_plugin::secret::masked_url;
use blitz_plugin::web::{Family, VersionChoice};

use crate::download::Limits;
use crate::exit::Problem;
use crate::multipart::Field;
use crate::output::Sink;
use crate::protocols::Protocols;
use crate::refused;
use crate::request::Verb;
use crate::retry::Retries;

/// As curl's own.
const REDIRECTS_MAX_DEFAULT: u64 = 50;

/// A whole command line. Files that it names are not read yet.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// As typed.
    pub(crate) url: String,
    /// `-X`: the word to send instead of the method that follows from the rest.
    pub(crate) method: Option<String>,
    /// `-I`.
    pub(crate) is_head: bool,
    pub(crate) payload: Payload,
    /// `-H`, in order.
    pub(crate) headers: Vec<TextOrFile>,
    /// `--json` was given: its headers are sent unless `-H` sets them.
    pub(crate) is_json: bool,
    pub(crate) agent: Option<String>,
    pub(crate) referer: Option<String>,
    /// `-e ';auto'`.
    pub(crate) referer_follows: bool,
    pub(crate) cookies: Vec<String>,
    pub(crate) user: Option<(String, String)>,
    pub(crate) bearer: Option<String>,
    pub(crate) range: Option<String>,
    /// `-L`.
    pub(crate) redirects: Option<Redirects>,
    pub(crate) fail: Fail,
    /// `--status`: the only status that is no failure.
    pub(crate) status: Option<u16>,
    pub(crate) retries: Retries,
    /// False with `-k`.
    pub(crate) verify: bool,
    /// `--cacert`: a file with the certificates to trust.
    pub(crate) roots: Option<String>,
    pub(crate) protocols: Protocols,
    pub(crate) version: VersionChoice,
    pub(crate) family: Family,
    /// `--resolve`, `--connect-to` and `--resolver` as typed.
    pub(crate) resolve: Vec<String>,
    pub(crate) connect_to: Vec<String>,
    pub(crate) resolver: Option<String>,
    pub(crate) connect_timeout: Option<Duration>,
    /// `--compressed`.
    pub(crate) decodes: bool,
    pub(crate) limits: Limits,
    pub(crate) max_time: Option<Duration>,
    /// `-o`, else standard output.
    pub(crate) body_to: Sink,
    /// `-D`.
    pub(crate) heads_to: Option<Sink>,
    /// `-i` and `-I`: heads go where the body goes.
    pub(crate) includes_heads: bool,
    pub(crate) write_out: Option<TextOrFile>,
    pub(crate) is_silent: bool,
    pub(crate) shows_errors: bool,
    pub(crate) is_verbose: bool,
    /// `--tls-info`.
    pub(crate) shows_tls: bool,
    /// `--timing`.
    pub(crate) shows_timing: bool,
}

/// What is sent, and with which method when `-X` does not say.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// GET, or HEAD with `-I`.
    Nothing,
    /// `-d` and its like: POST.
    Data(Vec<Data>),
    /// `-d` with `-G`: goes into the query.
    Query(Vec<Data>),
    /// `-F`: POST.
    Form(Vec<Field>),
    /// `-T`: PUT of this input.
    Upload(String),
}

/// One `-d` or its like.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    /// True for what joins the part before it without `&`.
    pub(crate) is_json: bool,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// As it is.
    Text(String),
    /// `NAME=` before the text, which is percent-encoded.
    Encode(Option<String>, String),
    /// A file as it is.
    File(String),
    /// A file without line breaks and NUL.
    FileStripped(String),
    /// A file, percent-encoded.
    FileEncode(String),
}

/// A value that may be given as `@FILE`.
#[derive(Debug, Clone)]
pub(crate) enum TextOrFile {
    Text(String),
    File(String),
}

/// How redirects are followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Redirects {
    /// `None` for no limit but the job's time.
    pub(crate) count_max: Option<u64>,
    /// Credentials go to other hosts, too.
    pub(crate) trusts_others: bool,
    /// POST stays POST after these.
    pub(crate) keeps_post_301: bool,
    pub(crate) keeps_post_302: bool,
    pub(crate) keeps_post_303: bool,
}

/// Whether a status of 400 and above is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    Never,
    /// `-f`: the body is not printed.
    WithoutBody,
    WithBody,
}

impl Settings {
    /// The method that follows from the options.
    pub(crate) fn verb(&self) -> Verb {
        match self.payload {
            _ if self.is_head => Verb::Head,
            Payload::Nothing | Payload::Query(_) => Verb::Get,
            Payload::Data(_) | Payload::Form(_) => Verb::Post,
            Payload::Upload(_) => Verb::Put,
        }
    }

    /// Whether problems are told: `-s` says no, `-S` says yes all the same.
    pub(crate) fn tells(&self) -> bool {
        !self.is_silent || self.shows_errors
    }

    /// Reads a parsed command line.
    pub(crate) fn read(args: &Arguments) -> Result<Self, Problem> {
        refused::check(args)?;
        let (referer, referer_follows) = referer(args.value("referer"));
        Ok(Self {
            url: url(args)?,
            method: method(args)?,
            is_head: args.has("head"),
            payload: payload(args)?,
            headers: args.values("header").map(TextOrFile::parse).collect(),
            is_json: args.has("json"),
            agent: args.value("user-agent").map(str::to_owned),
            referer,
            referer_follows,
            cookies: args.values("cookie").map(cookie).collect::<Result<_, _>>()?,
            user: args.value("user").map(user).transpose()?,
            bearer: args.value("oauth2-bearer").map(str::to_owned),
            range: args.value("range").map(range),
            redirects: redirects(args)?,
            fail: match (args.has("fail"), args.has("fail-with-body")) {
                (true, true) => {
                    return Err(Problem::usage(
                        "--fail and --fail-with-body exclude each other: give one",
                    ));
                }
                (true, false) => Fail::WithoutBody,
                (false, true) => Fail::WithBody,
                (false, false) => Fail::Never,
            },
            status: args.value("status").map(status).transpose()?,
            retries: Retries::read(args)?,
            verify: !args.has("insecure"),
            roots: args.value("cacert").map(str::to_owned),
            protocols: Protocols::read(args),
            version: version(args),
            family: family(args),
            resolve: args.values("resolve").map(str::to_owned).collect(),
            connect_to: args.values("connect-to").map(str::to_owned).collect(),
            resolver: args.value("resolver").map(str::to_owned),
            connect_timeout: time_limit(args, "connect-timeout"),
            max_time: time_limit(args, "max-time"),
            decodes: args.has("compressed"),
            limits: Limits::read(args)?,
            body_to: args.value("output").map_or(Sink::Stdout, Sink::parse),
            heads_to: args.value("dump-header").map(Sink::parse),
            includes_heads: args.has("include") || args.has("head"),
            write_out: args.value("write-out").map(TextOrFile::parse),
            is_silent: args.has("silent"),
            shows_errors: args.has("show-error"),
            is_verbose: args.has("verbose"),
            shows_tls: args.has("tls-info"),
            shows_timing: args.has("timing"),
        })
    }
}

impl TextOrFile {
    fn parse(value: &str) -> Self {
        match value.strip_prefix('@') {
            Some(file) => Self::File(file.to_owned()),
            None => Self::Text(value.to_owned()),
        }
    }
}

fn url(args: &Arguments) -> Result<String, Problem> {
    let mut urls = args.values("URL").chain(args.values("url"));
    let url = urls.next().ok_or_else(|| Problem::usage("no URL specified"))?;
    if let Some(second) = urls.next() {
        return Err(Problem::usage(format!(
            "more than one URL is not supported: {:?}; run one command for each",
            masked_url(second)
        )));
    }
    let (_, path) = url.split_once("://").unwrap_or(("", url));
    let path = path.find('/').map_or("", |at| &path[at..]);
    if !args.has("globoff") && (url.contains(['{', '}']) || path.contains(['[', ']'])) {
        return Err(Problem::usage(format!(
            "ranges and sets in a URL are not supported: {:?}; -g takes the brackets literally",
            masked_url(url)
        )));
    }
    Ok(url.to_owned())
}

/// The last one given counts. `--http2` takes it where the server offers it, as curl does.
fn version(args: &Arguments) -> VersionChoice {
    let choice = |(name, _): (&str, &str)| match name {
        "http1.1" => Some(VersionChoice::Http1),
        "http2" => Some(VersionChoice::Any),
        "http2-prior-knowledge" => Some(VersionChoice::Http2),
        "http3" | "http3-only" => Some(VersionChoice::Http3),
        _ => None,
    };
    args.in_order().filter_map(choice).last().unwrap_or_default()
}

/// The last one given counts.
fn family(args: &Arguments) -> Family {
    let choice = |(name, _): (&str, &str)| match name {
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        _ => None,
    };
    args.in_order().filter_map(choice).last().unwrap_or_default()
}

fn status(text: &str) -> Result<u16, Problem> {
    let status = text.parse().ok().filter(|status| (100..1000).contains(status));
    status.ok_or_else(|| {
        Problem::usage(format!("option --status: {text:?} is not a status, 100 to 999"))
    })
}

fn method(args: &Arguments) -> Result<Option<String>, Problem> {
    let Some(method) = args.value("request") else { return Ok(None) };
    // A token of RFC 9110, section 5.6.2.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Problem::usage(format!("option -X: {method:?} is not a method")));
    }
    Ok(Some(method.to_owned()))
}

fn payload(args: &Arguments) -> Result<Payload, Problem> {
    let data = args
        .in_order()
        .filter_map(|(name, value)| data(name, value).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let fields = args
        .in_order()
        .filter_map(|(name, value)| match name {
            "form" => Some(Field::parse(value)),
            "form-string" => Some(Field::literal(value)),
            _ => None,
        })
        .collect::<Result<Vec<_>, _>>()?;
    let is_query = args.has("get") && !data.is_empty();
    let asked = [
        (args.has("head"), "HEAD (-I, --head)"),
        (!data.is_empty() && !is_query, "POST (-d, --data)"),
        (!fields.is_empty(), "multipart formpost (-F, --form)"),
        (args.has("upload-file"), "PUT (-T, --upload-file)"),
    ];
    let asked: Vec<&str> = asked.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    if let [first, second, ..] = asked[..] {
        return Err(Problem::usage(format!(
            "you can only select one HTTP request method, and asked for both {first} and {second}"
        )));
    }
    Ok(match args.value("upload-file") {
        Some(file) => Payload::Upload(file.to_owned()),
        None if !fields.is_empty() => Payload::Form(fields),
        None if is_query => Payload::Query(data),
        None if !data.is_empty() => Payload::Data(data),
        None => Payload::Nothing,
    })
}

fn data(option: &str, value: &str) -> Result<Option<Data>, Problem> {
    let file = value.strip_prefix('@').map(str::to_owned);
    let text = || Content::Text(value.to_owned());
    let content = match option {
        "data" | "data-ascii" => file.map_or_else(text, Content::FileStripped),
        "data-binary" | "json" => file.map_or_else(text, Content::File),
        "data-raw" => text(),
        "data-urlencode" => match (file, value.split_once('=')) {
            (Some(file), _) => Content::FileEncode(file),
            (None, Some(("", text))) => Content::Encode(None, text.to_owned()),
            (None, Some((name, text))) => Content::Encode(Some(name.to_owned()), text.to_owned()),
            (None, None) if value.contains('@') => {
                return Err(Problem::usage(format!(
                    "option --data-urlencode: NAME@FILE is not supported: {value:?}; \
                     give NAME=TEXT, @FILE, or =TEXT for a text with @"
                )));
            }
            (None, None) => Content::Encode(None, value.to_owned()),
        },
        _ => return Ok(None),
    };
    Ok(Some(Data { is_json: option == "json", content }))
}

fn referer(value: Option<&str>) -> (Option<String>, bool) {
    let Some(value) = value else { return (None, false) };
    match value.strip_suffix(";auto") {
        Some(first) => (Some(first.to_owned()).filter(|first| !first.is_empty()), true),
        None => (Some(value.to_owned()), false),
    }
}

fn cookie(value: &str) -> Result<String, Problem> {
    if value.contains('=') {
        return Ok(value.to_owned());
    }
    // The value is not repeated: it may be a secret that lacks its name.
    Err(Problem::usage("option -b: cookie files are not supported; give 'NAME=VALUE'"))
}

fn user(value: &str) -> Result<(String, String), Problem> {
    let split = value.split_once(':').filter(|_| !value.chars().any(char::is_control));
    let (name, password) = split.ok_or_else(|| {
        Problem::usage("option -u: give NAME:PASSWORD; nobody can be asked for a password here")
    })?;
    Ok((name.to_owned(), password.to_owned()))
}

/// A first byte alone means all from there on.
fn range(value: &str) -> String {
    let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    if is_number { format!("{value}-") } else { value.to_owned() }
}

fn redirects(args: &Arguments) -> Result<Option<Redirects>, Problem> {
    let count_max = match args.value("max-redirs") {
        None => Some(REDIRECTS_MAX_DEFAULT),
        Some("-1") => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Problem::usage(format!("option --max-redirs: {text:?} is not a count, nor -1"))
        })?),
    };
    let follows = args.has("location") || args.has("location-trusted");
    Ok(follows.then(|| Redirects {
        count_max,
        trusts_others: args.has("location-trusted"),
        keeps_post_301: args.has("post301"),
        keeps_post_302: args.has("post302"),
        keeps_post_303: args.has("post303"),
    }))
}

/// Zero is no limit, as in curl.
fn time_limit(args: &Arguments, name: &str) -> Option<Duration> {
    blitz_plugin::duration(args.value(name)?).filter(|limit| !limit.is_zero())
}
