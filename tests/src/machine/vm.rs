//! A whole machine: an emulated processor, the kernel, systemd and cloud-init of the image, and the engine in the sandbox of its
//! unit. It finds out by itself that it is on EC2, as its firmware says so, and gets its address from qemu's own network.
//!
//! Without the help of a processor (KVM) the emulation takes minutes to a registered engine, so that no story is told with it:
//! `machine` of this crate is a program for who wants to see it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::Instant;

use super::{World, command};
use crate::wait::within;

/// Memory of the machine, in MiB: the least that EC2 has instances with which are any use.
const MEMORY_MIB: &str = "2048";

/// What the firmware says, by which cloud-init knows where it is.
const FIRMWARE: &str = "type=1,manufacturer=Amazon EC2,uuid=ec2a0b1c-2d3e-4f50-6172-8394a5b6c7d8,serial=ec2a0b1c-2d3e-4f50-6172-8394a5b6c7d8";

/// The journal goes to the console, too, which is all that is seen of the machine.
const KERNEL_WORDS: &str = "root=/dev/vda rw console=ttyS0 systemd.journald.forward_to_console=1";

/// A machine that runs. Dropped, it is off.
#[derive(Debug)]
pub struct Vm {
    console: Arc<Mutex<Console>>,
    begun: Instant,
    process: Child,
}

#[derive(Debug, Default)]
struct Console {
    /// What it said, and when.
    lines: Vec<(Duration, String)>,
    is_over: bool,
}

impl Vm {
    /// Switches on what `.ci/rootfs vm` made in this directory. What is written to its disk is forgotten. Its console is
    /// written to this file.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn boot(world: &World, made: &Path, mut console_file: File) -> Self {
        let file = |name: &str| made.join(name).to_str().expect("a path in UTF-8").to_owned();
        let (kernel, initrd) = (file("vmlinuz"), file("initrd"));
        let drive = format!("file={},if=virtio,format=raw,snapshot=on", file("disk"));
        let mut qemu = command(
            &world.space,
            &file("qemu-system-x86_64"),
            &[
                &["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY_MIB][..],
                &["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
                &["-kernel", &kernel, "-initrd", &initrd, "-append", KERNEL_WORDS],
                &["-drive", &drive, "-nic", "user,model=virtio-net-pci", "-smbios", FIRMWARE],
                &["-device", "virtio-rng-pci"],
            ]
            .concat(),
        );
        let begun = Instant::now();
        let mut process = qemu.stderr(Stdio::inherit()).spawn().expect("qemu starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).split(b'\n');
        let console = Arc::new(Mutex::new(Console::default()));
        let heard = Arc::clone(&console);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                // Who only looks on is not in the way of the machine.
                writeln!(console_file, "{:9.3} {line}", begun.elapsed().as_secs_f64()).ok();
                lock(&heard).lines.push((begun.elapsed(), line));
            }
            lock(&heard).is_over = true;
        });
        Self { console, begun, process }
    }

    /// How long it has been on.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When its console first said this.
    #[must_use]
    pub fn said(&self, part: &str) -> Option<Duration> {
        lock(&self.console).find(part)
    }

    /// Waits until its console says this.
    ///
    /// # Panics
    ///
    /// When it does not within this time, or is off before.
    pub async fn says(&self, limit: Duration, part: &str) -> Duration {
        let heard = async || {
            let console = lock(&self.console);
            let at = console.find(part);
            assert!(at.is_some() || !console.is_over, "it is off, and never said {part:?}");
            at
        };
        within(limit, part, heard).await
    }

    /// Waits until it is off by itself.
    ///
    /// # Panics
    ///
    /// When it is not within this time.
    pub async fn ends(&mut self, limit: Duration) -> Duration {
        let ended = tokio::time::timeout(limit, self.process.wait()).await;
        let status = ended.expect("the machine ends").expect("the status of qemu");
        assert!(status.success(), "qemu ended with {status}");
        self.age()
    }
}

impl Console {
    fn find(&self, part: &str) -> Option<Duration> {
        self.lines.iter().find(|(_, line)| line.contains(part)).map(|(at, _)| *at)
    }
}

fn lock(console: &Mutex<Console>) -> MutexGuard<'_, Console> {
    console.lock().unwrap_or_else(PoisonError::into_inner)
}
