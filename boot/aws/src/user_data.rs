//! `blitz-boot user-data`: what a machine is told at its first boot.

use std::time::Duration;

use blitz_boot_core::bundle::{Channel, PublicKey};
use blitz_boot_core::user_data::value::{
    AwsRegion, BaseUrl, Bucket, EngineFlags, EngineName, EngineWord, GatewayUrl, Life, Prefix,
    RegionName,
};
use blitz_boot_core::user_data::{self, Boot, Provider};
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::stdout::print;

/// What keys in a bucket begin with, as `publish` has it.
const PREFIX: &str = "engines";

/// Slots of an engine, as a fleet file has them at most.
const SLOTS_MAX: i64 = blitz_boot_core::fleet::SLOTS_MAX as i64;

/// The flags of `user-data`.
#[derive(Debug, Args)]
pub(crate) struct UserDataArgs {
    /// The blitz region that the engine works for
    #[arg(short, long, value_name = "NAME")]
    region: RegionName,
    /// A gateway that gives the engine its tokens; repeat for others
    #[arg(long = "join", value_name = "URL", required = true)]
    joins: Vec<GatewayUrl>,
    /// The public key of who signs bundles, as 'key' prints it
    #[arg(long, value_name = "KEY")]
    key: PublicKey,
    /// What kind of machine it is
    #[arg(long, value_enum, default_value_t = ProviderWord::Ec2)]
    provider: ProviderWord,
    /// ec2: the bucket of the bundles
    #[arg(long, value_name = "NAME", required_if_eq("provider", "ec2"))]
    bucket: Option<Bucket>,
    /// ec2: what keys in the bucket begin with [default: engines]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<Prefix>,
    /// ec2: the region of AWS that the bucket is in
    #[arg(long, value_name = "NAME", required_if_eq("provider", "ec2"))]
    bucket_place: Option<AwsRegion>,
    /// ec2: another store that speaks as S3 does
    #[arg(long, value_name = "URL")]
    s3_url: Option<BaseUrl>,
    /// ec2: other instance metadata than those of EC2
    #[arg(long, value_name = "URL")]
    imds_url: Option<BaseUrl>,
    /// generic, none: a web server with the bundles
    #[arg(long, value_name = "URL", required_if_eq_any([("provider", "generic"), ("provider", "none")]))]
    base: Option<BaseUrl>,
    /// generic, none: the engine's name [default: the id that the cloud gave it; none: its host name]
    #[arg(long, value_name = "NAME")]
    id: Option<EngineName>,
    /// The channel: stable or canary
    #[arg(long, value_name = "NAME", default_value = "stable")]
    channel: Channel,
    /// The least serial of the channel that is taken: older pointers are refused
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    serial_min: u64,
    /// Jobs that the engine runs at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SLOTS_MAX))]
    slots: Option<u16>,
    /// The key of a publisher of plugins to trust; repeat for others
    #[arg(long = "trust-key", value_name = "KEY")]
    trusted: Vec<PublicKey>,
    /// The key of a publisher whose native plugins to trust too; repeat for others
    #[arg(long = "trust-native-key", value_name = "KEY")]
    trusted_native: Vec<PublicKey>,
    /// ec2, generic: the longest life of the machine, in hours [default: 24]
    #[arg(long, value_name = "HOURS")]
    life_hours: Option<u32>,
    /// More flags of 'blitz engine': -- --allow-target 10.0.0.0/8 --load-contact ops@example.com
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<EngineWord>,
}

/// Kinds of machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProviderWord {
    /// An instance of EC2: a cloud-init document
    Ec2,
    /// A machine of another cloud, which ends with its engine: a cloud-init document
    Generic,
    /// A machine that stays: a script for sh
    None,
}

impl UserDataArgs {
    /// A flag that says nothing of this kind of machine is not passed over: who gave it meant something by it.
    fn check(&self) -> Result<(), Failure> {
        use ProviderWord::{Ec2, Generic, None};
        let foreign = [
            ("--bucket", self.bucket.is_some(), &[Generic, None][..]),
            ("--bucket-place", self.bucket_place.is_some(), &[Generic, None]),
            ("--prefix", self.prefix.is_some(), &[Generic, None]),
            ("--s3-url", self.s3_url.is_some(), &[Generic, None]),
            ("--imds-url", self.imds_url.is_some(), &[Generic, None]),
            ("--base", self.base.is_some(), &[Ec2]),
            ("--id", self.id.is_some(), &[Ec2]),
            ("--life-hours", self.life_hours.is_some(), &[None]),
        ];
        let provider = match self.provider {
            Ec2 => "ec2",
            Generic => "generic",
            None => "none",
        };
        let is_foreign = |(_, is_given, to): &&(_, bool, &[ProviderWord])| {
            *is_given && to.contains(&self.provider)
        };
        match foreign.iter().find(is_foreign) {
            Some(&(flag, ..)) => Err(Failure::Foreign { flag, provider }),
            Option::None => Ok(()),
        }
    }
}

/// Prints the document, or the script.
pub(crate) fn run(args: UserDataArgs) -> Result<(), Failure> {
    args.check()?;
    let UserDataArgs { provider, bucket, prefix, bucket_place, base, id: engine, .. } = args;
    let no_bucket = || {
        Failure::Usage("machines of EC2 read a bucket: give --bucket NAME and --bucket-place NAME")
    };
    let no_base =
        || Failure::Usage("machines elsewhere than at EC2 read from a web server: give --base URL");
    let provider = match provider {
        ProviderWord::Ec2 => Provider::Ec2 {
            bucket: bucket.ok_or_else(no_bucket)?,
            prefix: Some(prefix.map_or_else(|| PREFIX.parse(), Ok)?),
            bucket_region: bucket_place.ok_or_else(no_bucket)?,
            endpoint: args.s3_url,
            imds: args.imds_url,
        },
        ProviderWord::Generic => Provider::Generic { base: base.ok_or_else(no_base)?, engine },
        ProviderWord::None => Provider::None { base: base.ok_or_else(no_base)?, engine },
    };
    let life = args.life_hours.map(|hours| Life::new(Duration::from_hours(hours.into())));
    let is_document = !matches!(provider, Provider::None { .. });
    let boot = Boot {
        region: args.region,
        joins: args.joins,
        provider,
        channel: args.channel,
        serial_min: args.serial_min,
        key: args.key,
        slots: args.slots,
        trusted: args.trusted,
        trusted_native: args.trusted_native,
        flags: EngineFlags::new(args.flags)?,
        life: life.transpose()?.unwrap_or(Life::DEFAULT),
    };
    let text = if is_document { user_data::render(&boot) } else { user_data::installer(&boot) };
    print(&text?)
}
