//! The script of a machine that is told by a person, and of a cloud's machine, run for real.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use blitz_boot_core::bundle::Digest;
use blitz_boot_core::user_data::{Provider, installer};

use crate::machine::Machine;
use crate::shop::Shop;
use crate::store::program;
use crate::tools::{has, systemd_says};

#[test]
fn a_good_bundle_is_installed_and_started() {
    let (shop, bundle) = Shop::open();
    let machine = Machine::new();
    let ended = shop.run(&machine);
    assert!(ended.is_good, "{}", ended.said);
    assert!(ended.said.contains(&bundle.to_string()), "{}", ended.said);
    let current = fs::read_link(machine.root("opt/blitz/current")).unwrap();
    assert_eq!(current.to_str(), Some(bundle.to_string().as_str()));
    let installed = machine.root("opt/blitz/current/bin/blitz");
    assert!(fs::read(&installed).unwrap() == program(), "the program is that of the bundle");
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o7777, 0o755);
    let plugin = machine.root("opt/blitz/current/plugins/hops.wasm");
    assert_eq!(fs::metadata(&plugin).unwrap().permissions().mode() & 0o7777, 0o644);
    let trust = Digest::of(&fs::read(&plugin).unwrap());
    assert_eq!(
        machine.read("etc/blitz/engine.env"),
        format!(
            "ENGINE_FLAGS=--region japan --join https://gw.example.com --slots 4\n\
             ENGINE_ID_FLAGS=--id lyon-1 --join-token-file /run/credentials/blitz-engine.service/join-token \
             --keep-token /var/lib/blitz-engine/token\n\
             ENGINE_TRUST= --trust {trust}\n"
        )
    );
    let token = machine.root("etc/blitz/join-token");
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_to_string(token).unwrap(), "secret\n");
    let unit = machine.read("etc/systemd/system/blitz-engine.service");
    assert_eq!(unit, blitz_boot_core::user_data::ENGINE_UNIT);
    assert_eq!(machine.read("etc/sysctl.d/80-blitz.conf"), blitz_boot_core::user_data::SYSCTLS);
    assert_eq!(
        machine.told("systemctl"),
        ["daemon-reload", "enable blitz-engine.service", "restart blitz-engine.service"]
    );
    let names = fs::read_dir(machine.root("opt/blitz")).unwrap().flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    let mut wants = vec![bundle.to_string(), "current".to_owned(), "serial.stable".to_owned()];
    wants.sort();
    assert_eq!(names, wants, "and nothing else is left");
}

/// `sh` is dash on Debian, and bash on Amazon Linux.
#[test]
fn the_shells_of_all_images_install_it() {
    let (shop, bundle) = Shop::open();
    for shell in [&["dash"][..], &["bash", "--posix"]] {
        let machine = Machine::new();
        let variables = [("BLITZ_ID", "lyon-1"), ("BLITZ_JOIN_TOKEN", "secret")];
        let ended = machine.run_by(shell, &shop.lasting(), &variables);
        assert!(ended.is_good, "{shell:?}: {}", ended.said);
        let current = fs::read_link(machine.root("opt/blitz/current")).unwrap();
        assert_eq!(current.to_str(), Some(bundle.to_string().as_str()), "{shell:?}");
    }
}

#[test]
fn a_machine_goes_back_by_a_higher_serial_and_never_by_a_lower_one() {
    let (shop, first) = Shop::open();
    let machine = Machine::new();
    assert!(shop.run(&machine).is_good);
    let runs = || fs::read_link(machine.root("opt/blitz/current")).unwrap().into_os_string();
    shop.change(|store| {
        let second = store.publish("0.2.0", &shop.key);
        store.promote(second, 8, &shop.key);
    });
    assert!(shop.run(&machine).is_good);
    assert_ne!(runs(), first.to_string().as_str());
    // The pointer of the first time, which was good then, and would be for a new machine.
    shop.change(|store| store.promote(first, 7, &shop.key));
    let ended = shop.run(&machine);
    assert!(
        !ended.is_good && ended.said.contains("has serial 7, and 8 is the least"),
        "{}",
        ended.said
    );
    assert_ne!(runs(), first.to_string().as_str());
    shop.change(|store| store.promote(first, 9, &shop.key));
    assert!(shop.run(&machine).is_good);
    assert_eq!(runs(), first.to_string().as_str());
    // And the same once more, over a program that somebody changed on the disk.
    fs::write(machine.root("opt/blitz/current/bin/blitz"), "changed").unwrap();
    assert!(shop.run(&machine).is_good);
    assert!(fs::read(machine.root("opt/blitz/current/bin/blitz")).unwrap() == program());
}

#[test]
fn a_script_that_was_cut_off_does_nothing() {
    let (shop, _) = Shop::open();
    let script = shop.lasting();
    let ends: Vec<usize> = script.match_indices('\n').map(|(at, _)| at).collect();
    let last = script.trim_end().len() - "main".len();
    for end in ends.iter().copied().filter(|end| *end <= last).step_by(7).chain([last, last + 2]) {
        let machine = Machine::new();
        machine.run(&script[..end], &[("BLITZ_ID", "lyon-1"), ("BLITZ_JOIN_TOKEN", "secret")]);
        machine.has_nothing(&format!("cut off at {end}"));
    }
    assert!(shop.server.asked().is_empty(), "and asks for nothing");
}

