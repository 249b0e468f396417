//! What the gateway's API v1 says and hears, as this client reads and writes it.
//!
//! An older client meets a newer gateway: unknown fields, events and states are passed over, never
//! refused. Paths and meanings are in the gateway's own documentation.

use blitz_contract::{Exit, Frame, Manifest};
use serde::{Deserialize, Serialize};

/// `GET /v1/plugins/{name}`: the version of a plugin that a job would get.
#[derive(Debug, Deserialize)]
pub(crate) struct PluginInfo {
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) sha256: String,
    pub(crate) manifest: Manifest,
}

/// `POST /v1/jobs`: one command for one or several regions.
#[derive(Debug, Serialize)]
pub(crate) struct Submission<'a> {
    pub(crate) plugin: &'a str,
    /// The version whose manifest the arguments were checked against.
    pub(crate) version: &'a str,
    /// The file that it must be. A gateway that does not know this field refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<&'a str>,
    pub(crate) args: &'a [String],
    pub(crate) regions: &'a [String],
    /// Distinct engines in each region.
    pub(crate) engines: u32,
    pub(crate) inputs: Vec<Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue_timeout_ms: Option<u64>,
    pub(crate) detached: bool,
}

/// A file of the user's machine that goes with the job; `-` is stdin.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) base64: String,
}

/// The answer to a [`Submission`]: one job for each region and engine.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Submitted {
    pub(crate) run: String,
    pub(crate) plugin: String,
    pub(crate) version: String,
    pub(crate) jobs: Vec<SubmittedJob>,
    /// What of the request was read otherwise than it may have been meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// One job of a run.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct SubmittedJob {
    pub(crate) id: String,
    pub(crate) region: String,
    /// The word that the user typed for the region.
    #[serde(default)]
    pub(crate) asked: String,
}

/// A refusal's body.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Refusal {
    /// The code, as `unknown_region`.
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) reason: String,
    /// The known word that is nearest to the unknown one.
    #[serde(default)]
    pub(crate) suggestion: Option<String>,
    #[serde(default)]
    pub(crate) known: Vec<String>,
}

/// One event of `GET /v1/jobs/{id}/events`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// Queued, claimed, released.
    State(State),
    /// Another engine runs the job from the start.
    Restart(Restart),
    /// A chunk of output.
    Output(Output),
    /// Chunks are missing for good.
    Incomplete(Incomplete),
    /// The last event.
    End(End),
}

/// What is told of the home of a job's region, beside the job's own events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It does not answer.
    Began(Unreachable),
    /// It answers again.
    Over(Reachable),
}

/// The data of `unreachable`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Unreachable {
    pub(crate) region: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) since_ms: u64,
    #[serde(default)]
    pub(crate) reason: String,
}

/// The data of `reachable`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Reachable {
    pub(crate) region: String,
}

/// The job's way before it ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The output of earlier attempts is void.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub(crate) struct Restart {
    pub(crate) attempt: u32,
    #[serde(default)]
    pub(crate) engine: Option<String>,
    #[serde(default)]
    pub(crate) reason: String,
}

/// A chunk: its position in the job's output, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub(crate) struct Output {
    pub(crate) attempt: u32,
    pub(crate) incarnation: String,
    pub(crate) seq: u64,
    /// Streams that this client does not know are left out.
    #[serde(with = "frames")]
    pub(crate) frames: Vec<Frame>,
}

/// `{"stream":"stdout","text":".."}`, or `"base64"` for bytes that are not UTF-8.
mod frames {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use blitz_contract::{Frame, Stream};
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize)]
    struct Sent {
        stream: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Frame>, D::Error> {
        let mut frames = Vec::new();
        for sent in Vec::<Sent>::deserialize(from)? {
            let bytes = match (sent.text, sent.base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(base64)) => STANDARD.decode(base64).map_err(D::Error::custom)?,
                _ => return Err(D::Error::custom("a frame has either text or base64")),
            };
            if let Some(stream) = Stream::parse(&sent.stream) {
                frames.push(Frame { stream, bytes });
            }
        }
        Ok(frames)
    }

    pub(super) fn serialize<S: Serializer>(frames: &[Frame], to: S) -> Result<S::Ok, S::Error> {
        let sent = frames.iter().map(|frame| {
            let text = std::str::from_utf8(&frame.bytes).ok().map(str::to_owned);
            let base64 = text.is_none().then(|| STANDARD.encode(&frame.bytes));
            Sent { stream: frame.stream.to_string(), text, base64 }
        });
        sent.collect::<Vec<_>>().serialize(to)
    }
}

