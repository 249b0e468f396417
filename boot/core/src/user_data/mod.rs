//! User data: what a machine is told at its first boot, so that it becomes an engine by itself or ends itself.
//!
//! [`render`] prints a cloud-init document, and [`installer`] the same for machines that nobody launches: in both it is one
//! shell script, whose words are [checked](value) and whose other lines are the files beside this one, the same for all. The
//! script fetches the channel's pointer, the manifest and the files of a [bundle](crate::bundle); it has no byte of them run
//! before the signatures of the first two and the digests of all are right, and puts them in place by renaming.
//!
//! *Invariants:* there is no secret in it, as whoever is on a machine can read its user data: on EC2 the machine shows its
//! instance identity, elsewhere it has a join token that reached it on another way. It is made for no kind of processor: the
//! machine says which it has.

mod script;
pub mod value;

use crate::bundle::{Channel, PublicKey};

use self::value::{
    AwsRegion, BaseUrl, Bucket, EngineFlags, EngineName, GatewayUrl, Life, Prefix, RegionName,
};

/// Bytes of user data that EC2 takes; most other clouds take more.
pub const USER_DATA_BYTES_MAX: usize = 16_384;

/// Seconds that a machine has from the start of its script to a running engine: less than the fleet waits for its registration.
const BOOT_S: u64 = 240;

/// Gateways in one document: an engine asks one after the other.
pub const JOINS_MAX: usize = 8;

/// What a machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The region that its engine works for.
    pub region: RegionName,
    /// The gateways by which it joins; one to [`JOINS_MAX`].
    pub joins: Vec<GatewayUrl>,
    /// Where its program comes from, and who it is.
    pub provider: Provider,
    /// Which program.
    pub channel: Channel,
    /// The least serial of the channel's pointer that it takes.
    pub serial_min: u64,
    /// Who signs.
    pub key: PublicKey,
    /// Jobs that its engine runs at a time; the engine's own default otherwise.
    pub slots: Option<u16>,
    /// Publishers of plugins that its engine believes, beside the built-in ones and those of the bundle.
    pub trusted: Vec<PublicKey>,
    /// Publishers whose native plugins it believes too. Nothing else lets an engine run a native plugin, not its bundle either.
    pub trusted_native: Vec<PublicKey>,
    /// What else its engine is told.
    pub flags: EngineFlags,
    /// How long it lives at most. A machine that stays has no such end.
    pub life: Life,
}

/// What kind of machine it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// An instance of EC2: it reads S3 with its role, and joins by its instance identity.
    Ec2 {
        /// The bucket.
        bucket: Bucket,
        /// Where the objects lie in it.
        prefix: Option<Prefix>,
        /// Where the bucket is.
        bucket_region: AwsRegion,
        /// Another store that speaks as S3 does; that of AWS otherwise.
        endpoint: Option<BaseUrl>,
        /// Other instance metadata than those at the usual address: a double, for tests.
        imds: Option<BaseUrl>,
    },
    /// A machine of another cloud, which powers itself off when its engine ends; what is off may still cost something there, so
    /// that the cloud should be told to remove it. It joins with the token in `/etc/blitz/join-token`, which is not
    /// of its user data.
    Generic {
        /// A web server with the objects.
        base: BaseUrl,
        /// Its engine's name; the id that the cloud gave it otherwise.
        engine: Option<EngineName>,
    },
    /// A machine that stays, and is told by a person: `curl .../install.sh | sudo BLITZ_JOIN_TOKEN=... sh`.
    None {
        /// A web server with the objects.
        base: BaseUrl,
        /// Its engine's name; its host name otherwise.
        engine: Option<EngineName>,
    },
}

/// Why there is no user data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBoot {
    /// More than a cloud takes.
    #[error(
        "the user data have {bytes} bytes, {max} are allowed: give fewer gateways (now {joins}), trusted keys (now {trusted}) and words for the engine (now {words})"
    )]
    TooLarge {
        /// What they have.
        bytes: usize,
        /// The limit.
        max: usize,
        /// How many gateways are in them.
        joins: usize,
        /// How many keys are in them.
        trusted: usize,
        /// How many words for the engine are in them.
        words: usize,
    },
    /// No gateway, or too many.
    #[error("an engine joins by 1 to {max} gateways, {count} were given: name them with --join")]
    Joins {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// No cloud-init there.
    #[error(
        "a machine that stays is told by an installer and has no user data: ask for the installer"
    )]
    NoCloud,
}

