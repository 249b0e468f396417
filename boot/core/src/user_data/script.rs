//! The script: a head of checked words, and then lines that are the same for all.
//!
//! All of it is functions but for the last line, so that a script that was cut off on its way does nothing.

use std::fmt::Write as _;

use super::value::AwsRegion;
use super::{Boot, ENGINE_UNIT, Provider, SYSCTLS};

/// Seconds for one object: a program of 100 MB at 4 Mbit/s.
const FETCH_S: u64 = 200;

/// Machines of a fleet that were launched together do not end together: they end in the last part of their life, so much of
/// it.
const LIFE_SPREAD_PART: u64 = 10;

/// The variable that only instances of EC2 are told.
pub(super) const S3_REGION: &str = "S3_REGION";

pub(super) fn render(boot: &Boot) -> String {
    let parts = Parts::of(&boot.provider);
    let units = include_str!("files/units.sh")
        .replace("@SYSCTL@", SYSCTLS.trim_end())
        .replace("@UNIT@", ENGINE_UNIT.trim_end());
    let mut text = format!(
        "#!/bin/sh\n\
         # Makes this machine an engine of blitz in region {region}: fetches the bundle of channel {channel}, checks it, and\n\
         # starts it. There is no secret in this text.\n\
         set -eu\n\
         umask 022\n",
        region = boot.region,
        channel = boot.channel,
    );
    let mut set = |name: &str, value: &str| {
        debug_assert!(!value.contains('\''), "a checked word has no quote");
        writeln!(text, "{name}='{value}'").expect("a string takes all");
    };
    set("REGION", &boot.region.to_string());
    set("CHANNEL", boot.channel.name());
    set("SERIAL_MIN", &boot.serial_min.to_string());
    set("BASE", &base(&boot.provider));
    set("FETCH_S", &FETCH_S.to_string());
    set("KEY_PEM", boot.key.to_pem().trim_end());
    set("ENGINE_FLAGS", &engine_flags(boot));
    match &boot.provider {
        Provider::Ec2 { bucket_region, imds, .. } => {
            let imds = imds.as_ref().map_or_else(|| IMDS.to_owned(), ToString::to_string);
            set("IMDS", &imds);
            set(S3_REGION, &bucket_region.to_string());
        }
        Provider::Generic { engine, .. } | Provider::None { engine, .. } => {
            set("ENGINE_ID", &engine.as_ref().map(ToString::to_string).unwrap_or_default());
        }
    }
    if parts.is_ephemeral {
        let life = boot.life.seconds();
        let spread = life / LIFE_SPREAD_PART;
        set("LIFE_S", &(life - spread).to_string());
        set("LIFE_SPREAD_S", &spread.to_string());
    }
    let start = match parts.is_ephemeral {
        true => include_str!("files/start_ephemeral.sh"),
        false => include_str!("files/start_lasting.sh"),
    };
    for part in [include_str!("files/install.sh"), parts.fetch, parts.identify, &units, start] {
        text.push('\n');
        text.push_str(part);
    }
    text.push_str("\nmain\n");
    text
}

/// The address of instance metadata, everywhere on EC2.
const IMDS: &str = "http://169.254.169.254";

/// The lines that differ by the kind of machine.
struct Parts {
    fetch: &'static str,
    identify: &'static str,
    is_ephemeral: bool,
}

impl Parts {
    fn of(provider: &Provider) -> Self {
        let https = include_str!("files/fetch_https.sh");
        let token = include_str!("files/identify_token.sh");
        match provider {
            Provider::Ec2 { .. } => Self {
                fetch: include_str!("files/fetch_s3.sh"),
                identify: include_str!("files/identify_ec2.sh"),
                is_ephemeral: true,
            },
            Provider::Generic { .. } => Self { fetch: https, identify: token, is_ephemeral: true },
            Provider::None { .. } => Self { fetch: https, identify: token, is_ephemeral: false },
        }
    }
}

/// Where the keys of objects are appended, behind a `/`.
fn base(provider: &Provider) -> String {
    let (bucket, prefix, region, endpoint) = match provider {
        Provider::Generic { base, .. } | Provider::None { base, .. } => return base.to_string(),
        Provider::Ec2 { bucket, prefix, bucket_region, endpoint, .. } => {
            (bucket.to_string(), prefix, bucket_region, endpoint)
        }
    };
    let place = match endpoint {
        Some(endpoint) => format!("{endpoint}/{bucket}"),
        // A certificate for all buckets has no name with a dot in that place.
        None if bucket.contains('.') => format!("https://{}/{bucket}", s3_host(region)),
        None => format!("https://{bucket}.{}", s3_host(region)),
    };
    match prefix {
        Some(prefix) => format!("{place}/{prefix}"),
        None => place,
    }
}

fn s3_host(region: &AwsRegion) -> String {
    let region = region.to_string();
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("s3.{region}.amazonaws.com{suffix}")
}

/// The flags of `blitz engine` that are the same for all machines of this user data.
fn engine_flags(boot: &Boot) -> String {
    let mut flags = format!("--region {}", boot.region);
    let mut add = |flag: &str, value: &str| {
        flags.push_str(&format!(" {flag} {value}"));
    };
    for join in &boot.joins {
        add("--join", &join.to_string());
    }
    if let Some(slots) = boot.slots {
        add("--slots", &slots.to_string());
    }
    for key in &boot.trusted {
        add("--trust-key", &key.to_string());
    }
    for key in &boot.trusted_native {
        add("--trust-native-key", &key.to_string());
    }
    if let Provider::Ec2 { imds, .. } = &boot.provider {
        match imds {
            Some(imds) => add("--imds", &imds.to_string()),
            None => flags.push_str(" --imds"),
        }
    }
    flags + &boot.flags.to_string()
}