#[test]
fn a_machine_of_a_cloud_has_the_name_that_the_cloud_gave_it_and_ends_with_its_engine() {
    let (shop, _) = Shop::open();
    let base = shop.base().parse().unwrap();
    let script = installer(&shop.boot(Provider::Generic { base, engine: None })).unwrap();
    let machine = Machine::new();
    machine.write("var/lib/cloud/data/instance-id", "droplet-42\n");
    let ended = machine.run(&script, &[]);
    assert!(!ended.is_good && ended.said.contains("there is no join token"), "{}", ended.said);
    fs::remove_file(machine.root("var/lib/cloud/data/instance-id")).unwrap();
    machine.has_nothing("without a join token");
    machine.write("var/lib/cloud/data/instance-id", "droplet-42\n");
    machine.write("etc/blitz/join-token", "secret\n");
    let ended = machine.run(&script, &[]);
    assert!(ended.is_good, "{}", ended.said);
    assert!(machine.read("etc/blitz/engine.env").contains("--id droplet-42 "));
    let drop_in = machine.read("etc/systemd/system/blitz-engine.service.d/identity.conf");
    assert_eq!(drop_in, "[Service]\nLoadCredential=join-token:/etc/blitz/join-token\n");
    let ends = machine.read("etc/systemd/system/blitz-engine.service.d/machine.conf");
    assert!(ends.contains("SuccessAction=poweroff\nOnFailure=blitz-end.service\n"), "{ends}");
    let timer = machine.read("etc/systemd/system/blitz-end.timer");
    assert!(timer.contains("OnBootSec=77760s\nRandomizedDelaySec=8640s\n"), "{timer}");
    assert_eq!(
        machine.told("systemctl"),
        ["daemon-reload", "enable --now blitz-end.timer", "enable --now blitz-engine.service"]
    );
    assert!(machine.root("run/blitz-boot/ok").is_file(), "cloud-init lets the machine live");
}

#[test]
fn an_engine_that_does_not_start_lets_the_machine_end() {
    let (shop, _) = Shop::open();
    let base = shop.base().parse().unwrap();
    let script = installer(&shop.boot(Provider::Generic { base, engine: None })).unwrap();
    let machine = Machine::new();
    machine.stub("systemctl", "case $* in *engine*) exit 1;; esac");
    let ended = machine.run(&script, &[("BLITZ_ID", "x"), ("BLITZ_JOIN_TOKEN", "secret")]);
    assert!(!ended.is_good, "{}", ended.said);
    assert!(!machine.root("run/blitz-boot/ok").exists());
}

#[test]
fn a_name_that_is_none_is_refused() {
    let (shop, _) = Shop::open();
    for name in ["a b", "$(reboot)", "-rf", "é", "a\nb", "a;b", &"a".repeat(65)] {
        let machine = Machine::new();
        let ended = machine.run(&shop.lasting(), &[("BLITZ_ID", name), ("BLITZ_JOIN_TOKEN", "x")]);
        assert!(!ended.is_good && ended.said.contains("set BLITZ_ID"), "{name:?}: {}", ended.said);
        machine.has_nothing(name);
    }
}

/// Programs that every image of Debian and Amazon Linux has.
const OF_IMAGES: [&str; 19] = [
    "cat",
    "chmod",
    "cut",
    "getconf",
    "ln",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "sort",
    "sync",
    "tail",
    "tr",
    "true",
    "uname",
    "wc",
];

#[test]
fn an_image_without_curl_or_openssl_gets_them_from_its_distribution() {
    let (shop, _) = Shop::open();
    let run = |machine: &Machine| {
        machine.run(&shop.lasting(), &[("BLITZ_ID", "x"), ("BLITZ_JOIN_TOKEN", "secret")])
    };
    for (manager, has, lacks) in [("dnf", "curl", "openssl"), ("apt-get", "openssl", "curl")] {
        let programs = [&OF_IMAGES[..], &[has]].concat();
        let machine = Machine::with_only(&programs);
        let ended = run(&machine);
        let wants = format!("there is no '{lacks}' on this machine: install the package {lacks}");
        assert!(!ended.is_good && ended.said.contains(&wants), "{}", ended.said);
        machine.has_nothing(lacks);
        machine.install_by(manager, lacks);
        let ended = run(&machine);
        assert!(ended.is_good, "{manager}: {}", ended.said);
        let told = machine.told(manager).join("\n");
        assert!(told.contains("install ") && told.ends_with(lacks), "{told}");
    }
}

#[test]
fn systemd_takes_all_that_the_script_writes() {
    if !has("systemd-analyze", &["--version"], "BLITZ_TEST_SYSTEMD") {
        return;
    }
    let (shop, _) = Shop::open();
    let base = shop.base().parse().unwrap();
    let script = installer(&shop.boot(Provider::Generic { base, engine: None })).unwrap();
    let machine = Machine::new();
    let ended = machine.run(&script, &[("BLITZ_ID", "x"), ("BLITZ_JOIN_TOKEN", "secret")]);
    assert!(ended.is_good, "{}", ended.said);
    // The program is not where the unit has it.
    let place = "etc/systemd/system/blitz-engine.service";
    let unit = machine.read(place).replace("/opt/blitz/current/bin/blitz", "/bin/true");
    machine.write(place, &unit);
    let units = ["blitz-engine.service", "blitz-end.service", "blitz-end.timer"];
    let units = units.map(|unit| machine.root("etc/systemd/system").join(unit));
    let units: Vec<&str> = units.iter().map(|unit| unit.to_str().unwrap()).collect();
    assert_eq!(systemd_says(&units), "");
    let drop_in = "etc/systemd/system/blitz-engine.service.d/machine.conf";
    machine.write(drop_in, &machine.read(drop_in).replace("=poweroff", "=explode"));
    assert!(systemd_says(&units).contains("explode"), "it looks at what is beside the unit");
}