/// The cloud-init document.
///
/// # Errors
///
/// [`BadBoot`].
pub fn render(boot: &Boot) -> Result<String, BadBoot> {
    if matches!(boot.provider, Provider::None { .. }) {
        return Err(BadBoot::NoCloud);
    }
    let script = without_comments(&installer(boot)?);
    let script: String = script
        .lines()
        .map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("    {line}\n"),
        })
        .collect();
    let text = format!(
        "#cloud-config\n\
         # An engine of blitz in region {region}. A machine on which it does not start ends itself.\n\
         write_files:\n\
         - path: {SCRIPT}\n\
         \x20 owner: root:root\n\
         \x20 permissions: '0700'\n\
         \x20 content: |\n\
         {script}\
         runcmd:\n\
         - [timeout, -k, '10', '{BOOT_S}', sh, {SCRIPT}]\n\
         power_state:\n\
         \x20 mode: poweroff\n\
         \x20 delay: now\n\
         \x20 timeout: 30\n\
         \x20 message: blitz did not start, this machine ends\n\
         \x20 condition: test ! -e /run/blitz-boot/ok\n",
        region = boot.region,
    );
    match text.len() {
        bytes if bytes > USER_DATA_BYTES_MAX => Err(BadBoot::TooLarge {
            bytes,
            max: USER_DATA_BYTES_MAX,
            joins: boot.joins.len(),
            trusted: boot.trusted.len() + boot.trusted_native.len(),
            words: boot.flags.count(),
        }),
        _ => Ok(text),
    }
}

/// User data are short: what is for readers is in [`installer`].
fn without_comments(script: &str) -> String {
    let is_read_by_people =
        |line: &&str| line.trim_start().starts_with('#') && !line.starts_with("#!");
    let lines = script.lines().filter(|line| !is_read_by_people(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Why a text is not for a launch template: whoever may describe one reads it, so that nothing else may come there by mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOfEc2 {
    /// More than EC2 takes.
    #[error("it has more than {USER_DATA_BYTES_MAX} bytes, which no user data have")]
    TooLarge,
    /// Some other file.
    #[error("it does not begin with '#cloud-config', or does not have the script of blitz-boot")]
    Other,
    /// Of another provider.
    #[error("it is for machines of another cloud, and reads no bucket")]
    Elsewhere,
}

/// Sees whether this is what [`render`] printed for [`Provider::Ec2`], perhaps with more keys of cloud-init beside it.
///
/// # Errors
///
/// [`NotOfEc2`].
pub fn check_of_ec2(text: &str) -> Result<(), NotOfEc2> {
    if text.len() > USER_DATA_BYTES_MAX {
        return Err(NotOfEc2::TooLarge);
    }
    let file = format!("- path: {SCRIPT}");
    if !text.starts_with("#cloud-config\n") || !text.lines().any(|line| line == file) {
        return Err(NotOfEc2::Other);
    }
    let of_ec2 = format!("{}='", script::S3_REGION);
    match text.lines().any(|line| line.trim_start().starts_with(&of_ec2)) {
        true => Ok(()),
        false => Err(NotOfEc2::Elsewhere),
    }
}

/// Where cloud-init puts the script.
const SCRIPT: &str = "/var/lib/blitz-boot/install.sh";

/// The script alone, for `sh`.
///
/// # Errors
///
/// [`BadBoot::Joins`].
pub fn installer(boot: &Boot) -> Result<String, BadBoot> {
    match boot.joins.len() {
        1..=JOINS_MAX => Ok(script::render(boot)),
        count => Err(BadBoot::Joins { count, max: JOINS_MAX }),
    }
}

/// The systemd unit of an engine, as the script writes it: it reads its flags from `/etc/blitz/engine.env`.
pub const ENGINE_UNIT: &str = include_str!("../../../files/systemd/blitz-engine.service");

/// What load tests want of the kernel, for `/etc/sysctl.d`.
pub const SYSCTLS: &str = include_str!("../../../files/systemd/80-blitz.conf");

#[cfg(test)]
mod tests;
