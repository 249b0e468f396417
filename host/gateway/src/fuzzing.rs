//! What the fuzzers of `fuzz/` call: each takes any bytes, and panics when something that must hold does not. Only built
//! with the feature `fuzzing`; no part of the interface.
#![expect(clippy::missing_panics_doc, reason = "to panic is how they tell")]

use std::time::Duration;

use blitz_contract::Manifest;
use blitz_contract::load::{Consent, Pattern};
use blitz_jobs::accounts::Secret;
use blitz_jobs::cluster::Cluster;
use blitz_jobs::id::DocumentId;
use blitz_jobs::plugin::Release;
use blitz_jobs::region::Region;
use blitz_jobs::{JobId, Position};
use serde_json::Value;

use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::strict;
use crate::submit::{self, host_and_port};

/// One of them.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 9] = [
    ("json", json),
    ("submit", submit),
    ("key", key),
    ("position", position),
    ("job", job),
    ("host", host),
    ("manifest", manifest),
    ("documents", documents),
    ("release", release),
];

/// JSON: what is read has one meaning, which its own text has too.
pub fn json(data: &[u8]) {
    let Ok(value) = strict::read::<Value>(data) else { return };
    let text = value.to_string();
    let again: Value = strict::read(text.as_bytes()).expect("what was read can be read again");
    assert_eq!(whole(again), whole(value.clone()));
    // Who keeps the first of two keys and who keeps the last read the same.
    let other: Value = serde_json::from_slice(data).expect("a text that was read");
    assert_eq!(other, value);
}

/// Without its fractions and numbers beyond 64 bits: the reader takes the last digit of those as it comes.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::Null,
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, whole(value))).collect()
        }
        other => other,
    }
}

/// A submission, and the same read without the strict reader.
pub fn submit(data: &[u8]) {
    let strict: Result<submit::Request, _> = strict::read(data);
    if let Ok(request) = strict {
        let loose: submit::Request = serde_json::from_slice(data).expect("the strict one is less");
        assert_eq!(format!("{request:?}"), format!("{loose:?}"));
    }
}

/// An API key that somebody shows.
pub fn key(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(secret) = Secret::read(text) else { return };
    assert_eq!(secret.text(), text);
    assert!(secret.id().bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
    assert!(!format!("{secret:?}").contains(&text[20..]), "it shows itself");
}

/// `Last-Event-ID`.
pub fn position(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(position) = text.parse::<Position>() else { return };
    assert_eq!(position.to_string().parse(), Ok(position));
}

/// Ids of jobs and of their documents: whatever is read names databases and documents with no character of another meaning.
pub fn job(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(job) = text.parse::<JobId>() {
        assert_eq!(job.as_str(), text);
        for database in [job.jobs_database(), job.output_database()] {
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(database.starts_with("blitz-") && database.bytes().all(is_plain), "{database}");
        }
        let (from, to) = job.range();
        let own = DocumentId::Spec(job.clone()).to_string();
        assert!(from < own && own < to);
    }
    if let Ok(id) = text.parse::<DocumentId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

/// Where a value of a command goes, and the patterns of what may be loaded.
pub fn host(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (host, port) = host_and_port(text);
    assert!(text.contains(host), "{text:?} gives {host:?}");
    let own = Consent::default().check_unresolved(host, port);
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()), "{text:?}");
        let listed = Consent { listed: vec![pattern] };
        // More that is listed never allows less.
        assert!(own.is_err() || listed.check_unresolved(host, port).is_ok(), "{text:?}");
    }
}

/// Manifests, as authors write them and as they are stored.
pub fn manifest(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    for manifest in [Manifest::from_toml(text), Manifest::from_json(text)].into_iter().flatten() {
        manifest.check().expect("what was read was checked");
        let json = serde_json::to_string(&manifest).expect("a manifest is JSON");
        assert_eq!(Manifest::from_json(&json).ok().as_ref(), Some(&manifest), "{json}");
    }
}

/// Documents of the control database, which another version may have written, and what the catalog makes of them.
pub fn documents(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    drop(serde_json::from_value::<Cluster>(document.clone()));
    if let Ok(region) = serde_json::from_value::<Region>(document.clone()) {
        let databases = region.taking().count();
        assert!(databases < 1 << 20, "a region has {databases} databases");
    }
    let catalog = Catalog::new(Duration::from_secs(60));
    let id = document["_id"].as_str().unwrap_or("plugin:p:0.1.0").to_owned();
    catalog.hear_control(&id, document);
    drop((
        catalog.plugin_views(&Caller::Operator),
        catalog.engines_view(&Caller::Operator),
        catalog.all_regions(),
    ));
}

/// The line of a publishing, and a file that is empty.
pub fn release(data: &[u8]) {
    let Ok(release) = strict::read::<Release>(data) else { return };
    assert!(release.check("p", "0.1.0", b"").is_err(), "signed by nobody");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What the fuzzers found interesting stays sound in every test run.
    #[test]
    fn the_kept_inputs_pass() {
        for (name, target) in TARGETS {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let mut count = 0;
            for input in std::fs::read_dir(&directory).unwrap() {
                target(&std::fs::read(input.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count > 0, "{name} has no inputs");
        }
    }
}
