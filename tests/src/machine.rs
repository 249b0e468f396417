//! A machine that boots into an engine as an instance of EC2 does, without EC2: from its user data to a job.
//!
//! A [`World`] has all that such a machine meets, in network namespaces: its metadata ([`Imds`]) where every instance has them, an
//! [`aws`] with the bundle in S3 and signatures and policies checked, a [`site`] of store and gateway, and a page on what the
//! engine takes for the internet. Nothing of it is reached from outside, and nothing in it reaches outside. [`chroot`] boots a machine in seconds: the stages of cloud-init in
//! the root file system of an image, without a kernel and a systemd of their own. [`vm`] boots a whole one in minutes.
//!
//! *Not here:* `blitz-boot`, which is tested beside the SDK of AWS. What is published, and what the machine is told, is rendered
//! by the same code.

pub mod aws;
pub mod chroot;
pub mod site;
pub mod vm;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use blitz_boot_core::bundle::{
    Bundle, Channel, Digest, Glibc, Input, Object, PROGRAM, Pointer, SigningKey, Target, layout,
};
use blitz_boot_core::user_data::value::{EngineFlags, Life};
use blitz_boot_core::user_data::{Boot, Provider, render};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::net::{Namespace, Unavailable};
use crate::{Counter, Imds, imds};
use aws::Aws;
use site::Site;

/// The machine.
pub const INSTANCE: &str = "i-0feedface12345678";

/// The region of blitz that it works for.
pub const REGION: &str = "japan";

/// Where the services of the site and of AWS are. A virtual machine without privileges on the network, as qemu's own, finds under
/// this address what listens on the loopback of its host; so all of them listen everywhere, and nobody sees a difference.
const HOST: &str = "10.0.2.2";

/// A page on the public internet, as far as the engine can tell: it may go there.
pub const PAGE: &str = "8.8.8.8";

/// The flags of a job for it, which has time until a machine without a processor of its own has done it.
pub const THERE: [&str; 6] = ["-r", REGION, "--queue-timeout", "5m", "--timeout", "5m"];

/// Where its engine is told not to go.
const CLOSED: &str = "*:25";

/// Where instance metadata are, for every instance.
const METADATA: &str = "169.254.169.254";

/// No limit: what this machine built needs not run on all images.
const GLIBC_MAX: Glibc = Glibc { major: 2, minor: 99 };

/// What the pointer of the channel counts.
const SERIAL: u64 = 7;

/// Whatever a command here does, it does within this time, also when a machine without a processor of its own has to do it.
const LIMIT: Duration = Duration::from_secs(300);

/// All that a machine meets. Dropped, it is gone with all its processes.
#[derive(Debug)]
pub struct World {
    /// The machine's metadata.
    pub imds: Imds,
    /// S3 and who may read it.
    pub aws: Aws,
    /// Store and gateway.
    pub site: Site,
    /// What jobs ask for.
    pub page: Counter,
    key: SigningKey,
    /// Where the page is: not on the machine of the gateway, which asks nobody there whose it is.
    _internet: Namespace,
    space: Arc<Namespace>,
}

impl World {
    /// Starts everything in this namespace. `carrier` is the program that acts as `blitz` under that name, `moto` the one that
    /// answers as AWS.
    ///
    /// # Panics
    ///
    /// When a part does not start.
    pub async fn start(space: Namespace, carrier: &Path, moto: &Path) -> Self {
        for address in [HOST, METADATA] {
            space.ip(&["addr", "add", &format!("{address}/32"), "dev", "lo"]).expect("an address");
        }
        space.set(&[("net/ipv4/ip_forward", "1")]).expect("a way for packets");
        let internet = neighbour(&space, "internet", PAGE).expect("a network");
        let listener = |space: &Namespace, address: &str| {
            TcpListener::from_std(space.listener(&format!("{address}:80"))).expect("a listener")
        };
        let imds = Imds::serve(listener(&space, METADATA), INSTANCE);
        let page = Counter::serve_at(listener(&internet, PAGE));
        let space = Arc::new(space);
        let (aws, site) =
            tokio::join!(Aws::start(&space, moto), Site::start(&space, carrier, imds::CERTIFICATE));
        let key = SigningKey::generate().expect("a key");
        Self { imds, aws, site, page, key, _internet: internet, space }
    }

