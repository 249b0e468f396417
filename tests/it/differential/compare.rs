//! Where two programs differ: pure, and in words that end the search.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::run::Seen;
use super::server::Received;

/// As much of a long value as a message shows.
const SHOWN_BYTES: usize = 600;

/// One thing that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What it is about: `refused` (the command line as such), `exit`, `stdout`, `problem`, `%{http_code}`, `json http_code`, `file out`, `requests`, `method`,
    /// `target`, `protocol`, `header accept`, `body`.
    pub(crate) aspect: String,
    pub(crate) curl: String,
    pub(crate) blitz: String,
}

/// Everything in which they differ.
pub(crate) fn differences(curl: &Seen, blitz: &Seen) -> Vec<Difference> {
    let mut list = List::default();
    if curl.is_refused() != blitz.is_refused() {
        // One of them did not even begin: there is nothing else to compare.
        let outcome = |seen: &Seen| {
            let said = seen.stderr.lines().find(|line| line.starts_with("curl:"));
            format!(
                "exit {:?}, {} requests, {}",
                seen.exit,
                seen.requests.len(),
                said.unwrap_or("-")
            )
        };
        list.compare("refused", &outcome(curl), &outcome(blitz));
        return list.0;
    }
    list.compare("exit", &format!("{:?}", curl.exit), &format!("{:?}", blitz.exit));
    list.compare("problem", &curl.problems.join(" "), &blitz.problems.join(" "));
    let boundaries = |seen: &Seen| seen.requests.iter().find_map(boundary);
    let (ours, theirs) = (boundaries(blitz), boundaries(curl));
    match (json(&curl.stdout), json(&blitz.stdout)) {
        (Some(theirs), Some(ours)) => list.json(&theirs, &ours),
        _ => list.compare(
            "stdout",
            &unbounded(&curl.stdout, theirs.as_deref()),
            &unbounded(&blitz.stdout, ours.as_deref()),
        ),
    }
    let names: BTreeSet<&String> = curl.files.keys().chain(blitz.files.keys()).collect();
    for name in names {
        let content = |files: &BTreeMap<String, Vec<u8>>| {
            files.get(name).map_or_else(|| "(no such file)".to_owned(), |bytes| show(bytes))
        };
        list.compare(&format!("file {name}"), &content(&curl.files), &content(&blitz.files));
    }
    // Where even the outcomes differ, the variables have nothing to add.
    if curl.exit == blitz.exit {
        for (name, theirs) in &curl.variables {
            let ours = blitz.variables.get(name).map_or("(not printed)", String::as_str);
            match (*name, size_sent(blitz)) {
                ("size_request", Some(sent)) => {
                    list.compare("%{size_request}", &sent.to_string(), ours);
                }
                // Over HTTP/2, and where there were several attempts.
                ("size_request", None) if !blitz.requests.is_empty() => {}
                _ => list.variable(name, theirs, ours),
            }
        }
    }
    list.order_of_times(&blitz.variables);
    let count = |seen: &Seen| {
        let lines = seen.requests.iter().map(|one| format!("{} {}", one.method, one.target));
        format!("{}: {}", seen.requests.len(), lines.collect::<Vec<_>>().join(", "))
    };
    if curl.requests.len() == blitz.requests.len() {
        for (theirs, ours) in curl.requests.iter().zip(&blitz.requests) {
            list.request(theirs, ours);
        }
    } else {
        list.compare("requests", &count(curl), &count(blitz));
    }
    list.0
}

/// What the requests of one transfer have brought to the server. The size that curl tells is no measure for
/// ours: it has a body in it only where body and head went out together.
fn size_sent(seen: &Seen) -> Option<usize> {
    let hops = seen.variables.get("num_redirects")?.parse::<usize>().ok()? + 1;
    let is_one = seen.requests.len() == hops && seen.requests.iter().all(|it| it.bytes_count > 0);
    is_one.then(|| seen.requests.iter().map(|request| request.bytes_count).sum())
}

#[derive(Default)]
struct List(Vec<Difference>);

impl List {
    fn compare(&mut self, aspect: &str, curl: &str, blitz: &str) {
        if curl != blitz {
            // Where they begin to differ is what one wants to see of two long texts.
            let same = curl.bytes().zip(blitz.bytes()).take_while(|(a, b)| a == b).count();
            let from = same.saturating_sub(SHOWN_BYTES / 2);
            self.0.push(Difference {
                aspect: aspect.to_owned(),
                curl: clip(&tail(curl, from)),
                blitz: clip(&tail(blitz, from)),
            });
        }
    }

