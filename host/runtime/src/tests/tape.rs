//! Guests that ask for random numbers, recorded and replayed.

use blitz_contract::{Exit, Stopped};
use bytes::Bytes;

use super::component::{MEMORY, invocation, load, plugin, run};
use crate::tapes::Entry;
use crate::{Player, Recorder, Tape};

/// Exits with the low bits of its random number, after the time left was asked.
fn dice() -> Bytes {
    plugin(
        &format!(
            r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
               {MEMORY}"#
        ),
        "(i32.and (i32.wrap_i64 (call $random)) (i32.const 63))",
    )
}

#[tokio::test]
async fn a_replay_hears_what_was_recorded() {
    let dice = load(dice()).await;
    let recorder = Recorder::default();
    let (mut recording, frames) = invocation(1);
    recording.tape = Tape::Record(recorder.clone());
    let (first, _) = run(&dice, recording, frames).await;
    let entries = recorder.take();
    let imports: Vec<&str> = entries.iter().map(Entry::import).collect();
    assert_eq!(imports, ["deadline-ms", "wasi.random-u64"]);

    for _ in 0..3 {
        let player = Player::new(entries.clone());
        let (mut replay, frames) = invocation(1);
        replay.tape = Tape::Replay(player.clone());
        let (again, _) = run(&dice, replay, frames).await;
        assert_eq!(again, first);
        assert_eq!(player.left(), 0);
    }
}

#[tokio::test]
async fn another_question_ends_the_run() {
    let dice = load(dice()).await;
    let line = |line: &str| serde_json::from_str(line).unwrap();
    let entries = vec![
        line("{\"import\":\"deadline-ms\",\"hears\":1000}"),
        line("{\"import\":\"wasi.wall\",\"hears\":[1,2]}"),
    ];
    let (mut replay, frames) = invocation(1);
    replay.tape = Tape::Replay(Player::new(entries));
    let (exit, _) = run(&dice, replay, frames).await;
    assert_eq!(
        exit,
        Exit::Stopped(Stopped::Limit(
            "the tape has another question: its entry 2 is wasi.wall, and the plugin asks \
             wasi.random-u64; record it again when the plugin is right"
                .to_owned()
        ))
    );
}
