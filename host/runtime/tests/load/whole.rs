//! A test from its begin to its end: shares, records, signatures, tapes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use blitz_contract::load::{OPENING_EVENT, Share, TICK_EVENT, Tick, Verdict};
use blitz_contract::{Exit, Stream};
use blitz_runtime::{LoadSetting, Meeting, Meets, Met, Player, Recorder, Tape};

use crate::support::{Server, World, config, plan};

/// What a test says that met others.
#[derive(Debug)]
struct Told(Result<Met, String>);

impl Meeting for Told {
    fn meet(&self) -> Meets<'_> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}

#[tokio::test]
async fn what_the_workers_say_is_given_out_and_to_the_plugin() {
    let server = Server::start().await;
    let mut config = config();
    config.load.cores = NonZeroU32::new(2);
    let world = World::new(config).await;
    let met =
        Met { share: Share { index: 1, of: 3 }, starts_in: Duration::from_millis(20), missing: 1 };
    let plan = plan(&server.url(), 6, 2500, "send").to_string();
    let seen = world
        .run(&plan, |invocation| {
            let signature = "job 7; ops@example.org".to_owned();
            let meeting = Arc::new(Told(Ok(met)));
            invocation.load = LoadSetting { signature, meeting, ..LoadSetting::default() };
        })
        .await;
    assert_eq!(seen.exit, Exit::Status(0), "{}", seen.error());
    assert!(seen.error().contains("the load test has ended"), "{}", seen.error());

    let opening = seen.opening();
    assert_eq!((opening.share, opening.workers, opening.missing), (met.share, 2, 1));
    assert_eq!(
        opening.targets,
        [(server.url().trim_end_matches('/').to_owned(), vec![server.address.to_string()])]
    );
    assert_eq!(
        serde_json::to_value(&opening.plan.steps[0].headers).unwrap(),
        serde_json::json!([["x-do", "send"]])
    );
    let first = seen.frames.first().unwrap();
    assert_eq!(first.stream, Stream::Event(OPENING_EVENT.to_owned()));

    let closing = seen.closing();
    assert_eq!((closing.verdict, closing.text.as_str()), (Verdict::Ended, ""));
    assert_eq!(closing.share, met.share);
    let mut sum = Tick::default();
    seen.records().iter().for_each(|tick| sum.add(tick));
    let requests = server.requests();
    assert_eq!(usize::try_from(sum.sent).unwrap(), requests.len());
    assert!(requests.len() >= 2, "both workers sent");
    for request in requests {
        let agent = concat!(
            "user-agent: blitz-rush/",
            env!("CARGO_PKG_VERSION"),
            " (job 7; ops@example.org)\r\n"
        );
        assert!(request.contains(agent), "{request}");
    }
    // The plugin heard what the records have.
    let heard = seen.texts(&Stream::File("ticks".to_owned()));
    assert_eq!(heard, seen.texts(&Stream::Event(TICK_EVENT.to_owned())));
}

#[tokio::test]
async fn a_meeting_that_fails_begins_nothing() {
    let server = Server::start().await;
    let world = World::new(config()).await;
    let text = "1 of 4 engines came within 10 s, 3 are needed; try again";
    let seen = world
        .run(&plan(&server.url(), 1, 1000, "send").to_string(), |invocation| {
            invocation.load.meeting = Arc::new(Told(Err(text.to_owned())));
        })
        .await;
    assert_eq!((seen.exit.clone(), seen.error().as_str()), (Exit::Status(12), text));
    assert_eq!((seen.records().len(), server.connections()), (0, 0));
}

/// The operator changes his mind while the engines meet.
#[derive(Debug)]
struct Revoked(blitz_runtime::Runtime);

impl Meeting for Revoked {
    fn meet(&self) -> Meets<'_> {
        self.0.agree_to_load(Default::default());
        let met = Met { share: Share::WHOLE, starts_in: Duration::ZERO, missing: 0 };
        Box::pin(std::future::ready(Ok(met)))
    }
}

#[tokio::test]
async fn what_is_not_agreed_to_any_more_when_it_begins_does_not_begin() {
    let server = Server::start().await;
    let mut config = config();
    // This machine by an address that is neither loopback nor private, so that only the list allows it.
    config.load.consent.listed = vec!["0.0.0.0".parse().unwrap()];
    let world = World::new(config).await;
    let url = format!("http://0.0.0.0:{}/", server.address.port());
    let meeting = Arc::new(Revoked(world.runtime.clone()));
    let seen = world
        .run(&plan(&url, 1, 1000, "send").to_string(), |invocation| {
            invocation.load.meeting = meeting;
        })
        .await;
    assert_eq!(seen.exit, Exit::Status(10), "{}", seen.error());
    assert!(seen.error().contains("0.0.0.0 (0.0.0.0) may not be loaded"), "{}", seen.error());
    assert_eq!((seen.records().len(), server.connections()), (0, 0));
}

#[tokio::test]
async fn a_tape_gives_a_test_again() {
    let server = Server::start().await;
    let world = World::new(config()).await;
    let plan = plan(&server.url(), 1, 1200, "send").to_string();
    let recorder = Recorder::default();
    let live =
        world.run(&plan, |invocation| invocation.tape = Tape::Record(recorder.clone())).await;
    assert_eq!(live.exit, Exit::Status(0));
    let connections = server.connections();
    let player = Player::new(recorder.take());
    let again = world.run(&plan, |invocation| invocation.tape = Tape::Replay(player.clone())).await;
    assert_eq!((again.exit.clone(), player.left()), (Exit::Status(0), 0));
    for stream in [
        Stream::Event(OPENING_EVENT.to_owned()),
        Stream::Event(TICK_EVENT.to_owned()),
        Stream::File("ticks".to_owned()),
        Stream::File("error".to_owned()),
    ] {
        assert_eq!(again.texts(&stream), live.texts(&stream), "{stream:?}");
    }
    assert_eq!(server.connections(), connections, "nothing was sent");
}
