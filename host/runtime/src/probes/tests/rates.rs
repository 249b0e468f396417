//! Who sends too fast waits, but not beyond the job's time.

use super::*;
use crate::rate::Rates;

fn egress() -> Egress {
    let rates = Rates { target_probes_per_s: 20, target_probes_burst: 2, ..Rates::UNLIMITED };
    Egress::paced(TargetPolicy::any(), Vec::new(), rates)
}

#[tokio::test]
async fn probes_wait_for_their_turn_and_answers_come_meanwhile() {
    let asked = target("127.0.0.1", Protocol::Udp);
    let mut guest = Guest::with_egress(&asked, &egress()).await.unwrap();
    let begun = Instant::now();
    guest.send(&[1, 2, 3, 4].map(|id| probe(id, 64))).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    let answers = guest.hear(4).await;
    assert_eq!(answers.len(), 4);
    // Waiting is no part of what an answer takes.
    assert!(answers.iter().all(|answer| answer.rtt_ns < 50_000_000), "{answers:?}");
    // As many packets of a link as it becomes.
    let begun = Instant::now();
    guest.send(&[Probe { size_bytes: 6000, ..probe(5, 64) }]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_turn_beyond_the_jobs_time_is_refused_at_once() {
    let asked = target("127.0.0.1", Protocol::Udp);
    let mut guest = Guest::with_egress(&asked, &egress()).await.unwrap();
    guest.control.until = Instant::now().checked_add(Duration::from_millis(200));
    let begun = Instant::now();
    let probes: Vec<Probe> = (0..20).map(|id| probe(id, 64)).collect();
    match guest.send(&probes).await {
        Err(Error::Limit(text)) => assert_eq!(
            text,
            "the turn of a probe comes after the job's time limit (20 probes per second to 127.0.0.1); send fewer, \
             or give it more time"
        ),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_job_that_is_asked_to_end_waits_for_no_turn() {
    let asked = target("127.0.0.1", Protocol::Udp);
    let mut guest = Guest::with_egress(&asked, &egress()).await.unwrap();
    let cancel = guest.control.cancel.clone();
    let probes: Vec<Probe> = (0..200).map(|id| probe(id, 64)).collect();
    let (sent, ()) = tokio::join!(guest.send(&probes), async { cancel.cancel() });
    assert!(
        matches!(&sent, Err(Error::Limit(text)) if text == "the job is asked to end"),
        "{sent:?}"
    );
}
