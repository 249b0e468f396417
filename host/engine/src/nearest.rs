//! Which of several clusters is the nearest: the one whose answers come back soonest.

use std::time::Duration;

use blitz_couchdb::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Round trips that are measured of each: the median of so many passes over the first, which opens the connection, and one
/// that was unlucky.
const ROUND_TRIPS: usize = 5;

/// One round trip may take so long; no place on Earth is farther. A cluster that takes longer is not there.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);

/// A cluster that an engine could be near to.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its name, where it is known.
    pub name: Option<String>,
    /// How to reach it.
    pub client: Client,
}

/// What was found of a candidate.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Whom it is about.
    pub candidate: Candidate,
    /// The median round trip of an answer, or why there was none.
    pub round_trip: Result<Duration, String>,
}

/// Measures the round trips to all of them at once. The nearest comes first, those that do not answer last, else as they
/// were given.
pub async fn measure(candidates: Vec<Candidate>) -> Vec<Measured> {
    let mut measuring = JoinSet::new();
    for (place, candidate) in candidates.into_iter().enumerate() {
        measuring.spawn(async move {
            let round_trip = round_trip(&candidate.client).await;
            (place, Measured { candidate, round_trip })
        });
    }
    let mut measured = measuring.join_all().await;
    measured.sort_by_key(|(place, measured)| {
        (measured.round_trip.as_ref().copied().unwrap_or(Duration::MAX), *place)
    });
    measured.into_iter().map(|(_, measured)| measured).collect()
}

async fn round_trip(client: &Client) -> Result<Duration, String> {
    let mut round_trips = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        match timeout(ROUND_TRIP_MAX, client.server()).await {
            Ok(Ok(_)) => round_trips.push(begun.elapsed()),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {ROUND_TRIP_MAX:?}")),
        }
    }
    Ok(median(round_trips))
}

fn median(mut round_trips: Vec<Duration>) -> Duration {
    round_trips.sort_unstable();
    round_trips.get(round_trips.len() / 2).copied().unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;

    use super::*;

    /// A store that greets so late, in a world whose time stands still.
    fn store(name: &str, late: Option<Duration>) -> Candidate {
        let (pipes, mut arrived) = mpsc::channel::<DuplexStream>(1);
        let config = blitz_couchdb::Config::new("http://couch");
        let client = Client::over_pipes(config, pipes).unwrap();
        tokio::spawn(async move {
            while let Some(mut pipe) = arrived.recv().await {
                let Some(late) = late else { continue };
                tokio::spawn(async move {
                    let body = r#"{"couchdb":"Welcome","version":"3.5.0"}"#;
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    while pipe.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {
                        tokio::time::sleep(late).await;
                        pipe.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Candidate { name: Some(name.to_owned()), client }
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearest_comes_first_and_who_does_not_answer_last() {
        let ms = Duration::from_millis;
        let candidates = vec![
            store("hangs", Some(ROUND_TRIP_MAX + ms(1))),
            store("virginia", Some(ms(160))),
            store("gone", None),
            store("tokyo", Some(ms(2))),
        ];
        let measured = measure(candidates).await;
        let names: Vec<&str> =
            measured.iter().filter_map(|found| found.candidate.name.as_deref()).collect();
        assert_eq!(names, ["tokyo", "virginia", "hangs", "gone"]);
        assert!(measured[0].round_trip.as_ref().is_ok_and(|time| *time < ms(10)), "{measured:?}");
        let silent = measured[2].round_trip.as_ref().unwrap_err();
        assert_eq!(silent, "no answer within 2s");
        assert!(measured[3].round_trip.is_err());
    }
}