/// Why output is missing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Incomplete {
    #[serde(default)]
    pub(crate) reason: String,
}

/// How the job ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub(crate) struct End {
    pub(crate) state: JobState,
    #[serde(default)]
    pub(crate) exit: Option<Exit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// False when it is certain that a job that was lost never began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begun: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunks: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
}

/// The states that a job can end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    /// The command ran and returned 0.
    Done,
    /// The command ran and failed, or was stopped.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// No engine took it in time.
    Expired,
    /// Its engine vanished and it may not run twice.
    Lost,
    /// It took several engines with it.
    Poison,
    /// A state of a newer gateway.
    #[default]
    #[serde(other)]
    Other,
}

impl JobState {
    /// The word of the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Poison => "poison",
            Self::Other => "ended",
        }
    }
}

/// `GET /v1/regions`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Regions {
    pub(crate) regions: Vec<Region>,
}

/// A region and who works in it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Region {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    #[serde(default)]
    pub(crate) engines: u64,
    #[serde(default)]
    pub(crate) slots: u64,
    /// The cluster in which its jobs are claimed; absent where there is only one.
    #[serde(default)]
    pub(crate) home: Option<String>,
    /// The clusters that have copies.
    #[serde(default)]
    pub(crate) hubs: Vec<String>,
    /// Since when its home does not answer.
    #[serde(default)]
    pub(crate) unreachable_since_ms: Option<u64>,
}

/// `GET /v1/engines`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Engines {
    pub(crate) engines: Vec<Engine>,
}

/// An engine that registered.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Engine {
    pub(crate) id: String,
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) build: String,
    #[serde(default)]
    pub(crate) slots: u64,
    /// `name@version` each.
    #[serde(default)]
    pub(crate) plugins: Vec<String>,
    #[serde(default)]
    pub(crate) seen_ms_ago: Option<u64>,
}

/// `GET /v1/plugins`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plugins {
    pub(crate) plugins: Vec<Plugin>,
}

/// One published version of a plugin.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) sha256: String,
    #[serde(default)]
    pub(crate) size_bytes: u64,
    #[serde(default)]
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    #[serde(default)]
    pub(crate) retry: String,
    #[serde(default)]
    pub(crate) carrier: String,
    /// The publisher's; absent for what is built in.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// The only regions that have it; none is all.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Why it was taken back, if it was.
    #[serde(default)]
    pub(crate) yanked: Option<String>,
    #[serde(default)]
    pub(crate) published_at_ms: Option<u64>,
    /// The regions that may run it.
    #[serde(default)]
    pub(crate) regions: Vec<RegionReady>,
}

/// Which engines of a region can run a version.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct RegionReady {
    pub(crate) name: String,
    pub(crate) engines: usize,
    pub(crate) ready: usize,
    #[serde(default)]
    pub(crate) refused: Vec<RefusedBy>,
}

/// An engine that does not run a version.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct RefusedBy {
    pub(crate) engine: String,
    pub(crate) reason: String,
}

/// `PUT /v1/plugins/{name}/{version}`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Published {
    /// False when the same release was there already.
    pub(crate) new: bool,
    #[serde(flatten)]
    pub(crate) plugin: Plugin,
}

/// The answer to a yank or a promotion.
#[derive(Debug, Deserialize)]
pub(crate) struct Marked {
    /// `name@version`.
    pub(crate) plugin: String,
    /// False when it was said before.
    pub(crate) new: bool,
}

/// `GET /v1/jobs`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
    /// The regions whose jobs are not among them, as no cluster of theirs answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unreachable: Vec<String>,
}

