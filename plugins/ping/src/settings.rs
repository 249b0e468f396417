//! The command line as settings; refusals are in ping's words.

use std::net::IpAddr;
use std::time::Duration;

use blitz_plugin::probes::{Probe, Protocol, Target};
use blitz_plugin::web::Family;
use blitz_plugin::{Arguments, Failure};

use crate::Args;

/// As in ping: anything but an answer or none.
pub(crate) const EXIT_ERROR: u8 = 2;

/// Where nobody says how often: as on Windows, since nobody presses ^C from afar.
const COUNT_DEFAULT: u32 = 4;
/// As in ping, for those who are not root.
const INTERVAL_MIN: Duration = Duration::from_millis(2);
/// What an IPv4 packet has room for.
const SIZE_MAX: i64 = 65_507;
/// The header of UDP or of an echo.
const SHORT_HEADER_BYTES: u16 = 8;
/// Source ports that TCP probes go through: none is used again while its last connection may linger.
const FLOWS: u32 = 256;

/// A whole command line.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) target: Target,
    /// For TCP and UDP.
    pub(crate) port: u16,
    /// Behind the header of an echo.
    pub(crate) size: u16,
    ttl: u8,
    /// `None`: until the deadline.
    pub(crate) count: Option<u32>,
    pub(crate) interval: Duration,
    /// `-W`.
    pub(crate) linger: Duration,
    /// `-w`.
    pub(crate) deadline: Option<Duration>,
    pub(crate) is_quiet: bool,
    pub(crate) shows_time: bool,
    pub(crate) tells_outstanding: bool,
}

impl Settings {
    /// `given` is the same command line: what of it is no default.
    pub(crate) fn read(args: &Args, given: &Arguments) -> Result<Self, Failure> {
        let refuse = |text: &str| Err(Failure::new(EXIT_ERROR, text));
        let family = match (args.ipv4, args.ipv6) {
            (true, true) => return refuse("only one -4 or -6 option may be specified"),
            (true, false) => Family::Ipv4,
            (false, true) => Family::Ipv6,
            (false, false) => Family::Any,
        };
        let (protocol, port) = match (args.tcp, args.udp) {
            (None, None) => (Protocol::Icmp, 0),
            (Some(port), None) => (Protocol::Tcp, within(port, 1, u16::MAX.into())?),
            (None, Some(port)) => (Protocol::Udp, within(port, 1, u16::MAX.into())?),
            (Some(_), Some(_)) => return refuse("only one of --tcp and --udp may be given"),
        };
        for (argument, option) in [("size", "-s"), ("pmtudisc", "-M")] {
            if protocol == Protocol::Tcp && given.has(argument) {
                return refuse(&format!("{option} is not for TCP probes: a SYN carries no data"));
            }
        }
        if args.interval < INTERVAL_MIN {
            return refuse("cannot flood; minimal interval allowed is 2 ms: -i 0.002");
        }
        // As in ping, 0 is none.
        let deadline = args.deadline.filter(|deadline| !deadline.is_zero());
        let count = match args.count {
            Some(count) => Some(within(count, 1, u32::MAX.into())?),
            None => deadline.is_none().then_some(COUNT_DEFAULT),
        };
        let target = Target {
            host: args.host.clone(),
            family,
            protocol,
            dont_fragment: args.pmtudisc == "do",
            // As in ping: who gives an address wants to see it.
            names: !args.numeric && args.host.parse::<IpAddr>().is_err(),
        };
        Ok(Self {
            target,
            port,
            size: within(args.size, 0, SIZE_MAX)?,
            ttl: within(args.ttl, 1, u8::MAX.into())?,
            count,
            interval: args.interval,
            linger: args.linger,
            deadline,
            is_quiet: args.summary,
            shows_time: args.timestamps,
            tells_outstanding: args.outstanding,
        })
    }

    /// A whole packet to this address; what does not fit into one is refused.
    pub(crate) fn size_bytes(&self, address: IpAddr) -> Result<u16, Failure> {
        let headers = SHORT_HEADER_BYTES + if address.is_ipv4() { 20 } else { 40 };
        self.size
            .checked_add(headers)
            .ok_or_else(|| out_of_range(self.size.into(), 0, (u16::MAX - headers).into()))
    }

    pub(crate) fn probe(&self, sequence: u32, size_bytes: u16) -> Probe {
        let flow = match self.target.protocol {
            Protocol::Tcp => u16::try_from(sequence % FLOWS).unwrap_or(0),
            Protocol::Udp | Protocol::Icmp => 0,
        };
        Probe { id: sequence, ttl: self.ttl, size_bytes, flow, port: self.port }
    }
}

fn within<T: TryFrom<i64>>(value: i64, min: i64, max: i64) -> Result<T, Failure> {
    let fits = Some(value).filter(|value| (min..=max).contains(value));
    let refuse = || out_of_range(value, min, max);
    T::try_from(fits.ok_or_else(refuse)?).map_err(|_| refuse())
}

fn out_of_range(value: i64, min: i64, max: i64) -> Failure {
    let text = format!("invalid argument: '{value}': out of range: {min} <= value <= {max}");
    Failure::new(EXIT_ERROR, text)
}
