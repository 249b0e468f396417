//! The events of a job, and of the home of its region.

use blitz_contract::{Exit, Frame};
use serde::{Deserialize, Serialize};

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