/// `GET /v1/jobs/{id}`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) run: String,
    pub(crate) region: String,
    pub(crate) plugin: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) exit: Option<Exit>,
    #[serde(default)]
    pub(crate) engine: Option<String>,
    #[serde(default)]
    pub(crate) created_at_ms: Option<u64>,
    #[serde(default)]
    pub(crate) duration_ms: Option<u64>,
}

/// `DELETE /v1/jobs/{id}`.
#[derive(Debug, Deserialize)]
pub(crate) struct Cancelled {
    pub(crate) state: String,
}

impl Event {
    /// Reads one server-sent event; `None` for a kind that this client does not know.
    pub(crate) fn parse(kind: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match kind {
            "state" => Self::State(serde_json::from_str(data)?),
            "restart" => Self::Restart(serde_json::from_str(data)?),
            "output" => Self::Output(serde_json::from_str(data)?),
            "incomplete" => Self::Incomplete(serde_json::from_str(data)?),
            "end" => Self::End(serde_json::from_str(data)?),
            _ => return Ok(None),
        }))
    }
}

impl Outage {
    /// Reads one server-sent event; `None` for another kind.
    pub(crate) fn parse(kind: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match kind {
            "unreachable" => Self::Began(serde_json::from_str(data)?),
            "reachable" => Self::Over(serde_json::from_str(data)?),
            _ => return Ok(None),
        }))
    }
}

/// A join token that was made: a secret.
#[derive(Deserialize)]
pub(crate) struct JoinToken {
    pub(crate) join_token: String,
}

/// An engine whose right was taken back.
#[derive(Debug, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) engine: String,
    pub(crate) new: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read() {
        for (data, state, exit) in [
            (r#"{"state":"done","exit":{"status":0}}"#, JobState::Done, Some(Exit::Status(0))),
            (r#"{"state":"expired","exit":null}"#, JobState::Expired, None),
            (r#"{"state":"evaporated","later":1}"#, JobState::Other, None),
            (
                r#"{"state":"failed","exit":{"stopped":"cancelled"}}"#,
                JobState::Failed,
                Some(Exit::Stopped(blitz_contract::Stopped::Cancelled)),
            ),
        ] {
            let Some(Event::End(end)) = Event::parse("end", data).unwrap() else {
                panic!("{data} is an end");
            };
            assert_eq!((end.state, end.exit), (state, exit), "{data}");
        }
    }

    #[test]
    fn output_is_read_and_written() {
        let data = r#"{"attempt":1,"incarnation":"a","seq":0,"frames":[{"stream":"stdout","text":"é"},{"stream":"file:x","base64":"/w=="}]}"#;
        let Some(Event::Output(output)) = Event::parse("output", data).unwrap() else {
            panic!("{data} is output");
        };
        assert_eq!(output.frames[0].bytes, "é".as_bytes());
        assert_eq!(output.frames[1].bytes, [0xff]);
        assert_eq!(serde_json::to_string(&output).unwrap(), data);
        for frame in [r#"{"stream":"stdout"}"#, r#"{"stream":"stdout","base64":"?"}"#] {
            let data = format!(r#"{{"attempt":1,"incarnation":"a","seq":0,"frames":[{frame}]}}"#);
            assert!(Event::parse("output", &data).is_err(), "{frame}");
        }
    }

    #[test]
    fn outages_are_read() {
        let data = r#"{"region":"japan","since_ms":5,"reason":"r"}"#;
        let Some(Outage::Began(began)) = Outage::parse("unreachable", data).unwrap() else {
            panic!("{data} is an outage");
        };
        assert_eq!((began.region.as_str(), began.since_ms), ("japan", 5));
        let over = Outage::parse("reachable", r#"{"region":"japan"}"#).unwrap();
        assert!(matches!(over, Some(Outage::Over(_))));
        assert_eq!(Outage::parse("end", "{}").unwrap(), None);
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        assert_eq!(Event::parse("later", "not even JSON").unwrap(), None);
        assert!(Event::parse("end", "{").is_err());
    }
}
