//! The fixture does natively what it does as a component, and the example in C runs.

use std::time::Duration;

use blitz_contract::{Capability, Exit, Frame, Limits, Stopped, Stream};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    example, fixture, invocation, load, nobody_stays, run, runtime, simple, text,
};

fn stopped(exit: Exit) -> String {
    match exit {
        Exit::Stopped(stopped) => stopped.to_string(),
        status => panic!("not stopped: {status:?}"),
    }
}

#[tokio::test]
async fn the_example_in_c_runs() {
    let (runtime, library) = (runtime(), example());
    let plugin = load(&runtime, library).await;
    assert_eq!(plugin.describe().await.unwrap().name, "example");
    let (mut invocation, frames) = invocation(&["Ada"], 8);
    invocation.inputs.insert("-".to_owned(), Bytes::from_static(b"one\ntwo\n"));
    let (exit, frames) = run(&plugin, invocation, frames).await;
    assert_eq!(exit, Exit::Status(0), "{frames:?}");
    assert_eq!(text(&frames, &Stream::Stdout), "hello Ada\none\ntwo\nread 8 bytes in virginia\n");
    assert_eq!(text(&frames, &Stream::Event("greeting".to_owned())), "{\"greeted\":1}");
    nobody_stays().await;
}

#[tokio::test]
async fn commands_end_as_they_do_in_a_component() {
    let runtime = runtime();
    let plugin = load(&runtime, fixture()).await;
    assert_eq!(plugin.describe().await.unwrap().name, "fixture");
    for (args, status, stdout, stderr) in [
        (&["noop"][..], 0, "", ""),
        (&["echo", "a", "b"], 0, "a b\n", ""),
        (&["stderr", "a"], 0, "", "a\n"),
        (&["exit", "3"], 3, "", ""),
        (&["args", "--", "-x"], 0, "[\"args\",\"--\",\"-x\"]\n", ""),
        (&["ticks", "2", "1"], 0, "tick 0\ntick 1\n", ""),
        (&["hog", "8"], 0, "held 8 MiB\n", ""),
        (&["nope"], 1, "", "fixture: no command \"nope\"\n"),
        (&["--nope"], 2, "", "fixture: option --nope is not supported\ntry 'blitz help fixture'\n"),
        (&["read", "other"], 1, "", "fixture: \"other\" did not come with the job\n"),
    ] {
        let (exit, frames) = simple(&plugin, args).await;
        assert_eq!(exit, Exit::Status(status), "{args:?} {frames:?}");
        assert_eq!(text(&frames, &Stream::Stdout), stdout, "{args:?}");
        assert_eq!(text(&frames, &Stream::Stderr), stderr, "{args:?}");
    }
    let (exit, frames) = simple(&plugin, &["clock", "2", "1"]).await;
    assert_eq!(exit, Exit::Status(0));
    let clock = text(&frames, &Stream::Stdout);
    assert!(
        clock.lines().all(|line| line.parse::<u64>().unwrap() > 1_600_000_000_000_000),
        "{clock}"
    );
    let (exit, frames) = simple(&plugin, &["deadline"]).await;
    assert_eq!(exit, Exit::Status(0));
    let left = text(&frames, &Stream::Stdout);
    let (ms, region) = left.trim_end().split_once(' ').unwrap();
    assert_eq!(region, "virginia");
    assert!((1..=60_000).contains(&ms.parse::<u64>().unwrap()), "{ms}");
}

