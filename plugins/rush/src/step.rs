//! One request of a transaction.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_plugin::Failure;
use blitz_plugin::load::{BODY_BYTES_MAX, Body, HEADERS_MAX, Step, Values, Variable};

use crate::draft::Read;
use crate::header::{is_token, one_line, read as read_header};
use crate::item::{Item, Value, all, last};
use crate::line::Asked;
use crate::template::Scope;
use crate::text::Text;
use crate::{url, values};

/// How long a request may take when nobody says.
pub(crate) const TIMEOUT_MS: u64 = 10_000;
/// As the contract has it.
const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// As in curl, for data without a content type.
const FORM: &str = "application/x-www-form-urlencoded";
/// Bytes of a variable's name.
const NAME_MAX: usize = 40;

/// Makes a step. `before` is the URL of the one before it, and `scope` what those before it have.
///
/// # Errors
///
/// For the first thing that is wrong.
pub(crate) fn of(
    asked: &Asked,
    before: Option<&str>,
    scope: &mut Scope,
    read: Read<'_>,
) -> Result<Step, Failure> {
    let items = &asked.items;
    let variables = variables(items)?;
    for variable in &variables {
        scope.add(&variable.name);
    }
    scope.check(&asked.url)?;
    let url = url::absolute(&asked.url, before)?;
    let body = body(items, scope, read)?;
    let step = Step {
        method: method(items, body.is_some())?,
        url,
        headers: headers(items, body.is_some(), scope)?,
        body,
        status: last(items, "status").map(status).transpose()?,
        timeout_ms: last(items, "timeout").map_or(Ok(TIMEOUT_MS), timeout_ms)?,
        extract: extract(items)?,
        variables,
    };
    for cookie in &step.extract {
        scope.add(cookie);
    }
    Ok(step)
}

fn variables(items: &[Item]) -> Result<Vec<Variable>, Failure> {
    let mut found: Vec<Variable> = Vec::new();
    for item in all(items, "variable") {
        let name = &item.name;
        let is_name = (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            let wrong =
                format!("{name:?} is no name; it has 1 to {NAME_MAX} letters, digits and _");
            return Err(item.text().refuse(wrong));
        }
        if found.iter().any(|other| other.name == *name) {
            return Err(item.text().refuse("this step has such a variable already"));
        }
        let values = match &item.value {
            Value::List { values, text } if values.is_empty() => {
                return Err(text.refuse("a list has at least one value"));
            }
            Value::List { values, .. } => Values::List(values.clone()),
            Value::Text(text) | Value::File { text, .. } => values::read(text)?,
        };
        found.push(Variable { name: name.clone(), values });
    }
    Ok(found)
}

fn extract(items: &[Item]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for item in all(items, "xtract") {
        let Text { value: name, .. } = item.text();
        if name.is_empty() || !name.chars().all(is_token) {
            let bad = name.find(|c| !is_token(c)).unwrap_or(0);
            return Err(item.text().fault(bad, "the name of a cookie"));
        }
        if !found.contains(name) {
            found.push(name.clone());
        }
    }
    Ok(found)
}

fn method(items: &[Item], has_body: bool) -> Result<String, Failure> {
    let Some(text) = last(items, "request") else {
        return Ok(if has_body { "POST" } else { "GET" }.to_owned());
    };
    let method = &text.value;
    if let Some(bad) = method.find(|c| !is_token(c)) {
        return Err(text.fault(bad, "no letter of a method"));
    }
    match method.as_str() {
        "" => Err(text.refuse("a method is missing: GET, POST, ...")),
        "CONNECT" => Err(text.refuse("CONNECT has no answer of its own")),
        method => Ok(method.to_owned()),
    }
}

