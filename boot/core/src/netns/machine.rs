//! An instance from inside: the process that is the machine. It answers at 169.254.169.254 and has the engine as its child.
//!
//! One process for both, so that neither is there without the other: the service is bound before the engine asks, and an
//! engine that has ended is a machine that is off. It lives as long as its engine, whatever becomes of the process that
//! launched it, which may have gone one round only. What it tells is read from the instance's record at each question: there
//! is no other way between the two.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use hyper::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::imds::{self, ADDRESS, Identity, Tokens};
use crate::process::Record;

/// The type of all such machines.
const TYPE: &str = "netns";

/// Why a machine did not start, or ended before its engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Where the metadata is to be.
    #[error(
        "serve metadata at {ADDRESS}: {0}: a machine is started by --provider netns, in a namespace with that address"
    )]
    Listen(io::Error),
    /// The engine.
    #[error("start {program:?}: {cause}")]
    Start {
        /// Its program.
        program: String,
        /// Why not.
        cause: io::Error,
    },
    /// No program was named.
    #[error("a machine runs a program: name one")]
    NoProgram,
    /// What is left of the system.
    #[error("watch over the engine: {0}")]
    Watch(io::Error),
}

/// Is the machine whose record this is, at a place: serves its metadata and runs the engine until it ends. SIGTERM is passed
/// on to the engine, each time.
///
/// # Errors
///
/// [`Error`]; the engine has not started then, or ends with this.
pub async fn run(record: &Path, place: &str, command: &[String]) -> Result<ExitStatus, Error> {
    let (program, words) = command.split_first().ok_or(Error::NoProgram)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Watch)?;
    let listener = TcpListener::bind(ADDRESS).await.map_err(Error::Listen)?;
    let mut engine = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|cause| Error::Start { program: program.clone(), cause })?;
    // Nobody else waits for it: as long as it is ours the number is its own.
    let pid = engine.id().and_then(|pid| pid.try_into().ok()).and_then(Pid::from_raw);
    let (record, place) = (record.to_owned(), place.to_owned());
    let tokens = Arc::new(Mutex::new(Tokens::default()));
    let serves = imds::serve(listener, move |request| match documents(&record, &place) {
        Ok(documents) => {
            let mut tokens = tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.answer(request, |path| documents.get(path).cloned())
        }
        // Who asks asks again.
        Err(_) => imds::answer(StatusCode::SERVICE_UNAVAILABLE, ""),
    });
    tokio::pin!(serves);
    loop {
        tokio::select! {
            ended = engine.wait() => return ended.map_err(Error::Watch),
            _ = terminate.recv() => if let Some(pid) = pid {
                // One that has ended is seen by the wait.
                kill_process(pid, Signal::TERM).ok();
            },
            never = &mut serves => match never {},
        }
    }
}

/// All that the machine is told at this moment.
fn documents(file: &Path, place: &str) -> io::Result<BTreeMap<String, String>> {
    let record = Record::read(file)?.ok_or(io::ErrorKind::NotFound)?;
    let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Places may have signs that no word of the metadata has.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let region: String = place.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let zone = format!("{region}a");
    let (instance_type, is_spot) = (TYPE.to_owned(), record.is_spot);
    let mut documents = Identity { id, region, zone, instance_type, is_spot }.documents();
    documents.extend(imds::tags(&record.tags));
    if let Some(at) = record.interruption_ms {
        let at = UNIX_EPOCH.checked_add(Duration::from_millis(at)).unwrap_or(UNIX_EPOCH);
        let notice = imds::interruption("terminate", at);
        documents.insert(imds::INTERRUPTION.to_owned(), notice);
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_what_its_record_says() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("netns-0a.json");
        assert_eq!(documents(&file, "here").unwrap_err().kind(), io::ErrorKind::NotFound);
        let tags = BTreeMap::from([("blitz:fleet".to_owned(), "lab".to_owned())]);
        let (launched_ms, is_spot) = (1, true);
        let record =
            Record { launched_ms, is_spot, tags, interruption_ms: None, stopping_ms: None };
        record.write(&file).unwrap();
        let told = documents(&file, "rack:7/b").unwrap();
        let of = |path: &str| told.get(&format!("/latest/meta-data/{path}")).map(String::as_str);
        for (path, text) in [
            ("instance-id", Some("netns-0a")),
            ("placement/region", Some("rack-7-b")),
            ("placement/availability-zone", Some("rack-7-ba")),
            ("instance-type", Some("netns")),
            ("instance-life-cycle", Some("spot")),
            ("tags/instance", Some("blitz:fleet")),
            ("tags/instance/blitz:fleet", Some("lab")),
            ("spot/instance-action", None),
        ] {
            assert_eq!(of(path), text, "{path}");
        }
        Record { interruption_ms: Some(2_000), ..record }.write(&file).unwrap();
        let notice = documents(&file, "here").unwrap().remove(imds::INTERRUPTION);
        let text = r#"{"action": "terminate", "time": "1970-01-01T00:00:02Z"}"#;
        assert_eq!(notice.as_deref(), Some(text));
    }
}
