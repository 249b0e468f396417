//! The script of a machine that is told by a person, and of a cloud's machine, run for real.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use blitz_boot_core::bundle::{Channel, Digest, PublicKey, SigningKey, Target, layout};
use blitz_boot_core::user_data::value::Life;
use blitz_boot_core::user_data::{Boot, Provider, installer};

use crate::machine::{Ended, Machine};
use crate::server::{Answer, CUT_OFF, Request, Server};
use crate::store::{Store, program, stable, target};
use crate::tools::{has, systemd_says};

/// What a machine takes at least in these stories.
const SERIAL_MIN: u64 = 5;

/// A store behind a web server, and its publisher.
pub(crate) struct Shop {
    key: SigningKey,
    pub(crate) store: Arc<Mutex<Store>>,
    server: Server,
}

impl Shop {
    /// With one bundle, of serial 7.
    pub(crate) fn open() -> (Self, Digest) {
        let key = SigningKey::generate().unwrap();
        let mut store = Store::default();
        let bundle = store.publish("0.1.0", &key);
        store.promote(bundle, 7, &key);
        let store = Arc::new(Mutex::new(store));
        let shown = Arc::clone(&store);
        let server = Server::start(move |request| get(&shown, request, "/b/"));
        (Self { key, store, server }, bundle)
    }

    fn change(&self, change: impl FnOnce(&mut Store)) {
        change(&mut self.store.lock().unwrap());
    }

    pub(crate) fn boot(&self, provider: Provider) -> Boot {
        boot(provider, self.key.public())
    }

    fn base(&self) -> String {
        format!("{}/b", self.server.url())
    }

    /// The installer of a machine that stays.
    fn lasting(&self) -> String {
        let base = self.base().parse().unwrap();
        installer(&self.boot(Provider::None { base, engine: None })).unwrap()
    }

    fn run(&self, machine: &Machine) -> Ended {
        machine.run(&self.lasting(), &[("BLITZ_ID", "lyon-1"), ("BLITZ_JOIN_TOKEN", "secret")])
    }
}

pub(crate) fn get(store: &Mutex<Store>, request: &Request, head: &str) -> Answer {
    let store = store.lock().unwrap();
    let key = request.path.strip_prefix(head).unwrap_or_default();
    store.objects.get(key).map_or_else(|| (404, Vec::new()), |bytes| (200, bytes.clone()))
}

fn boot(provider: Provider, key: PublicKey) -> Boot {
    Boot {
        region: "japan".parse().unwrap(),
        joins: vec!["https://gw.example.com".parse().unwrap()],
        provider,
        channel: Channel::Stable,
        serial_min: SERIAL_MIN,
        key,
        slots: Some(4),
        trusted: Vec::new(),
        life: Life::DEFAULT,
    }
}

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

/// What is wrong, done to a good store with one bundle, and what the message names.
type Wrong = (&'static str, fn(&mut Store, Digest, &SigningKey), &'static str);

