//! Clocks that stand still but for their own tests.

use axum::body::to_bytes;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::sleep;

use super::super::places::Places;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { head: 10 * SECOND, stall: 10 * SECOND, ..Limits::default() }
}

fn place() -> Arc<Place> {
    Places::new(&limits()).take([127, 0, 0, 1].into()).unwrap()
}

/// Pieces of a body with the time before each.
fn body(pieces: &'static [(u64, usize)]) -> Body {
    Body::from_stream(stream::iter(pieces).then(async |(seconds, length)| {
        sleep(Duration::from_secs(*seconds)).await;
        Ok::<_, io::Error>(Bytes::from(vec![b'x'; *length]))
    }))
}

#[tokio::test(start_paused = true)]
async fn a_body_is_to_make_progress() {
    let limits = Limits { body: 20 * SECOND, body_bytes_per_s: 100, ..limits() };
    for (pieces, comes) in [
        (&[(0, 10)][..], true),
        (&[(19, 10)], true),
        (&[(21, 10)], false),
        // Ten seconds more for each 1,000 bytes.
        (&[(15, 1000), (14, 10)], true),
        (&[(15, 1000), (16, 10)], false),
        // However much has come, it goes on.
        (&[(0, 100_000), (19, 10), (19, 10)], true),
        (&[(0, 100_000), (21, 10)], false),
        // A byte each second is no progress.
        (&[(9, 1), (9, 1), (9, 1), (9, 1)], false),
    ] {
        let arriving = Body::new(Arriving::new(body(pieces), &limits));
        let read = to_bytes(arriving, usize::MAX).await;
        assert_eq!(read.is_ok(), comes, "{pieces:?}");
        if let Err(error) = read {
            assert!(is_slow(&error), "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_yet_is_not_slow() {
    let limits = Limits { body: 20 * SECOND, body_bytes_per_s: 100, ..limits() };
    let arriving = Body::new(Arriving::new(body(&[(0, 10), (15, 10)]), &limits));
    sleep(60 * SECOND).await;
    assert!(to_bytes(arriving, usize::MAX).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_and_one_that_does_not_begin_is_not() {
    let (near, mut far) = duplex(64);
    let place = place();
    let mut paced = Paced::new(near, Arc::clone(&place), &limits());
    let mut bytes = [0; 8];
    let idle = tokio::time::timeout(60 * SECOND, paced.read(&mut bytes)).await;
    assert!(idle.is_err(), "nothing was said yet");
    let drips = tokio::spawn(async move {
        while far.write_all(b"x").await.is_ok() {
            sleep(3 * SECOND).await;
        }
    });
    let begun = Instant::now();
    let error = loop {
        if let Err(error) = paced.read(&mut bytes).await {
            break error;
        }
    };
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
    // With a request the clock stands, and begins anew with the next head.
    let (near, mut far) = duplex(64);
    let mut paced = Paced::new(near, Arc::clone(&place), &limits());
    far.write_all(b"x").await.unwrap();
    paced.read_exact(&mut bytes[..1]).await.unwrap();
    let work = place.work();
    let body = tokio::time::timeout(60 * SECOND, paced.read(&mut bytes)).await;
    assert!(body.is_err(), "a body has a limit of its own");
    drop(work);
    far.write_all(b"x").await.unwrap();
    paced.read_exact(&mut bytes[..1]).await.unwrap();
    drop(drips);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_cut_off_and_one_that_is_slow_is_not() {
    let (near, mut far) = duplex(64);
    let mut paced = Paced::new(near, place(), &limits());
    let slow = async {
        let mut bytes = [0; 32];
        for _ in 0..8 {
            sleep(4 * SECOND).await;
            far.read_exact(&mut bytes).await.unwrap();
        }
    };
    let (written, ()) = tokio::join!(paced.write_all(&[7; 256]), slow);
    written.unwrap();
    let error = paced.write_all(&[7; 256]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
}