    /// The address of a path of the page.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{PAGE}{path}")
    }

    /// Publishes a bundle with this program and lets the channel point at it. Gives its name.
    ///
    /// # Panics
    ///
    /// When there is no bundle of it, or S3 does not take it.
    pub async fn publish(&self, program: Vec<u8>) -> Published {
        let program = Input { name: PROGRAM.to_owned(), bytes: program };
        let bundle = Bundle::build(env!("CARGO_PKG_VERSION"), target(), GLIBC_MAX, vec![program]);
        let bundle = bundle.expect("a bundle");
        let id = bundle.manifest().id();
        let objects = bundle.into_objects(&self.key);
        for object in &objects {
            self.aws.put(&object.key, &object.bytes).await;
        }
        let (channel, target) = (Channel::Stable, target());
        let pointer = Pointer { channel, target, serial: SERIAL, bundle: id, at_ms: 0 };
        self.aws.put(&layout::channel(channel, target), &pointer.to_object(&self.key)).await;
        let blob = objects.into_iter().next().expect("the program");
        Published { bundle: id, blob }
    }

    /// Asks for a job where the engine was told not to go.
    ///
    /// # Panics
    ///
    /// When it is not refused by that rule.
    pub async fn is_kept_out(&self) {
        let mail = format!("http://{PAGE}:25/");
        let refused = self.site.operate(&[&["curl", "-sS"], &THERE[..], &[&mail]].concat()).await;
        assert!(refused.code != Some(0) && refused.stderr.contains(CLOSED), "{refused:?}");
    }

    /// What the machine is told, now to be read from its metadata: user data of our own rendering, below this prefix of the bucket,
    /// and credentials of its role.
    ///
    /// # Panics
    ///
    /// When there are no such user data.
    pub fn tell(&self, prefix: &str) {
        let boot = Boot {
            region: word(REGION),
            joins: vec![word(&format!("http://{HOST}:{}", site::GATEWAY_PORT))],
            provider: Provider::Ec2 {
                bucket: word(aws::BUCKET),
                prefix: Some(word(prefix)),
                bucket_region: word(aws::BUCKET_REGION),
                endpoint: Some(word(&format!("http://{HOST}:{}", aws::PORT))),
                imds: None,
            },
            channel: Channel::Stable,
            serial_min: SERIAL,
            key: self.key.public(),
            slots: Some(4),
            trusted: Vec::new(),
            trusted_native: vec![self.site.publisher.clone()],
            flags: EngineFlags::new(vec![word("--deny-target"), word(CLOSED)]).expect("flags"),
            life: Life::DEFAULT,
        };
        let text = render(&boot).expect("user data");
        self.imds.set("/latest/user-data", Some(&text));
        let role = format!("/latest/meta-data/iam/security-credentials/{}", aws::ROLE);
        self.imds.set(&role, Some(&self.aws.role_credentials));
    }
}

/// What lies in S3.
#[derive(Debug)]
pub struct Published {
    /// The bundle's name.
    pub bundle: Digest,
    /// Its program.
    pub blob: Object,
}

/// The program without what debuggers want of it, which would have to be downloaded as well.
///
/// # Panics
///
/// When `strip` does not run.
#[must_use]
pub fn stripped(program: &Path) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let made = directory.path().join("blitz");
    let status = std::process::Command::new("strip").arg("-o").arg(&made).arg(program).status();
    assert!(status.expect("strip, of binutils").success(), "strip {}", program.display());
    std::fs::read(made).expect("the stripped program")
}

fn target() -> Target {
    std::env::consts::ARCH.parse().expect("a machine that bundles are made for")
}

/// A word of user data.
fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a word that may stand in user data")
}

/// A namespace with one cable, and at its other end the one that it is beside and that passes on what is for others.
fn neighbour(space: &Namespace, cable: &str, address: &str) -> Result<Namespace, Unavailable> {
    let neighbour = Namespace::new(cable)?;
    let ends = ["link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns"];
    space.ip(&[&ends[..], &[neighbour.name()]].concat())?;
    space.ip(&["link", "set", cable, "up"])?;
    space.ip(&["route", "add", address, "dev", cable, "src", HOST])?;
    neighbour.ip_lines(&format!(
        "addr add {address}/32 dev eth0\nlink set eth0 up\nroute add default via {HOST} dev eth0 onlink\n"
    ))?;
    Ok(neighbour)
}

/// A program in the namespace, with nothing in its environment but where programs are.
fn command(space: &Namespace, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut command = space.enter(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a program in the namespace with this input, and gives what it says.
///
/// # Panics
///
/// When it fails or does not end.
async fn run(space: &Namespace, program: &str, args: &[&str], input: &[u8]) -> String {
    let mut command = command(space, program, args);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let feed = async {
        // A program that does not read to the end has its own reasons, which it tells.
        stdin.write_all(input).await.ok();
        drop(stdin);
    };
    let ends = async { tokio::join!(feed, child.wait_with_output()).1.expect("its outcome") };
    let output = tokio::time::timeout(LIMIT, ends).await;
    let output = output.unwrap_or_else(|_| panic!("{program} {args:?} did not end"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {stdout} {stderr}");
    stdout
}

/// A file or program that a variable names; `None`, and a word about it, where the variable is not set.
#[must_use]
pub fn given_or_skipped(variable: &str, made_by: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    if given.is_none() {
        use std::io::Write as _;
        let line = format!("SKIPPED: {variable} is not set: eval \"$({made_by})\"\n");
        // Not by `eprintln`, which is captured from tests that pass.
        std::io::stderr().write_all(line.as_bytes()).ok();
    }
    given
}