const WRONGS: &[Wrong] = &[
    (
        "another program",
        |store, _, _| {
            let blob = layout::blob(&Digest::of(&program()));
            store.change(&blob, |bytes| *bytes.last_mut().unwrap() ^= 1);
        },
        "file blitz of bundle",
    ),
    (
        "a longer program",
        |store, _, _| {
            let blob = layout::blob(&Digest::of(&program()));
            store.change(&blob, |bytes| bytes.extend([0; 4096]));
        },
        "blobs/sha256/",
    ),
    (
        "another plugin",
        |store, _, _| {
            let blob = layout::blob(&Digest::of(b"\0asm hops"));
            store.change(&blob, |bytes| bytes.truncate(4));
        },
        "file hops.wasm of bundle",
    ),
    (
        "another manifest",
        |store, bundle, _| {
            store.change(&layout::manifest(&bundle), |bytes| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                *bytes = text.replace("0.1.0", "0.1.1").into_bytes();
            });
        },
        "the signature of the manifest",
    ),
    (
        "a manifest signed by another key",
        |store, _, _| {
            // All of it by the other key, but for the pointer, which the machine believes.
            let other = SigningKey::generate().unwrap();
            let pointer = store.objects[&stable()].clone();
            *store = Store::default();
            store.publish("0.1.0", &other);
            store.objects.insert(stable(), pointer);
        },
        "the signature of the manifest",
    ),
    (
        "a good manifest in the place of another",
        |store, bundle, key| {
            let older = store.publish("0.0.9", key);
            let manifest = store.objects[&layout::manifest(&older)].clone();
            let signature = store.objects[&layout::manifest_signature(&older)].clone();
            store.objects.insert(layout::manifest(&bundle), manifest);
            store.objects.insert(layout::manifest_signature(&bundle), signature);
        },
        "the manifest is not that of bundle",
    ),
    (
        "another pointer",
        |store, _, _| {
            store.change(&stable(), |bytes| {
                let text = String::from_utf8(bytes.clone()).unwrap();
                *bytes = text.replace("\"serial\":7", "\"serial\":8").into_bytes();
            });
        },
        "the signature of the pointer",
    ),
    (
        "a pointer without signature",
        |store, _, _| {
            store.change(&stable(), |bytes| {
                let end = bytes.windows(2).position(|two| two == b"}\n").unwrap() + 2;
                bytes.truncate(end);
            });
        },
        "the signature of the pointer",
    ),
    (
        "everything signed by another key",
        |store, _, _| {
            let other = SigningKey::generate().unwrap();
            let bundle = store.publish("0.1.0", &other);
            store.promote(bundle, 9, &other);
        },
        "the signature of the pointer",
    ),
    (
        "an older pointer",
        |store, bundle, key| store.promote(bundle, SERIAL_MIN - 1, key),
        "has serial 4, and 5 is the least",
    ),
    (
        "the pointer of another channel",
        |store, bundle, key| {
            store.point(Channel::Canary, target(), bundle, 9, key);
        },
        "not of channel stable",
    ),
    (
        "the pointer of other machines",
        |store, bundle, key| {
            let other = Target::ALL.into_iter().find(|other| *other != target()).unwrap();
            store.point(Channel::Stable, other, bundle, 9, key);
        },
        "the pointer is not of channel stable for",
    ),
    (
        "no pointer",
        |store, _, _| drop(store.objects.remove(&stable())),
        "failed to fetch channels/stable/",
    ),
    (
        "no manifest",
        |store, bundle, _| {
            drop(store.objects.remove(&layout::manifest(&bundle)));
        },
        "failed to fetch bundles/",
    ),
    (
        "no signature",
        |store, bundle, _| {
            drop(store.objects.remove(&layout::manifest_signature(&bundle)));
        },
        "manifest.json.sig",
    ),
    (
        "no program",
        |store, _, _| {
            drop(store.objects.remove(&layout::blob(&Digest::of(&program()))));
        },
        "failed to fetch blobs/sha256/",
    ),
    (
        "a pointer that does not end",
        |store, _, _| {
            store.change(&stable(), |bytes| bytes.resize(1 << 20, b'\n'));
        },
        "channels/stable/",
    ),
    ("an empty pointer", |store, _, _| store.change(&stable(), Vec::clear), "channel"),
];

#[test]
fn what_is_not_right_is_refused_by_its_name_and_leaves_nothing() {
    for (what, make_wrong, wants) in WRONGS {
        let (shop, bundle) = Shop::open();
        shop.change(|store| make_wrong(store, bundle, &shop.key));
        let machine = Machine::new();
        let ended = shop.run(&machine);
        assert!(!ended.is_good, "{what} was installed: {}", ended.said);
        let message = ended.said.lines().find(|line| line.starts_with("blitz-boot: "));
        assert!(message.is_some_and(|line| line.contains(wants)), "{what}: {}", ended.said);
        machine.has_nothing(what);
    }
}

#[test]
fn a_file_that_breaks_off_on_its_way_is_told_as_that() {
    let (shop, _) = Shop::open();
    let shown = Arc::clone(&shop.store);
    let server = Server::start(move |request| match get(&shown, request, "/b/") {
        (200, bytes) if request.path.contains("/blobs/") => (CUT_OFF, bytes),
        other => other,
    });
    let base = format!("{}/b", server.url()).parse().unwrap();
    let script = installer(&shop.boot(Provider::None { base, engine: None })).unwrap();
    let machine = Machine::new();
    let ended = machine.run(&script, &[("BLITZ_ID", "lyon-1"), ("BLITZ_JOIN_TOKEN", "secret")]);
    assert!(!ended.is_good && ended.said.contains("curl ended with 18"), "{}", ended.said);
    machine.has_nothing("broken off");
}

#[test]
fn a_text_without_an_end_does_not_fill_the_disk() {
    const ENDLESS_BYTES: usize = 256 << 20;
    // What the sockets of both sides hold, and more.
    const HELD_BYTES_MAX: u64 = 64 << 20;
    let (shop, _) = Shop::open();
    shop.change(|store| store.change(&stable(), |bytes| bytes.resize(ENDLESS_BYTES, b' ')));
    let machine = Machine::new();
    let ended = shop.run(&machine);
    assert!(!ended.is_good && ended.said.contains("channels/stable/"), "{}", ended.said);
    machine.has_nothing("endless");
    let sent = shop.server.sent_bytes();
    assert!(sent < HELD_BYTES_MAX, "{sent} bytes were taken");
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
