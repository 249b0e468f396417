//! Follows one job to its end, over gateways that restart and connections that break.
//!
//! [`Position`] is pure: it says which events are new. [`follow`] connects, reads and connects again
//! behind the last chunk that was seen, so that no line is lost and none is doubled.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{self, Gateway};
use crate::sse::{SseEvent, SseParser};
use crate::wire::{Event, Outage, Output, Restart, State};

/// How long a gateway may be away. A restart takes about a second, a deployment a few.
pub(crate) const AWAY_MAX: Duration = Duration::from_secs(30);

/// Without a byte for so long the connection is dead: the gateway sends a comment every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The first pause before another try, and the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Why following ended before the job did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The gateway stayed away.
    #[error(
        "lost the gateway for {} s while the job ran ({cause}); 'blitz job {id}' follows it again",
        AWAY_MAX.as_secs()
    )]
    Away { id: String, cause: String },
    /// The gateway refuses the stream.
    #[error(transparent)]
    Api(#[from] api::Error),
}

/// What a reader of the job gets.
#[derive(Debug)]
pub(crate) enum News {
    /// The next event, exactly once.
    Event(Event),
    /// The home of the job's region has gone or is back: once each.
    Outage(Outage),
    /// The gateway does not answer. It is asked again, for [`AWAY_MAX`].
    Away,
    /// It answers again.
    Back,
    /// Nothing more comes.
    Failed(Error),
}

/// Sends every event of job `id` to `news`, tagged with `job`, until the end or a failure.
///
/// Returns as well when nobody listens any more.
pub(crate) async fn follow(
    gateway: Gateway,
    id: String,
    job: usize,
    news: mpsc::Sender<(usize, News)>,
) {
    let mut position = Position::default();
    let last = loop_until_end(&gateway, &id, &mut position, |piece| {
        let news = news.clone();
        async move { news.send((job, piece)).await.is_ok() }
    });
    if let Err(error) = last.await {
        // A closed channel means that the reader has left: nobody misses the error.
        let _left = news.send((job, News::Failed(error))).await;
    }
}

async fn loop_until_end<F: Future<Output = bool>>(
    gateway: &Gateway,
    id: &str,
    position: &mut Position,
    mut give: impl FnMut(News) -> F,
) -> Result<(), Error> {
    let mut pause = BACKOFF_MIN;
    let mut heard = Instant::now();
    let mut is_away = false;
    loop {
        let answer = gateway.events(id, position.last_event_id().as_deref()).await;
        let is_gone =
            matches!(answer, Err(api::Error::Unreachable { .. } | api::Error::Timeout { .. }));
        if is_gone != std::mem::replace(&mut is_away, is_gone)
            && !give(if is_gone { News::Away } else { News::Back }).await
        {
            return Ok(());
        }
        let cause = match answer {
            Ok(body) => {
                let mut stream = Stream::new(body);
                loop {
                    match stream.next().await {
                        Ok(events) => {
                            heard = Instant::now();
                            pause = BACKOFF_MIN;
                            for piece in events {
                                for piece in position.accept_piece(piece) {
                                    let is_end = matches!(piece, News::Event(Event::End(_)));
                                    if !give(piece).await || is_end {
                                        return Ok(());
                                    }
                                }
                            }
                        }
                        Err(cause) => break cause,
                    }
                }
            }
            Err(api::Error::Unreachable { cause, .. }) => cause,
            Err(error @ api::Error::Timeout { .. }) => error.to_string(),
            Err(api::Error::Refused { status, refusal }) if status.is_server_error() => {
                refusal.to_string()
            }
            Err(error) => return Err(error.into()),
        };
        if heard.elapsed() + pause > AWAY_MAX {
            return Err(Error::Away { id: id.to_owned(), cause });
        }
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(BACKOFF_MAX);
    }
}

/// One server-sent event that this client knows.
#[derive(Debug)]
enum Piece {
    Event(Event),
    Outage(Outage),
}

impl Piece {
    fn parse(event: &SseEvent) -> Result<Option<Self>, serde_json::Error> {
        let SseEvent { kind, data, .. } = event;
        if let Some(outage) = Outage::parse(kind, data)? {
            return Ok(Some(Self::Outage(outage)));
        }
        Ok(Event::parse(kind, data)?.map(Self::Event))
    }
}

/// One connection's events.
struct Stream {
    body: Incoming,
    parser: SseParser,
}

impl Stream {
    fn new(body: Incoming) -> Self {
        Self { body, parser: SseParser::default() }
    }

    /// The events of the next piece, perhaps none; the cause when the connection is over.
    async fn next(&mut self) -> Result<Vec<Piece>, String> {
        let frame = match timeout(SILENCE_MAX, self.body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Ok(None) => return Err("the stream ended early".to_owned()),
            Err(_) => return Err(format!("no byte for {} s", SILENCE_MAX.as_secs())),
        };
        let Some(bytes) = frame.data_ref() else { return Ok(Vec::new()) };
        let events = self.parser.push(bytes).map_err(|e| e.to_string())?;
        let parse = |event: &SseEvent| Piece::parse(event).map_err(|e| e.to_string());
        events.iter().filter_map(|event| parse(event).transpose()).collect()
    }
}

/// Half to the whole of `pause`, so that followers of one gateway do not return in one herd.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    let share = f64::from(random) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + share / 2.0)
}

/// How far a job's output was seen.
#[derive(Debug, Default)]
pub(crate) struct Position {
    /// The newest attempt that was heard of; 0 before the first chunk.
    attempt: u32,
    incarnation: String,
    /// The next chunk of that attempt and incarnation.
    next_seq: u64,
    /// A gateway that is asked again repeats it.
    state: Option<State>,
    /// And this.
    outage: Option<Outage>,
}