fn headers(
    items: &[Item],
    has_body: bool,
    scope: &Scope,
) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = Headers::default();
    for item in all(items, "header") {
        scope.check(item.text())?;
        headers.list.push(read_header(item.text())?);
    }
    for key in ["user-agent", "referer"] {
        if let Some(text) = last(items, key) {
            scope.check(text)?;
            headers.add(key, text, text.value.clone())?;
        }
    }
    let mut cookies = Vec::new();
    for item in all(items, "cookie") {
        let text = item.text();
        scope.check(text)?;
        one_line(text)?;
        if !text.value.contains('=') {
            return Err(text.refuse("a cookie is NAME=VALUE"));
        }
        cookies.push(text.value.as_str());
    }
    if let Some(text) = last(items, "cookie") {
        headers.add("cookie", text, cookies.join("; "))?;
    }
    if let Some(text) = last(items, "user") {
        let colon = if text.value.contains(':') { "" } else { ":" };
        let encoded = STANDARD.encode(format!("{}{colon}", text.value));
        headers.add("authorization", text, format!("Basic {encoded}"))?;
    }
    if has_body && !headers.has("content-type") {
        headers.list.push(("content-type".to_owned(), FORM.to_owned()));
    }
    match last(items, "header").filter(|_| headers.list.len() > HEADERS_MAX) {
        Some(text) => Err(text.refuse(format!("a step has at most {HEADERS_MAX} headers"))),
        None => Ok(headers.list),
    }
}

#[derive(Default)]
struct Headers {
    list: Vec<(String, String)>,
}

impl Headers {
    fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// One that has an option of its own.
    fn add(&mut self, name: &str, text: &Text, value: String) -> Result<(), Failure> {
        one_line(text)?;
        if self.has(name) {
            return Err(text.refuse(format!("--header sets {name} already")));
        }
        self.list.push((name.to_owned(), value));
        Ok(())
    }
}

/// All data, with `&` between them as in curl.
fn body(items: &[Item], scope: &Scope, read: Read<'_>) -> Result<Option<Body>, Failure> {
    let mut whole: Option<Vec<u8>> = None;
    let mut is_text = true;
    for item in all(items, "data") {
        let bytes = match &item.value {
            Value::File { name, .. } => read(name)?,
            Value::Text(text) | Value::List { text, .. } => text.value.clone().into_bytes(),
        };
        match std::str::from_utf8(&bytes) {
            Ok(content) => match &item.value {
                Value::File { name, .. } => {
                    scope.check(&Text::of_line(format!("--data @{name}"), content))?;
                }
                Value::Text(text) | Value::List { text, .. } => scope.check(text)?,
            },
            Err(_) => is_text = false,
        }
        match &mut whole {
            None => whole = Some(bytes),
            Some(whole) => {
                whole.push(b'&');
                whole.extend(bytes);
            }
        }
        if whole.as_ref().is_some_and(|whole| whole.len() > BODY_BYTES_MAX) {
            return Err(item
                .text()
                .refuse(format!("a step has at most {BODY_BYTES_MAX} bytes of data")));
        }
    }
    let Some(whole) = whole else { return Ok(None) };
    if is_text {
        // Each part is UTF-8, and so are all together.
        return Ok(Some(Body::Text(String::from_utf8_lossy(&whole).into_owned())));
    }
    let uses_variables = |item: &&Item| item.text().value.contains("#{");
    match all(items, "data").find(uses_variables) {
        Some(item) => Err(item.text().refuse("no variables beside a file that is not text")),
        None => Ok(Some(Body::Base64(STANDARD.encode(&whole)))),
    }
}

fn status(text: &Text) -> Result<u16, Failure> {
    let status = text.value.parse().ok().filter(|status| (100..=999).contains(status));
    status.ok_or_else(|| text.refuse("a status has three digits: 200"))
}

/// As in 2011, a bare number is milliseconds.
fn timeout_ms(text: &Text) -> Result<u64, Failure> {
    let typed = text.value.as_str();
    let time = match typed.contains(|c: char| c.is_ascii_alphabetic()) {
        true => blitz_plugin::duration(typed),
        false => blitz_plugin::duration(&format!("{typed}ms")),
    };
    let Some(time) = time else {
        let bad = typed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(0);
        return Err(text.fault(bad, "a time: 500 (milliseconds), 500ms, 2s, 1m"));
    };
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match (1..=TIMEOUT_MS_MAX).contains(&ms) {
        true => Ok(ms),
        false => Err(text.refuse("1 ms to 1 h")),
    }
}
