//! Truth: a server that stops for one second in ten. With even arrivals a tenth of them sees a wait from nothing to a
//! second, each length as often as any other: p99 is 900 ms and p99.9 is 990 ms.

use std::time::Duration;

use blitz_report::Latency;

use super::server::Served;
use super::site::Site;
use crate::sample::say;

const STALL: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(10);

/// Three stalls, whole.
const PLAN: &str = "1000-1000:30";

pub(crate) async fn measure() {
    say(
        "a server that stops 1 s in 10, 1,000 requests a second for 30 s, 100 connections; response time in ms",
    );
    let served = Served::start(16, Some((STALL, EVERY))).await;
    let site = Site::start(&[]).await;
    let url = format!("http://{}/", served.address);
    match site.rush(&["--rate", PLAN, "--connections", "100", &url]).await {
        Ok(report) => {
            let total = &report.total;
            say(&format!(
                "  asked {}, sent {}, answered {}",
                total.asked, total.sent, total.tally.hits
            ));
            for (name, quantile, truth, aim) in [
                ("p50", 0.5, 0.0, "within 0.2 ms"),
                ("p99", 0.99, 900.0, "within 2 %"),
                ("p99.9", 0.999, 990.0, "within 2 %"),
            ] {
                let ms = |latency: &Latency| latency.quantile_us(quantile) as f64 / 1e3;
                let (told, service) = (ms(&total.tally.response), ms(total.tally.service()));
                say(&format!(
                    "  {name:<6} {told:>8.2}   truth {truth:>6.1}   service time alone {service:>8.2}   ({aim})"
                ));
            }
        }
        Err(text) => say(&format!("  failed: {text}")),
    }
    site.stop().await;
}
