//! Command lines against a host whose answers are canned. Expected values were seen with curl 7.88 and 8.

mod bodies;
mod certificates;
mod connections;
mod requests;
mod redirects;
mod output;
mod failures;
mod retries;
mod telling;

use blitz_plugin::testing::{self, CannedAnswer, FakeHost};
use blitz_plugin::web::Request;

use crate::Curl;

const MANIFEST: &str = include_str!("../../plugin.toml");

/// Runs a command line; words are split at spaces, and `~` in a word stands for a space.
fn curl(line: &str, host: &mut FakeHost) -> u8 {
    let words: Vec<String> = line.split(' ').map(|word| word.replace('~', " ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    testing::run::<Curl>(MANIFEST, &words, host)
}

fn ok() -> CannedAnswer {
    CannedAnswer::new(200, "OK")
}

fn redirect(status: u16, location: &str) -> CannedAnswer {
    CannedAnswer::new(status, "Go").header("Location", location)
}

/// A request as text, without the headers that are always the same.
fn wire(request: &Request) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        let line = format!("{name}: {}\n", String::from_utf8_lossy(value));
        if !line.starts_with("User-Agent: blitz-curl/") && line != "Accept: */*\n" {
            text.push_str(&line);
        }
    }
    if let Some(body) = &request.body {
        text.push_str(&format!("\n{}", String::from_utf8_lossy(body)));
    }
    text
}
