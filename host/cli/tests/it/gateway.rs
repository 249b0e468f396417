//! A gateway that says what the test wrote down, and writes down what it was asked.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The token that it takes.
pub(crate) const TOKEN: &str = "test-token";

/// How long a test waits for something that must come.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The manifest of a plugin `probe` with one option of each kind that the client treats specially.
const MANIFEST: &str = r#"{"name":"probe","version":"0.1.0","sha256":"00","manifest":{
    "name":"probe","version":"0.1.0","summary":"for tests","contract":"0.1.0","arguments":[
    {"name":"silent","short":"s","kind":"flag"},
    {"name":"data","short":"d","kind":"text-or-input-file"},
    {"name":"output","short":"o","kind":"output-file"},
    {"name":"user","short":"u","kind":"secret"},
    {"name":"json","kind":"text"},
    {"name":"URL","positional":true}],
    "table":{"event":"probe","columns":[
    {"title":"STATUS","value":"/status","unit":"count"},
    {"title":"TOTAL","value":"/phases/total_us","unit":"us"},
    {"title":"SERVER","value":"/server","unit":"of-a-later-version"}]}}}"#;

/// One answer to `GET /v1/jobs/{id}/events`.
#[derive(Clone)]
pub(crate) enum Stream {
    /// These bytes, then the end of the connection.
    Cut(String),
    /// These bytes, then nothing until the test is over.
    Open(String),
    /// These bytes; when the job is cancelled, the others.
    UntilCancelled(String, String),
}

#[derive(Default)]
struct Inner {
    requests: Vec<String>,
    bodies: Vec<String>,
    /// By job id; the last one stays.
    streams: Vec<(String, VecDeque<Stream>)>,
    jobs: Vec<(String, String)>,
    answers: Vec<Scripted>,
    /// Each request that brought something, and what.
    told: Vec<(String, String)>,
    over: bool,
}

/// What is said to a request.
#[derive(Clone)]
struct Scripted {
    request: String,
    status: u16,
    body: String,
    retry_after_s: Option<u32>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// Serves until it is dropped.
pub(crate) struct Gateway {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

impl Gateway {
    /// One that knows the plugin `probe` and makes a job for each of `regions`.
    pub(crate) fn new(regions: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let jobs = regions.iter().map(|r| (format!("{r}-1-01"), (*r).to_owned()));
        shared.inner.lock().unwrap().jobs = jobs.collect();
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&for_thread);
                if shared.inner.lock().unwrap().over {
                    return;
                }
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { url, shared }
    }

    /// What the events of the job in `region` are, connection by connection.
    pub(crate) fn events(self, region: &str, streams: impl IntoIterator<Item = Stream>) -> Self {
        let streams = streams.into_iter().collect();
        self.shared.inner.lock().unwrap().streams.push((format!("{region}-1-01"), streams));
        self
    }

    /// Another answer to this request.
    pub(crate) fn answer(self, request: &str, status: u16, body: &str) -> Self {
        self.script(request, status, body, None)
    }

    /// The same, with when to come again.
    pub(crate) fn answer_later(self, request: &str, status: u16, body: &str, after_s: u32) -> Self {
        self.script(request, status, body, Some(after_s))
    }

    fn script(self, request: &str, status: u16, body: &str, retry_after_s: Option<u32>) -> Self {
        let (request, body) = (request.to_owned(), body.to_owned());
        let scripted = Scripted { request, status, body, retry_after_s };
        self.shared.inner.lock().unwrap().answers.push(scripted);
        self
    }

    /// The requests so far that brought something, as `POST /v1/keys {"user":"ann"}`, whatever the method is but GET.
    pub(crate) fn told(&self) -> Vec<String> {
        let inner = self.shared.inner.lock().unwrap();
        inner.told.iter().map(|(request, body)| format!("{request} {body}")).collect()
    }

    /// The requests so far, as `GET /v1/plugins/probe`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.inner.lock().unwrap().requests.clone()
    }

    /// The bodies of the submissions so far.
    pub(crate) fn submissions(&self) -> Vec<serde_json::Value> {
        let inner = self.shared.inner.lock().unwrap();
        inner.bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
    }