impl Position {
    /// What the gateway is told when it is asked again.
    pub(crate) fn last_event_id(&self) -> Option<String> {
        let last = self.next_seq.checked_sub(1)?;
        Some(format!("{}.{}.{last}", self.attempt, self.incarnation))
    }

    fn accept_piece(&mut self, piece: Piece) -> Vec<News> {
        match piece {
            Piece::Event(event) => self.accept(event).into_iter().map(News::Event).collect(),
            Piece::Outage(outage) if self.outage.as_ref() == Some(&outage) => Vec::new(),
            Piece::Outage(outage) => {
                self.outage = Some(outage.clone());
                vec![News::Outage(outage)]
            }
        }
    }

    /// The news in an event: nothing of a repeated one; a restart before a chunk of another attempt,
    /// when the restart itself went by during a reconnect.
    pub(crate) fn accept(&mut self, event: Event) -> Vec<Event> {
        match event {
            Event::Restart(restart) if restart.attempt > self.attempt => {
                self.begin(restart.attempt, "");
                vec![Event::Restart(restart)]
            }
            Event::Restart(_) => Vec::new(),
            Event::Output(output) => self.accept_output(output),
            Event::State(state) if self.state.as_ref() == Some(&state) => Vec::new(),
            Event::State(state) => {
                self.state = Some(state.clone());
                vec![Event::State(state)]
            }
            other => vec![other],
        }
    }

    fn accept_output(&mut self, output: Output) -> Vec<Event> {
        if output.attempt < self.attempt {
            return Vec::new();
        }
        let mut news = Vec::new();
        let is_first = self.attempt == 0;
        let follows_restart = output.attempt == self.attempt && self.incarnation.is_empty();
        if output.attempt > self.attempt || output.incarnation != self.incarnation {
            self.begin(output.attempt, &output.incarnation);
            if !is_first && !follows_restart {
                let reason = "another engine took the job over".to_owned();
                news.push(Event::Restart(Restart {
                    attempt: output.attempt,
                    engine: None,
                    reason,
                }));
            }
        }
        if output.seq >= self.next_seq {
            self.next_seq = output.seq + 1;
            news.push(Event::Output(output));
        }
        news
    }

    fn begin(&mut self, attempt: u32, incarnation: &str) {
        self.attempt = attempt;
        incarnation.clone_into(&mut self.incarnation);
        self.next_seq = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Unreachable;
    use crate::wire::events::Reachable;

    fn event(word: &str) -> Event {
        match word.split('.').collect::<Vec<_>>()[..] {
            [attempt, incarnation, seq] => Event::Output(Output {
                attempt: attempt.parse().unwrap(),
                incarnation: incarnation.to_owned(),
                seq: seq.parse().unwrap(),
                frames: Vec::new(),
            }),
            [attempt] => {
                Event::Restart(Restart { attempt: attempt.parse().unwrap(), ..Restart::default() })
            }
            _ => panic!("{word} is no test word"),
        }
    }

    fn show(event: &Event) -> String {
        match event {
            Event::Output(o) => format!("{}.{}.{}", o.attempt, o.incarnation, o.seq),
            Event::Restart(r) => format!("restart {}", r.attempt),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_outage_is_told_once_however_often_the_gateway_is_asked() {
        let began = |since_ms| {
            let (region, reason) = ("japan".to_owned(), String::new());
            Piece::Outage(Outage::Began(Unreachable { region, since_ms, reason }))
        };
        let over = || Piece::Outage(Outage::Over(Reachable { region: "japan".to_owned() }));
        let mut position = Position::default();
        let pieces = [began(1), began(1), over(), over(), began(2)];
        let told: Vec<usize> =
            pieces.into_iter().map(|piece| position.accept_piece(piece).len()).collect();
        assert_eq!(told, [1, 0, 1, 0, 1]);
    }

    #[test]
    fn nothing_is_lost_or_doubled() {
        for (heard, given, last) in [
            ("", "", None),
            ("1.a.0 1.a.1", "1.a.0 1.a.1", Some("1.a.1")),
            ("1.a.0 1.a.1 1.a.0 1.a.1 1.a.2", "1.a.0 1.a.1 1.a.2", Some("1.a.2")),
            ("1.a.0 2 2.b.0", "1.a.0 restart 2 2.b.0", Some("2.b.0")),
            ("1.a.0 2 2", "1.a.0 restart 2", None),
            ("1.a.0 2.b.0", "1.a.0 restart 2 2.b.0", Some("2.b.0")),
            ("2.b.0", "2.b.0", Some("2.b.0")),
            ("2 2.b.0", "restart 2 2.b.0", Some("2.b.0")),
            ("1.a.0 2.b.0 1.a.1 2", "1.a.0 restart 2 2.b.0", Some("2.b.0")),
            ("1.a.0 1.c.0", "1.a.0 restart 1 1.c.0", Some("1.c.0")),
            ("1.a.0 2 2.b.0 2 2.b.0 2.b.1", "1.a.0 restart 2 2.b.0 2.b.1", Some("2.b.1")),
        ] {
            let mut position = Position::default();
            let news: Vec<String> = heard
                .split_whitespace()
                .flat_map(|word| position.accept(event(word)))
                .map(|e| show(&e))
                .collect();
            assert_eq!(news.join(" "), given, "heard {heard:?}");
            assert_eq!(position.last_event_id().as_deref(), last, "heard {heard:?}");
        }
    }
}