#[tokio::test]
async fn files_and_records_go_through_the_host() {
    let runtime = runtime();
    let plugin = load(&runtime, fixture()).await;
    let long: Bytes = (0..700_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into();

    let (mut reads, frames) = invocation(&["read", "in"], 8);
    reads.inputs.insert("in".to_owned(), long.clone());
    let (exit, frames) = run(&plugin, reads, frames).await;
    assert_eq!(exit, Exit::Status(0));
    let given: Vec<u8> = frames.into_iter().flat_map(|frame| frame.bytes).collect();
    assert!(given == long, "{} bytes of {}", given.len(), long.len());

    let (mut copies, frames) = invocation(&["cat"], 8);
    copies.inputs.insert("-".to_owned(), long.clone());
    let (exit, frames) = run(&plugin, copies, frames).await;
    assert_eq!(exit, Exit::Status(0));
    let given: Vec<u8> = frames.into_iter().flat_map(|frame| frame.bytes).collect();
    assert!(given == long, "{} bytes of {}", given.len(), long.len());
    // Without stdin it is empty.
    assert_eq!(simple(&plugin, &["cat"]).await, (Exit::Status(0), Vec::new()));

    let (exit, frames) = simple(&plugin, &["write", "out", "two", "words"]).await;
    let file = Frame { stream: Stream::File("out".to_owned()), bytes: b"two words\n".to_vec() };
    assert_eq!((exit, frames), (Exit::Status(0), vec![file]));

    let (exit, frames) = simple(&plugin, &["emit", "hop", "{\"ttl\":1}"]).await;
    let event = Frame { stream: Stream::Event("hop".to_owned()), bytes: b"{\"ttl\":1}".to_vec() };
    assert_eq!((exit, frames), (Exit::Status(0), vec![event]));
    let (exit, frames) = simple(&plugin, &["emit", "Hop", "1"]).await;
    assert_eq!(exit, Exit::Status(1));
    assert!(text(&frames, &Stream::Stderr).contains("an event's kind is"), "{frames:?}");
}

#[tokio::test]
async fn an_exchange_needs_its_grant_and_is_read_to_its_end() {
    let runtime = runtime();
    let plugin = load(&runtime, fixture()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());

    let (exit, frames) = simple(&plugin, &["get", &url]).await;
    assert_eq!(exit, Exit::Status(1));
    let denied = text(&frames, &Stream::Stderr);
    assert!(denied.contains("\"web\""), "{denied}");

    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
        let answer = b"HTTP/1.1 200 F\xfcr dich\r\ncontent-length: 300000\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream.write_all(&vec![b'x'; 300_000]).await.unwrap();
    };
    let (mut gets, frames) = invocation(&["get", &url], 8);
    gets.capabilities = vec![Capability::Web];
    let ((exit, frames), ()) = tokio::join!(run(&plugin, gets, frames), serving);
    assert_eq!(exit, Exit::Status(0), "{frames:?}");
    let stdout = text(&frames, &Stream::Stdout);
    assert!(stdout.starts_with("200 F\u{fffd}r dich\nxxx"), "{}", &stdout[..40]);
    assert_eq!(stdout.len(), "200 F\u{fffd}r dich\n".len() + 300_000);
}

#[tokio::test]
async fn limits_hold_and_are_named() {
    let runtime = runtime();
    let plugin = load(&runtime, fixture()).await;

    let (mut spins, frames) = invocation(&["spin"], 8);
    spins.limits = Limits { cpu_ms: Some(50), ..Limits::default() };
    let text_of = stopped(run(&plugin, spins, frames).await.0);
    assert!(text_of.starts_with("CPU time limit 50 ms reached (used "), "{text_of}");

    let (mut spins, frames) = invocation(&["spin"], 8);
    spins.deadline = Duration::from_millis(300);
    let exit = run(&plugin, spins, frames).await.0;
    assert!(matches!(exit, Exit::Stopped(Stopped::Timeout(_))), "{exit:?}");
    assert!(stopped(exit).starts_with("time limit 300 ms reached"));

    let (spins, frames) = invocation(&["spin"], 8);
    let cancel = spins.cancel.clone();
    let cancelling = async {
        while crate::support::children().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let ((exit, _), ()) = tokio::join!(run(&plugin, spins, frames), cancelling);
    assert_eq!(exit, Exit::Stopped(Stopped::Cancelled));

    let exit = simple(&plugin, &["panic"]).await.0;
    assert!(matches!(exit, Exit::Stopped(Stopped::Crashed(_))), "{exit:?}");
    let said = stopped(exit);
    assert!(said.contains("panicked at ") && said.ends_with(": asked to panic"), "{said}");

    let (mut hogs, frames) = invocation(&["hog", "4000"], 8);
    hogs.limits = Limits { memory_bytes: Some(32 * 1024 * 1024), ..Limits::default() };
    let exit = run(&plugin, hogs, frames).await.0;
    assert!(matches!(exit, Exit::Stopped(Stopped::Limit(_))), "{exit:?}");
    let said = stopped(exit);
    assert!(said.starts_with("memory limit 32 MiB reached: memory allocation of "), "{said}");

    let (mut floods, frames) = invocation(&["flood", "5000000"], 2);
    floods.limits.output_bytes = Some(1_000_000);
    let (exit, frames) = run(&plugin, floods, frames).await;
    assert_eq!(stopped(exit), "output limit 976.5 KiB reached");
    assert_eq!(frames.iter().map(|f| f.bytes.len()).sum::<usize>(), 1_000_000);

    let (mut floods, frames) = invocation(&["flood", "5000000"], 2);
    floods.deadline = Duration::from_millis(500);
    let exit = plugin.run(floods).await;
    assert!(stopped(exit).starts_with("time limit 500 ms reached while nobody took its output"));
    drop(frames);

    let (floods, frames) = invocation(&["flood", "5000000"], 2);
    drop(frames);
    assert_eq!(plugin.run(floods).await, Exit::Stopped(Stopped::Cancelled));

    assert_eq!(simple(&plugin, &["noop"]).await, (Exit::Status(0), Vec::new()));
    nobody_stays().await;
}

#[tokio::test]
async fn dropping_a_run_ends_its_process() {
    let runtime = runtime();
    let plugin = load(&runtime, fixture()).await;
    for _ in 0..3 {
        let (spins, _frames) = invocation(&["spin"], 8);
        let dropped = tokio::time::timeout(Duration::from_millis(100), plugin.run(spins)).await;
        assert!(dropped.is_err(), "{dropped:?}");
    }
    nobody_stays().await;
}
