//! A client of the gateway's HTTP API that knows nothing of the product's own.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// A whole job is told within this time, or the story has failed.
const FOLLOW_LIMIT: Duration = Duration::from_secs(60);

/// One gateway, with its token.
#[derive(Debug, Clone)]
pub struct Api {
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    /// What is shown in `Authorization`.
    pub token: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `state`, `restart`, `output`, `incomplete` or `end`.
    pub kind: String,
    /// The position of an output.
    pub id: Option<String>,
    /// The event's data.
    pub data: Value,
}

impl Api {
    /// The gateway at `base`.
    #[must_use]
    pub fn new(base: &str, token: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.to_owned(), token: token.to_owned(), http }
    }

    /// The same gateway as who shows another token or key.
    #[must_use]
    pub fn with(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Makes a tenant, as the operator does, if it is not there yet.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub async fn tenant(&self, name: &str) {
        let (status, said) = self.call("POST", "/v1/tenants", Some(&json!({"name": name}))).await;
        assert!(status == StatusCode::CREATED || status == StatusCode::CONFLICT, "{name}: {said}");
    }

    /// Makes a key of a user of a tenant, and gives it with its id; `more` has scopes and an end, if any.
    ///
    /// # Panics
    ///
    /// When it is not made.
    pub async fn key(&self, tenant: &str, user: &str, more: Value) -> (Self, String) {
        let mut asked = more;
        asked["tenant"] = json!(tenant);
        asked["user"] = json!(user);
        let (status, said) = self.call("POST", "/v1/keys", Some(&asked)).await;
        assert_eq!(status, StatusCode::CREATED, "{asked}: {said}");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (self.with(&text(&said["secret"])), text(&said["key"]["id"]))
    }

    /// Sends a request with these further headers, and gives the answer as it is.
    ///
    /// # Panics
    ///
    /// When the gateway cannot be reached.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Response<Incoming> {
        let answer = self.try_raw(method, path, headers, body).await;
        answer.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// The same where the gateway may be away.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or has gone before its answer.
    ///
    /// # Panics
    ///
    /// When the request is none.
    pub async fn try_raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body))).expect("a request of a test");
        self.http.request(request).await
    }

    /// Sends a request and reads the JSON answer.
    ///
    /// # Panics
    ///
    /// When there is no JSON answer.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let answer = self.raw(method, path, &[], body).await;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or_else(|e| {
            panic!("{method} {path}: {e} in {:?}", String::from_utf8_lossy(&bytes))
        });
        (status, value)
    }

    /// Sends bytes and reads the JSON answer.
    ///
    /// # Panics
    ///
    /// When there is no JSON answer.
    pub async fn put_bytes(&self, path: &str, body: Vec<u8>) -> (StatusCode, Value) {
        let request = Request::builder().method("PUT").uri(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let request = request.body(Full::new(Bytes::from(body))).expect("a request of a test");
        let answer = self.http.request(request).await;
        let answer = answer.unwrap_or_else(|e| panic!("PUT {path}: {e}"));
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("PUT {path}: {e}")))
    }

    /// Sends a request with these headers and reads the JSON answer.
    ///
    /// # Panics
    ///
    /// When there is no JSON answer.
    pub async fn json(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Value {
        let answer = self.raw(method, path, headers, None).await;
        let bytes = answer.into_body().collect().await.expect("a whole answer").to_bytes();
        serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Reads something that must be there.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn get(&self, path: &str) -> Value {
        let (status, value) = self.call("GET", path, None).await;
        assert_eq!(status, StatusCode::OK, "GET {path}: {value}");
        value
    }

    /// Submits a job of the plugin `fixture` to one region, and gives its id.
    ///
    /// # Panics
    ///
    /// When it is not accepted.
    pub async fn submit(&self, region: &str, args: &[&str]) -> String {
        self.submit_with(json!({"plugin": "fixture", "args": args, "regions": [region]})).await
    }

    /// Submits a job and gives the id of its first task.
    ///
    /// # Panics
    ///
    /// When it is not accepted.
    pub async fn submit_with(&self, request: Value) -> String {
        let (status, answer) = self.call("POST", "/v1/jobs", Some(&request)).await;
        assert_eq!(status, StatusCode::CREATED, "{request}: {answer}");
        answer["jobs"][0]["id"].as_str().expect("an id").to_owned()
    }

    /// Opens a job's event stream, perhaps after a position.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn events(&self, job: &str, after: Option<&str>) -> Events {
        let headers: Vec<_> = after.map(|id| ("last-event-id", id)).into_iter().collect();
        let answer = self.raw("GET", &format!("/v1/jobs/{job}/events"), &headers, None).await;
        assert_eq!(answer.status(), StatusCode::OK, "events of {job}");
        Events::of(answer)
    }

    /// Follows a job from its start to its end.
    ///
    /// # Panics
    ///
    /// When its end does not come within 60 seconds.
    pub async fn follow(&self, job: &str) -> Vec<Event> {
        let mut events = self.events(job, None).await;
        let all = async {
            let mut all = Vec::new();
            while let Some(event) = events.next().await {
                all.push(event);
            }
            all
        };
        let all = tokio::time::timeout(FOLLOW_LIMIT, all).await;
        all.unwrap_or_else(|_| panic!("job {job} did not end within {FOLLOW_LIMIT:?}"))
    }

    /// Runs a job of the plugin `fixture` to its end: its standard output, and the data of the `end` event.
    ///
    /// # Panics
    ///
    /// When it is not accepted or does not end.
    pub async fn run(&self, region: &str, args: &[&str]) -> (String, Value) {
        let job = self.submit(region, args).await;
        let events = self.follow(&job).await;
        let end = events.last().filter(|e| e.kind == "end").unwrap_or_else(|| panic!("{events:?}"));
        (stream(&events, "stdout"), end.data.clone())
    }
}

/// The text of one stream in a job's events, from its last restart on.
#[must_use]
pub fn stream(events: &[Event], name: &str) -> String {
    let begin = events.iter().rposition(|event| event.kind == "restart").unwrap_or(0);
    events[begin..]
        .iter()
        .filter(|event| event.kind == "output")
        .flat_map(|event| event.data["frames"].as_array().cloned().unwrap_or_default())
        .filter(|frame| frame["stream"] == name)
        .filter_map(|frame| frame["text"].as_str().map(str::to_owned))
        .collect()
}

/// An open event stream.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// Those of an answer.
    #[must_use]
    pub fn of(answer: Response<Incoming>) -> Self {
        Self { body: answer.into_body(), text: String::new() }
    }

    /// The next event; `None` when the stream has ended or was cut.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                let block: String = self.text.drain(..at + 2).collect();
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
                continue;
            }
            let frame = self.body.frame().await?.ok()?;
            if let Some(data) = frame.data_ref() {
                self.text.push_str(&String::from_utf8_lossy(data));
            }
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let field = |name: &str| {
        block.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().to_owned()))
    };
    let data = field("data:")?;
    Some(Event {
        kind: field("event:")?,
        id: field("id:"),
        data: serde_json::from_str(&data).expect("data is JSON"),
    })
}
