//! A machine without a kernel of its own: what cloud-init does at a boot, unmodified, in the root file system of an image.
//!
//! The root file system is read only, and what is written to it is in memory. In the place of what a machine without a kernel
//! cannot have stand a few scripts: `systemctl` starts the engine as its unit says, `shutdown` notes that it was asked,
//! `dmidecode` answers as the firmware of an instance does, `dhclient` leaves the network as it is.
//!
//! *Not here:* systemd's sandbox, and what sends a machine off when its engine has ended.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::process::Child;

use super::{LIMIT, World, command, neighbour};
use crate::net::Namespace;
use crate::wait::within;

/// What is put into the root file system: places in it, modes, and texts.
const FILES: [(&str, u32, &str); 9] = [
    ("usr/local/sbin/stages", 0o755, include_str!("chroot/stages")),
    ("usr/local/bin/systemctl", 0o755, include_str!("chroot/systemctl")),
    ("usr/local/sbin/shutdown", 0o755, include_str!("chroot/shutdown")),
    ("usr/local/sbin/dmidecode", 0o755, include_str!("chroot/dmidecode")),
    ("usr/local/sbin/dhclient", 0o755, include_str!("chroot/dhclient")),
    // What cloud-init's generator for systemd finds out of the firmware.
    ("etc/cloud/cloud.cfg.d/90-datasource.cfg", 0o644, "datasource_list: [Ec2]\n"),
    ("usr/local/share/dmi/product_uuid", 0o444, "ec2a0b1c-2d3e-4f50-6172-8394a5b6c7d8\n"),
    ("usr/local/share/dmi/product_serial", 0o444, "ec2a0b1c-2d3e-4f50-6172-8394a5b6c7d8\n"),
    ("usr/local/share/dmi/sys_vendor", 0o444, "Amazon EC2\n"),
];

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The machine's address, as qemu's own network gives it to its guest.
const ADDRESS: &str = "10.0.2.15";

/// The world's end of its cable.
const CABLE: &str = "machine";

/// A machine that boots, or has booted. Dropped, it is off.
#[derive(Debug)]
pub struct Machine {
    /// With `told`, what its parts noted, and `log`, which is its `/var/log`.
    place: TempDir,
    /// Its first process ends with its standard input, and all others with it.
    _first: Child,
    _space: Namespace,
    world: Arc<Namespace>,
}

impl Machine {
    /// Switches it on.
    ///
    /// # Panics
    ///
    /// When it cannot be.
    #[must_use]
    pub fn boot(world: &World, rootfs: &Path) -> Self {
        let place = TempDir::with_prefix("blitz-machine-").expect("a temporary directory");
        for (name, mode, text) in FILES {
            let path = place.path().join("files").join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        for name in ["disk", "told", "log"] {
            fs::create_dir(place.path().join(name)).expect("a directory");
        }
        let enter = place.path().join("enter.sh");
        fs::write(&enter, include_str!("chroot/enter.sh")).expect("a file");
        let paths = [&enter, rootfs, place.path()].map(|path| path.to_str().expect("UTF-8"));
        let unshare = ["--mount", "--pid", "--fork", "--kill-child", "sh"];
        let args = [&unshare[..], &paths].concat();
        let space = neighbour(&world.space, CABLE, ADDRESS).expect("a network");
        let mut first = command(&space, "unshare", &args);
        let said = fs::File::create(place.path().join("log/console")).expect("a file");
        let same = said.try_clone().expect("a file");
        first.env("PATH", PATH).env("LANG", "C.UTF-8");
        first.stdin(Stdio::piped()).stdout(said).stderr(same);
        let first = first.spawn().expect("unshare, of util-linux");
        Self { place, _first: first, _space: space, world: Arc::clone(&world.space) }
    }

    /// What was noted under this name, a line for each time.
    #[must_use]
    pub fn told(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.place.path().join("told").join(name));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// What systemd was told of blitz: not what cloud-init has to say of the network.
    #[must_use]
    pub fn told_of_blitz(&self) -> Vec<String> {
        let told = self.told("systemctl").into_iter();
        told.filter(|line| line == "daemon-reload" || line.contains("blitz")).collect()
    }

    /// A file of its `/var/log`.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.place.path().join("log").join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for the last stage of cloud-init, and gives the stages with the time since the first began.
    ///
    /// # Panics
    ///
    /// When they do not end.
    pub async fn stages(&self) -> Vec<(String, Duration)> {
        let last = async || {
            let told = self.told("stages");
            told.last().is_some_and(|line| line.contains("--mode=final")).then_some(told)
        };
        let told = within(LIMIT, "the stages of cloud-init", last).await;
        let mut stages = Vec::new();
        let mut begun = None;
        for line in &told {
            let (at, what) = line.split_once(' ').expect("a time and a word");
            let at = Duration::from_secs_f64(at.parse().expect("seconds"));
            let begun = *begun.get_or_insert(at);
            stages.push((what.to_owned(), at.saturating_sub(begun)));
        }
        stages
    }

    /// When the first stage began.
    ///
    /// # Panics
    ///
    /// When none has.
    #[must_use]
    pub fn begun(&self) -> SystemTime {
        let told = self.told("stages");
        let at = told.first().and_then(|line| line.split(' ').next()?.parse().ok());
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(at.expect("a stage has begun"))
    }
}

impl Drop for Machine {
    /// Who reads a failure sees what the machine said.
    fn drop(&mut self) {
        // With its other end, which the system would take away at a time of its own: the next machine has the same.
        self.world.ip(&["link", "delete", CABLE]).ok();
        if !std::thread::panicking() {
            return;
        }
        let told = ["stages", "systemctl", "shutdown", "engine"];
        let told = told.map(|name| format!("== {name}\n{}\n", self.told(name).join("\n")));
        let logs = ["console", "cloud-init-output.log"];
        let logs = logs.map(|name| format!("== {name}\n{}\n", self.log(name)));
        std::io::stderr().write_all((told.concat() + &logs.concat()).as_bytes()).ok();
    }
}