    /// Waits until a request that begins with `request` has come.
    pub(crate) fn wait_for(&self, request: &str) {
        let inner = self.shared.inner.lock().unwrap();
        let (inner, timeout) = self
            .shared
            .changed
            .wait_timeout_while(inner, WAIT_MAX, |inner| {
                !inner.requests.iter().any(|r| r.starts_with(request))
            })
            .unwrap();
        assert!(!timeout.timed_out(), "{request} never came, only {:?}", inner.requests);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.inner.lock().unwrap().over = true;
        self.shared.changed.notify_all();
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let length = header("content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut request = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let resumes = header("last-event-id");
        if let Some(last) = &resumes {
            request.push_str(&format!(" after {last}"));
        }
        let authorized = header("authorization").as_deref() == Some(&format!("Bearer {TOKEN}"));
        let answer = {
            let mut inner = shared.inner.lock().unwrap();
            inner.requests.push(request.clone());
            let body = String::from_utf8(body).unwrap();
            if !request.starts_with("GET") {
                inner.told.push((request.clone(), body.clone()));
            }
            if request.starts_with("POST") {
                inner.bodies.push(body);
            }
            shared.changed.notify_all();
            match authorized {
                true => inner.answer(&request),
                false => Answer::json(401, r#"{"error":"unauthorized","reason":"no"}"#.to_owned()),
            }
        };
        match answer {
            Answer::Json(status, body, after) => {
                let after = after.map_or_else(String::new, |s| format!("retry-after: {s}\r\n"));
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{after}content-length: {}\r\n\r\n",
                    body.len()
                );
                if writer.write_all(format!("{head}{body}").as_bytes()).is_err() {
                    return;
                }
            }
            Answer::Stream(stream) => {
                send(&mut writer, &stream, shared);
                let _closed = writer.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }
}

fn send(writer: &mut TcpStream, stream: &Stream, shared: &Shared) {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let wait = |until: &dyn Fn(&Inner) -> bool| {
        let inner = shared.inner.lock().unwrap();
        drop(shared.changed.wait_timeout_while(inner, WAIT_MAX, |i| !i.over && !until(i)));
    };
    let (first, then) = match stream {
        Stream::Cut(first) => (first, None),
        Stream::Open(first) => {
            let _gone = writer.write_all(format!("{head}{}", chunk(first)).as_bytes());
            wait(&|_| false);
            return;
        }
        Stream::UntilCancelled(first, then) => (first, Some(then)),
    };
    let _gone = writer.write_all(format!("{head}{}", chunk(first)).as_bytes());
    if let Some(then) = then {
        wait(&|inner| inner.requests.iter().any(|r| r.starts_with("DELETE")));
        let _gone = writer.write_all(chunk(then).as_bytes());
    }
}

enum Answer {
    Json(u16, String, Option<u32>),
    Stream(Stream),
}

impl Answer {
    fn json(status: u16, body: String) -> Self {
        Self::Json(status, body, None)
    }
}

impl Inner {
    fn answer(&mut self, request: &str) -> Answer {
        let scripted = self.answers.iter().find(|scripted| request == scripted.request);
        if let Some(Scripted { status, body, retry_after_s, .. }) = scripted.cloned() {
            return Answer::Json(status, body, retry_after_s);
        }
        // The regions of the question change nothing here.
        if request.split('?').next() == Some("GET /v1/plugins/probe") {
            return Answer::json(200, MANIFEST.to_owned());
        }
        if request == "POST /v1/jobs" {
            let job = |(id, region): &(String, String)| {
                format!(r#"{{"id":"{id}","region":"{region}","asked":"{region}"}}"#)
            };
            let jobs: Vec<String> = self.jobs.iter().map(job).collect();
            return Answer::json(
                201,
                format!(
                    r#"{{"run":"01run","plugin":"probe","version":"0.1.0","sha256":"00","jobs":[{}]}}"#,
                    jobs.join(",")
                ),
            );
        }
        if request.starts_with("DELETE /v1/jobs/") {
            return Answer::json(202, r#"{"id":"x","state":"cancelling"}"#.to_owned());
        }
        let found = self
            .streams
            .iter_mut()
            .find(|(id, _)| request.starts_with(&format!("GET /v1/jobs/{id}/events")));
        match found {
            Some((_, streams)) if streams.len() > 1 => {
                Answer::Stream(streams.pop_front().expect("there are more than one"))
            }
            Some((_, streams)) => Answer::Stream(streams.front().unwrap().clone()),
            None => Answer::json(404, r#"{"error":"unknown_job","reason":"no job"}"#.to_owned()),
        }
    }
}

/// Events of a script.
pub(crate) fn claimed() -> String {
    event("state", None, r#"{"state":"claimed","engine":"e1","attempt":1}"#)
}

/// A chunk of stdout of the first attempt.
pub(crate) fn stdout(seq: u32, text: &str) -> String {
    frame(1, seq, "stdout", text)
}

/// A chunk of any stream and attempt.
pub(crate) fn frame(attempt: u32, seq: u32, stream: &str, text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    let data = format!(
        r#"{{"attempt":{attempt},"incarnation":"a{attempt}","seq":{seq},"frames":[{{"stream":"{stream}","text":{text}}}]}}"#
    );
    event("output", Some(&format!("{attempt}.a{attempt}.{seq}")), &data)
}

/// Another engine runs it from the start.
pub(crate) fn restart(attempt: u32) -> String {
    let data =
        format!(r#"{{"attempt":{attempt},"engine":"e{attempt}","reason":"engine e1 was lost"}}"#);
    event("restart", None, &data)
}

/// The end with this status.
pub(crate) fn done(status: u8) -> String {
    end(&format!(
        r#"{{"state":"done","exit":{{"status":{status}}},"engine":"e1","attempt":1,"duration_ms":5}}"#
    ))
}

/// Any end.
pub(crate) fn end(data: &str) -> String {
    event("end", None, data)
}

fn event(kind: &str, id: Option<&str>, data: &str) -> String {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {kind}\n{id}data: {data}\n\n")
}
