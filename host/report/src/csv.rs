//! A row for each second, as CSV (RFC 4180). Times are in microseconds; a column is empty where nothing was measured.
//!
//! | column | what |
//! |---|---|
//! | `second` | since the start, from 0 |
//! | `warm_up` | 1 in the warm-up, which counts nowhere else |
//! | `parts` | engines that told of it |
//! | `users`, `connections`, `backlog` | at its end: users (or transactions under way), open connections, requests due and not sent |
//! | `asked`, `sent` | requests that were due, and that were sent |
//! | `hits`, `hits_1xx` to `hits_5xx` | answers, all and by the class of their status |
//! | `errors`, `timeouts` | all errors (answers of 4xx and 5xx that no `-s` expects are among them), and time-outs alone |
//! | `sent_bytes`, `received_bytes` | |
//! | `response_us_*` | from when a request was due to the last byte of its answer |
//! | `service_us_*` | from when it was sent |
//! | `lag_us_p99`, `connect_us_p99`, `tls_us_p99` | the generator's own lag, TCP connects, TLS handshakes |
//! | `cpu_us`, `starved_us` | of the busiest worker, and of the one that waited most for a processor |
//! | `repeated` | requests that were sent once more, because the server closed a kept connection before it answered |

use std::fmt::Write as _;

use crate::latency::Latency;
use crate::report::Report;

const HEAD: &str = "second,warm_up,parts,users,connections,backlog,asked,sent,hits,hits_1xx,hits_2xx,hits_3xx,hits_4xx,\
    hits_5xx,errors,timeouts,sent_bytes,received_bytes,response_us_mean,response_us_p50,response_us_p90,response_us_p95,\
    response_us_p99,response_us_p99_9,response_us_max,service_us_p50,service_us_p95,service_us_p99,lag_us_p99,\
    connect_us_p99,tls_us_p99,cpu_us,starved_us,repeated";

/// The seconds as CSV.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut text = format!("{HEAD}\r\n");
    for second in &report.seconds {
        let tally = &second.tally;
        let (response, service) = (&tally.response, tally.service());
        let time = |latency: &Latency, us: u64| {
            if latency.is_empty() { String::new() } else { us.to_string() }
        };
        let mut cells: Vec<String> = [
            second.second.into(),
            u64::from(second.is_warm_up),
            second.parts.into(),
            second.users,
            second.connections,
            second.backlog,
            second.asked,
            second.sent,
            tally.hits,
        ]
        .map(|number| number.to_string())
        .to_vec();
        cells.extend((1..=5).map(|class| tally.class(class).to_string()));
        let counts = [tally.errors.total, tally.timeouts(), tally.sent_bytes, tally.received_bytes];
        cells.extend(counts.map(|number| number.to_string()));
        let responses = [
            response.mean_us(),
            response.p50_us(),
            response.quantile_us(0.9),
            response.p95_us(),
            response.p99_us(),
            response.quantile_us(0.999),
            response.max_us(),
        ];
        cells.extend(responses.map(|us| time(response, us)));
        cells.extend(
            [service.p50_us(), service.p95_us(), service.p99_us()].map(|us| time(service, us)),
        );
        cells
            .extend([&second.lag, &second.connect, &second.tls].map(|one| time(one, one.p99_us())));
        cells.extend([second.cpu_us, second.starved_us, tally.repeated].map(|us| us.to_string()));
        let _ = write!(text, "{}\r\n", cells.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_row_has_every_column() {
        let text = csv(&fixture::hangs().report());
        let columns = HEAD.split(',').count();
        assert!(text.lines().all(|line| line.split(',').count() == columns), "{text}");
        insta::assert_snapshot!(text.replace('\r', ""));
    }
}
