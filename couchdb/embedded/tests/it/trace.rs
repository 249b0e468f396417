//! No answer to a write leaves before the log is synced: seen by the kernel, through `strace`.

use crate::{
    child::{Served, leave_out},
    client::Connection,
};
use std::{
    collections::HashMap,
    process::{Command, Stdio},
};

/// Clients that write at the same time, so that commits are shared.
const CLIENTS: usize = 4;

/// Documents of each; every tenth is written anew and deleted as well.
const DOCUMENTS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_to_a_write_leaves_before_the_log_is_synced() {
    let scratch = tempfile::tempdir().unwrap();
    let trace = scratch.path().join("trace");
    if let Some(reason) = unavailable() {
        leave_out("BLITZ_TEST_STRACE", &reason);
        return;
    }
    let calls = "trace=recvfrom,read,readv,recvmsg,write,writev,sendto,sendmsg,\
                 pwrite64,pwritev,fsync,fdatasync";
    let trace_name = trace.to_str().unwrap();
    let words = ["strace", "-f", "-y", "-tt", "-s", "8192", "-o", trace_name, "-e", calls];
    let server = Served::behind(&words, &scratch.path().join("store"));
    let address = server.address();
    assert_eq!(Connection::open(address).await.ask("PUT /marked-db", "").await.status, 201);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut connection = Connection::open(address).await;
            let mut written = Vec::new();
            for number in 0..DOCUMENTS {
                let id = format!("mark-{client}-{number}-");
                let path = format!("/marked-db/{id}");
                let made = connection.ask(&format!("PUT {path}"), r#"{"n":1}"#).await;
                assert_eq!(made.status, 201);
                written.push(("PUT", id.clone()));
                if number % 10 == 0 {
                    let line = format!("PUT {path}/file?rev={}", made.revision());
                    let attached = connection.put_octets(&line, id.as_bytes()).await;
                    assert_eq!(attached.status, 201);
                    let line = format!("DELETE {path}?rev={}", attached.revision());
                    assert_eq!(connection.ask(&line, "").await.status, 200);
                    written.push(("DELETE", id.clone()));
                    let bulk = format!("bulk-{client}-{number}-");
                    let body = format!(r#"{{"docs":[{{"_id":"{bulk}"}}]}}"#);
                    let answer = connection.ask("POST /marked-db/_bulk_docs", &body).await;
                    assert_eq!(answer.status, 201);
                    written.push(("_bulk_docs", bulk));
                }
            }
            written
        });
    }
    let written = clients.join_all().await.concat();
    server.stop();
    let text = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
    let trace = Trace::read(&text);
    assert!(!trace.syncs.is_empty(), "the trace has no sync of the log");
    for (method, id) in &written {
        assert!(trace.was_durable(method, id), "{method} {id} was answered before its sync");
    }
    println!(
        "{} answers, each after one of {} syncs of the log ({})",
        written.len(),
        trace.syncs.len(),
        trace.syncs.first().map_or("", |sync| sync.call.as_str()),
    );
}

/// Why there is no trace here.
fn unavailable() -> Option<String> {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("strace may not trace here ({status})")),
        Err(error) => Some(format!("strace cannot be started ({error}); apt-get install strace")),
    }
}

/// A sync of the log; the numbers are lines of the trace.
struct Sync {
    call: String,
    begun: usize,
    ended: usize,
}

/// A call that carried bytes.
struct Moved {
    begun: usize,
    ended: usize,
    text: String,
}

#[derive(Default)]
struct Trace {
    received: Vec<Moved>,
    /// Writes to SQLite's log.
    logged: Vec<Moved>,
    syncs: Vec<Sync>,
    answered: Vec<Moved>,
}

impl Trace {
    /// Reads lines such as `123 10:00:00.000000 fsync(9</x/store.sqlite-wal>) = 0`. A call that others
    /// come between is in two lines.
    fn read(text: &str) -> Trace {
        let mut trace = Trace::default();
        let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            // The number of the thread is padded.
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((_time, call)) = rest.trim_start().split_once(' ') else { continue };
            if let Some(start) = call.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, (number, start.to_owned()));
            } else if let Some((_, end)) = call.split_once(" resumed>") {
                if let Some((begun, start)) = unfinished.remove(thread) {
                    trace.add(begun, number, start + end);
                }
            } else {
                trace.add(number, number, call.to_owned());
            }
        }
        trace
    }

    fn add(&mut self, begun: usize, ended: usize, text: String) {
        let Some((call, rest)) = text.split_once('(') else { return };
        let in_log =
            rest.split_once('>').is_some_and(|(file, _)| file.ends_with("store.sqlite-wal"));
        match call {
            "fsync" | "fdatasync" if in_log && text.trim_end().ends_with("= 0") => {
                self.syncs.push(Sync { call: call.to_owned(), begun, ended });
            }
            "pwrite64" | "pwritev" if in_log => self.logged.push(Moved { begun, ended, text }),
            "recvfrom" | "read" | "readv" | "recvmsg" => {
                self.received.push(Moved { begun, ended, text });
            }
            "write" | "writev" | "sendto" | "sendmsg" if text.contains("HTTP/1.1 20") => {
                self.answered.push(Moved { begun, ended, text });
            }
            _ => {}
        }
    }

    /// Whether a request came in, its document went into the log, the log was synced, and only then it
    /// was answered.
    fn was_durable(&self, method: &str, id: &str) -> bool {
        let has = |moved: &&Moved| moved.text.contains(id);
        let asked = |moved: &&Moved| has(moved) && moved.text.contains(method);
        let asked =
            self.received.iter().find(asked).unwrap_or_else(|| panic!("{id} was not asked"));
        let answered = self.answered.iter().filter(has).find(|answer| answer.begun > asked.ended);
        let answered = answered.unwrap_or_else(|| panic!("{method} {id} was not answered"));
        let in_time =
            |logged: &Moved, sync: &Sync| sync.begun > logged.ended && sync.ended < answered.begun;
        let logged = self.logged.iter().filter(has).filter(|logged| logged.begun > asked.begun);
        logged.into_iter().any(|logged| self.syncs.iter().any(|sync| in_time(logged, sync)))
    }
}

#[test]
fn the_check_sees_an_answer_that_is_too_early() {
    let asked = r#"1  10:00:00.1 recvfrom(5<socket:[1]>, "PUT /d/mark HTTP/1.1", 99) = 20"#;
    let log = r#"2 10:00:00.2 pwrite64(9</x/store.sqlite-wal>, "mark", 4096, 0) = 4096"#;
    let begins = "2 10:00:00.3 fsync(9</x/store.sqlite-wal> <unfinished ...>";
    let ends = "2 10:00:00.4 <... fsync resumed>) = 0";
    let answer = r#"1 10:00:00.5 writev(5<socket:[1]>, [{"HTTP/1.1 201 Created mark"}], 1) = 9"#;
    let sound = |lines: &[&str]| Trace::read(&lines.join("\n")).was_durable("PUT", "mark");
    assert!(sound(&[asked, log, begins, ends, answer]));
    assert!(!sound(&[asked, log, begins, answer, ends]));
    assert!(!sound(&[asked, begins, ends, log, answer]));
    assert!(!sound(&[asked, begins, log, ends, answer]));
    assert!(!sound(&[asked, log, answer]));
    // What came before the request is not its commit.
    assert!(!sound(&[log, asked, begins, ends, answer]));
    assert!(!sound(&[asked, log, begins, &ends.replace("= 0", "= -1 EIO"), answer]));
}
