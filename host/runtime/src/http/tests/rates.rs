//! An exchange that waits for its turn.

use std::time::{Duration, Instant};

use super::server::{Then, get, serve};
use crate::TargetPolicy;
use crate::egress::Egress;
use crate::http::{Client, Request};
use crate::rate::Rates;

#[tokio::test]
async fn the_wait_is_in_no_phase_and_in_no_time_limit() {
    let rates = Rates { target_per_s: 1, target_burst: 1, ..Rates::UNLIMITED };
    let client = Client::new(Egress::paced(TargetPolicy::any(), Vec::new(), rates));
    for expected in [Duration::ZERO, Duration::from_millis(700)] {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let (url, _served) = serve(answer, 0, Then::Close).await;
        let limit = Some(Duration::from_millis(600));
        let request = Request { timeout: limit, connect_timeout: limit, ..get(&url) };
        let begun = Instant::now();
        let answer = client.exchange(request).await.unwrap();
        assert!(begun.elapsed() >= expected, "it did not wait: {:?}", begun.elapsed());
        let phases = answer.phases;
        assert!(phases.first_byte < Duration::from_millis(600), "{phases:?}");
        assert!(phases.dns <= phases.connect && phases.connect < phases.first_byte, "{phases:?}");
    }
}
