//! The jobs: submitted at a steady pace as any client would, and followed to their end through whatever happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use blitz_jobs::Position;
use blitz_jobs::timing::Timing;
use blitz_tests::Api;
use blitz_tests::api::{Event, Events};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::chance::Chance;
use crate::site::{NEVER, SAFE};

/// A job may wait for an engine so long, and take so long in all: longer than any row of faults here, so that no
/// job ends by its time.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);
const JOB_TIMEOUT: Duration = Duration::from_secs(180);

/// A gateway answers within this time, or another one is asked.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A stream on which nothing comes for so long is dead: the gateway writes a comment each 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(35);

/// After an answer that did not come.
const AGAIN: Duration = Duration::from_millis(200);

/// What one job is to do.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) number: usize,
    pub(crate) is_safe: bool,
    lines: u64,
    pause: Duration,
}

/// So many of 100 jobs are longer than T_dead: an engine that does not stop its job by itself runs them beside
/// the one that took them.
const LONG_PERCENT: u64 = 10;

/// The jobs of a seed: 3 of 5 are safe; most last 0.1 to 3 s, some up to twice T_dead.
pub(crate) fn plan(count: usize, seed: u64, timing: &Timing) -> Vec<Work> {
    let mut chance = Chance::new(seed, 2);
    (0..count)
        .map(|number| {
            let lasts = match chance.percent(LONG_PERCENT) {
                true => chance.between(timing.dead, timing.dead * 2),
                false => chance.between(Duration::from_millis(100), Duration::from_secs(3)),
            };
            let lines = 2 + chance.below(12);
            let pause = lasts / u32::try_from(lines).unwrap_or(1);
            Work { number, is_safe: chance.percent(60), lines, pause }
        })
        .collect()
}

/// The job of a soak: two lines and no pause, every second one safe.
pub(crate) fn short(number: usize) -> Work {
    Work { number, is_safe: number.is_multiple_of(2), lines: 2, pause: Duration::ZERO }
}

impl Work {
    /// The same under another number.
    pub(crate) fn numbered(&self, number: usize) -> Self {
        Self { number, ..self.clone() }
    }

    /// The one right output of a run of this name.
    pub(crate) fn output(&self, name: &str) -> String {
        let lines = (0..self.lines).map(|line| format!("{name} line {line}\n"));
        lines.chain([format!("{name} ends\n")]).collect()
    }
}

/// What a reader was told of a job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) output: String,
    pub(crate) end: Option<Value>,
    pub(crate) restarts: usize,
    pub(crate) incomplete: Vec<String>,
    /// Every event in short, for the evidence.
    pub(crate) events: Vec<(Instant, String)>,
}

/// A job that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) work: Work,
    /// As the witness knows it.
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) accepted: Instant,
    /// When its end was told to the one who submitted it.
    pub(crate) ended: Option<Instant>,
    pub(crate) told: Told,
}

/// Those who submit, to one region.
#[derive(Debug, Clone)]
pub(crate) struct Submitter {
    /// The gateways.
    pub(crate) apis: Arc<[Api]>,
    pub(crate) region: String,
    /// The witness, as engines reach it.
    pub(crate) witness: SocketAddr,
}

impl Submitter {
    /// Submits a job until it is accepted. A try whose answer was lost may run too: each has a name of its own.
    ///
    /// # Errors
    ///
    /// When a gateway refuses it, which none should.
    pub(crate) async fn submit(&self, work: Work) -> Result<Job, String> {
        let mut tries = 0;
        loop {
            let name = format!("job-{}.{tries}", work.number);
            let place = self.witness;
            let args = [
                "witness",
                &place.ip().to_string(),
                &place.port().to_string(),
                &name,
                &work.lines.to_string(),
                &work.pause.as_millis().to_string(),
            ];
            let millis = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            let request = json!({
                "plugin": if work.is_safe { SAFE } else { NEVER },
                "args": args,
                "regions": [self.region],
                "queue_timeout_ms": millis(QUEUE_TIMEOUT),
                "timeout_ms": millis(JOB_TIMEOUT),
            });
            match ask(self.api(work.number + tries), "POST", "/v1/jobs", Some(&request)).await {
                Some((StatusCode::CREATED, answer)) => {
                    let id = answer["jobs"][0]["id"].as_str().unwrap_or_default().to_owned();
                    let (accepted, told) = (Instant::now(), Told::default());
                    return Ok(Job { work, name, id, accepted, ended: None, told });
                }
                Some((status, answer)) if status.is_client_error() => {
                    return Err(format!("{name} was refused: {status} {answer}"));
                }
                Some(_) | None => {}
            }
            tries += 1;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Follows a job to its end; a stream that is cut is opened again behind the last output.
    pub(crate) async fn follow(&self, id: &str, number: usize) -> Told {
        let mut told = Told::default();
        let mut last: Option<String> = None;
        let mut tries = number;
        while told.end.is_none() {
            let headers: Vec<_> = last.iter().map(|id| ("last-event-id", id.as_str())).collect();
            let path = format!("/v1/jobs/{id}/events");
            let api = self.api(tries);
            let answer = timeout(ANSWER_MAX, api.try_raw("GET", &path, &headers, None)).await;
            if let Ok(Ok(answer)) = answer
                && answer.status() == StatusCode::OK
            {
                let mut events = Events::of(answer);
                while let Ok(Some(event)) = timeout(SILENCE_MAX, events.next()).await {
                    last = event.id.clone().or(last);
                    told.hear(event);
                }
                if told.end.is_none() {
                    told.events.push((Instant::now(), "cut".to_owned()));
                }
            }
            if told.end.is_none() {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
            }
        }
        told
    }

    /// What the API says of a job at last.
    pub(crate) async fn state(&self, id: &str, number: usize) -> Option<Value> {
        let path = format!("/v1/jobs/{id}");
        for tries in 0..10 {
            if let Some((StatusCode::OK, job)) =
                ask(self.api(number + tries), "GET", &path, None).await
            {
                return Some(job);
            }
            tokio::time::sleep(AGAIN).await;
        }
        None
    }

    fn api(&self, number: usize) -> &Api {
        &self.apis[number % self.apis.len()]
    }
}

/// The answer of a gateway; `None` when there was none.
async fn ask(
    api: &Api,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<(StatusCode, Value)> {
    let asked = async {
        let answer = api.try_raw(method, path, &[], body).await.ok()?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&bytes).ok()?))
    };
    timeout(ANSWER_MAX, asked).await.ok()?
}

impl Told {
    fn hear(&mut self, event: Event) {
        let short = match event.kind.as_str() {
            "output" => {
                let frames = event.data["frames"].as_array().cloned().unwrap_or_default();
                for frame in frames.iter().filter(|frame| frame["stream"] == "stdout") {
                    self.output.push_str(frame["text"].as_str().unwrap_or("(no text)\n"));
                }
                let id = event.id.unwrap_or_default();
                let position: Result<Position, _> = id.parse();
                position.map_or(id, |p| format!("output {}.{}", p.attempt, p.seq))
            }
            "restart" => {
                self.output.clear();
                self.restarts += 1;
                format!("restart {}", event.data)
            }
            "incomplete" => {
                self.incomplete.push(event.data["reason"].to_string());
                format!("incomplete {}", event.data)
            }
            "end" => {
                let text = format!("end {}", event.data);
                self.end = Some(event.data);
                text
            }
            kind => format!("{kind} {}", event.data),
        };
        self.events.push((Instant::now(), short));
    }
}