    /// Times and speeds differ from run to run: compared is only whether there is one.
    fn variable(&mut self, name: &str, curl: &str, blitz: &str) {
        let aspect = format!("%{{{name}}}");
        if name == "time_total" && curl == "0.000000" {
            // It ended before its clock went on.
        } else if name.starts_with("time_") {
            let is_some = |value: &str| value.parse::<f64>().map(|seconds| seconds > 0.0).ok();
            if is_some(curl) != is_some(blitz) || !has_six_decimals(blitz) {
                self.compare(&aspect, curl, blitz);
            }
        } else if name.starts_with("speed_") {
            let is_some = |value: &str| value.parse::<u64>().map(|speed| speed > 0).ok();
            if is_some(curl) != is_some(blitz) {
                self.compare(&aspect, curl, blitz);
            }
        } else if name == "errormsg" {
            // Each words it in its own way.
            if curl.is_empty() != blitz.is_empty() {
                self.compare(&aspect, curl, blitz);
            }
        } else {
            self.compare(&aspect, curl, blitz);
        }
    }

    /// The variables of `%{json}`. Those that ours has besides are no difference.
    fn json(&mut self, curl: &Map<String, Value>, blitz: &Map<String, Value>) {
        for (name, theirs) in curl {
            let aspect = format!("json {name}");
            let Some(ours) = blitz.get(name) else {
                self.compare(&aspect, &theirs.to_string(), "(none)");
                continue;
            };
            let differs_each_time =
                ["time_", "speed_", "local_port"].iter().any(|kind| name.starts_with(kind));
            let is_same = if differs_each_time {
                let is_some = |value: &Value| value.as_f64().map(|number| number > 0.0);
                is_some(theirs) == is_some(ours)
            } else if name == "errormsg" {
                theirs.is_null() == ours.is_null()
            } else {
                theirs == ours
            };
            if !is_same {
                self.compare(&aspect, &theirs.to_string(), &ours.to_string());
            }
        }
    }

    /// The times of one answer follow each other.
    fn order_of_times(&mut self, ours: &BTreeMap<&'static str, String>) {
        let time = |name: &str| ours.get(name).and_then(|value| value.parse::<f64>().ok());
        let order = [
            "time_namelookup",
            "time_connect",
            "time_pretransfer",
            "time_starttransfer",
            "time_total",
        ];
        let times: Vec<(&str, f64)> =
            order.iter().filter_map(|&name| Some((name, time(name)?))).collect();
        for pair in times.windows(2) {
            let [(first, early), (second, late)] = pair else { continue };
            // What did not happen is 0.
            if early > late && *late > 0.0 {
                self.compare(
                    "order of times",
                    &format!("{first} <= {second}"),
                    &format!("{early} > {late}"),
                );
            }
        }
    }

    fn request(&mut self, curl: &Received, blitz: &Received) {
        self.compare("method", &curl.method, &blitz.method);
        self.compare("target", &curl.target, &blitz.target);
        self.compare("protocol", &curl.version, &blitz.version);
        let (ours, theirs) = (boundary(blitz), boundary(curl));
        let bodies =
            (unbounded(&curl.body, theirs.as_deref()), unbounded(&blitz.body, ours.as_deref()));
        self.compare("body", &bodies.0, &bodies.1);
        let names: BTreeSet<&str> =
            curl.headers.iter().chain(&blitz.headers).map(|(name, _)| name.as_str()).collect();
        for name in names {
            let values = |request: &Received, boundary: &Option<String>| {
                let values = request.headers.iter().filter(|(known, _)| known == name);
                let values: Vec<String> = values
                    .map(|(_, value)| unbounded(value.as_bytes(), boundary.as_deref()))
                    .collect();
                if values.is_empty() { "(none)".to_owned() } else { values.join(" | ") }
            };
            let aspect = format!("header {name}");
            self.compare(&aspect, &values(curl, &theirs), &values(blitz, &ours));
        }
        let order = |request: &Received| {
            let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
            names.join(" ")
        };
        let sorted = |request: &Received| {
            let mut names: Vec<&str> =
                request.headers.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        // Over HTTP/2 the server does not tell the order.
        if sorted(curl) == sorted(blitz) && curl.version != "HTTP/2" {
            self.compare("order of headers", &order(curl), &order(blitz));
        }
    }
}

/// What `%{json}` prints, when nothing else was printed.
fn json(stdout: &[u8]) -> Option<Map<String, Value>> {
    let map: Map<String, Value> = serde_json::from_slice(stdout).ok()?;
    map.contains_key("http_code").then_some(map)
}

fn has_six_decimals(value: &str) -> bool {
    value.split_once('.').is_some_and(|(_, decimals)| decimals.len() == 6)
}

/// The boundary of a multipart body, which is a different one each time.
fn boundary(request: &Received) -> Option<String> {
    let (_, boundary) = request.header("content-type")?.split_once("boundary=")?;
    Some(boundary.to_owned())
}

fn unbounded(bytes: &[u8], boundary: Option<&str>) -> String {
    let text = show(bytes);
    boundary.map_or(text.clone(), |boundary| text.replace(boundary, "BOUNDARY"))
}

/// Every byte is to be seen, and line breaks make lines.
fn show(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\n' => shown.push_str("\\n"),
            _ => shown.extend(byte.escape_ascii().map(char::from)),
        }
    }
    shown
}

fn tail(text: &str, from: usize) -> String {
    if from == 0 { text.to_owned() } else { format!("... {}", text.get(from..).unwrap_or(text)) }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN_BYTES) {
        Some((end, _)) => format!("{} ... ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
