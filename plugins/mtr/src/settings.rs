//! The command line as settings: ranges checked, and the probes' shape.

use std::time::Duration;

use blitz_plugin::Failure;
use blitz_plugin::probes::{Protocol, Target};
use blitz_plugin::web::Family;

use crate::Args;
use crate::report::Column;

/// Hops that are probed. No way on the Internet is longer, and a record of all fits into 64 KiB.
const HOPS_MAX: i64 = 64;

/// Rounds: at one a second more than a day, which is past the time of any job.
const ROUNDS_MAX: i64 = 100_000;

/// When nobody says: as mtr's report; with several flows each round is as many probes.
const ROUNDS: i64 = 10;
const ROUNDS_PATHS: i64 = 3;

/// The shortest pause: routers answer about once a second, and an engine bounds its probes anyway.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Flows of one round: a router spreads over 16 ways at most in practice, and 64 flows find them.
const FLOWS_MAX: i64 = 64;

/// As mtr has it.
const SIZES: (i64, i64) = (28, 4470);

/// Where datagrams go when nobody says: traceroute's first port, at which nobody listens.
const UDP_PORT: i64 = 33434;
/// As mtr has it.
const TCP_PORT: i64 = 80;

/// A whole command line.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    pub(crate) port: u16,
    pub(crate) size_bytes: u16,
    pub(crate) first_ttl: u8,
    pub(crate) last_ttl: u8,
    pub(crate) rounds: u32,
    pub(crate) interval: Duration,
    pub(crate) flows: u16,
    /// Records of kind `path` are given meanwhile.
    pub(crate) is_live: bool,
    /// Hosts are not cut in the report.
    pub(crate) is_wide: bool,
    pub(crate) shows_addresses: bool,
    pub(crate) shows_networks: bool,
    pub(crate) shows_labels: bool,
    pub(crate) columns: Vec<Column>,
}

impl Settings {
    pub(crate) fn read(args: Args) -> Result<Self, Failure> {
        let protocol = match (args.udp, args.tcp) {
            (true, true) => return Err(usage("-u and -T are mutually exclusive")),
            (true, false) => Protocol::Udp,
            (false, true) => Protocol::Tcp,
            (false, false) => Protocol::Icmp,
        };
        let family = match (args.ipv4, args.ipv6) {
            (true, true) => return Err(usage("-4 and -6 are mutually exclusive")),
            (true, false) => Family::Ipv4,
            (false, true) => Family::Ipv6,
            (false, false) => Family::Any,
        };
        let port = args.port.unwrap_or(if args.tcp { TCP_PORT } else { UDP_PORT });
        let first_ttl: u8 = within("-f", args.first_ttl, 1, HOPS_MAX)?;
        let last_ttl: u8 = within("-m", args.max_ttl, 1, HOPS_MAX)?;
        if first_ttl > last_ttl {
            let text = format!("the first hop is {first_ttl}, and the last one {last_ttl}");
            return Err(usage(&format!("{text}: give -m {first_ttl} or more")));
        }
        if args.interval < INTERVAL_MIN {
            let [least, given] = [INTERVAL_MIN, args.interval].map(|time| time.as_secs_f64());
            return Err(usage(&format!("-i is {least} s or more, not {given} s")));
        }
        let rounds = if args.paths > 1 { ROUNDS_PATHS } else { ROUNDS };
        Ok(Self {
            target: Target {
                host: args.host,
                family,
                protocol,
                dont_fragment: false,
                names: !args.no_dns,
            },
            port: within("-P", port, 1, i64::from(u16::MAX))?,
            size_bytes: within("-s", args.psize, SIZES.0, SIZES.1)?,
            first_ttl,
            last_ttl,
            rounds: within("-c", args.report_cycles.unwrap_or(rounds), 1, ROUNDS_MAX)?,
            interval: args.interval,
            flows: within("--paths", args.paths, 1, FLOWS_MAX)?,
            is_live: !args.report && !args.report_wide,
            is_wide: !args.report || args.report_wide,
            shows_addresses: args.show_ips,
            shows_networks: args.aslookup,
            shows_labels: args.mpls,
            columns: Column::list(&args.order).map_err(|text| usage(&text))?,
        })
    }
}

fn within<T: TryFrom<i64>>(option: &str, value: i64, least: i64, most: i64) -> Result<T, Failure> {
    let fits = Some(value).filter(|value| (least..=most).contains(value));
    fits.and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| usage(&format!("{option} is {least} to {most}, not {value}")))
}

/// Status 1, as mtr's.
fn usage(text: &str) -> Failure {
    Failure::new(1, text)
}
