//! Server-sent events, from bytes as the network cuts them to whole events. Pure; no I/O.
//!
//! Source: WHATWG HTML Living Standard, section 9.2.6 "Interpreting an event stream". `retry` is passed
//! over: the follower has its own backoff.

/// Bytes of one event at most. A chunk of output is 64 KiB, or a third more as base64, in JSON escapes.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    /// `message` when the server named none.
    pub(crate) kind: String,
    /// Lines joined by a newline.
    pub(crate) data: String,
    /// The last id that the server gave, here or before.
    pub(crate) id: Option<String>,
}

/// An event passes [`EVENT_BYTES_MAX`] or is not UTF-8.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SseError {
    /// Too long.
    #[error("an event of the gateway passes {EVENT_BYTES_MAX} bytes")]
    TooLong,
    /// Not text.
    #[error("an event of the gateway is not UTF-8")]
    NotText,
}

/// Gathers bytes until an event is whole.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    /// The line that is not at its end.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    started: bool,
    kind: String,
    data: String,
    has_data: bool,
    id: Option<String>,
}

impl SseParser {
    /// Takes the next bytes and gives the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let joined = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if joined => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take_line(&line)?);
                    self.line = line;
                    self.line.clear();
                }
                _ if self.line.len() + self.data.len() >= EVENT_BYTES_MAX => {
                    return Err(SseError::TooLong);
                }
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<SseEvent>, SseError> {
        let line = std::str::from_utf8(line).map_err(|_| SseError::NotText)?;
        let line = match std::mem::replace(&mut self.started, true) {
            false => line.strip_prefix('\u{feff}').unwrap_or(line),
            true => line,
        };
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments (an empty field name), `retry`, and what a later server may say.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let kind = std::mem::take(&mut self.kind);
        let data = std::mem::take(&mut self.data);
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        std::mem::take(&mut self.has_data).then(|| SseEvent { kind, data, id: self.id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events as `kind|data|id`, the same however the bytes are cut.
    fn parse(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for cut in 1..=text.len().min(9) {
            let mut parser = SseParser::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                events.extend(parser.push(piece).unwrap());
            }
            let events = events
                .iter()
                .map(|e| format!("{}|{}|{}", e.kind, e.data, e.id.as_deref().unwrap_or("none")));
            all.push(events.collect::<Vec<_>>());
        }
        all.dedup();
        assert_eq!(all.len(), 1, "{text:?} reads differently when cut differently");
        all.remove(0)
    }

    #[test]
    fn streams_become_events() {
        for (text, events) in [
            ("event: end\ndata: {}\n\n", &["end|{}|none"][..]),
            ("data:a\n\n", &["message|a|none"]),
            ("data: a\ndata:  b\ndata\n\n", &["message|a\n b\n|none"]),
            (
                "id: 1.x.0\nevent: output\ndata: 1\n\ndata: 2\n\n",
                &["output|1|1.x.0", "message|2|1.x.0"],
            ),
            (": beat\n\n: beat\n\nevent: state\n\n", &[]),
            (
                "\u{feff}data: x\r\n\r\ndata: y\r\rdata: z\n\n",
                &["message|x|none", "message|y|none", "message|z|none"],
            ),
            ("retry: 5\nnope: 1\ndata: é日\n\n", &["message|é日|none"]),
            ("data: cut off\n", &[]),
        ] {
            assert_eq!(parse(text), events, "{text:?}");
        }
    }

    #[test]
    fn an_event_has_a_size() {
        let mut parser = SseParser::default();
        assert!(parser.push(b"data: ").unwrap().is_empty());
        let flood = vec![b'x'; EVENT_BYTES_MAX];
        assert_eq!(parser.push(&flood), Err(SseError::TooLong));
        assert_eq!(SseParser::default().push(b"data: \xff\n"), Err(SseError::NotText));
    }
}
