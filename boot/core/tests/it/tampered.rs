//! What somebody may do who writes where machines read, or who stands on the way: it is refused by its name, and leaves nothing.

use std::sync::Arc;

use blitz_boot_core::bundle::{Channel, Digest, SigningKey, Target, layout};
use blitz_boot_core::user_data::{Provider, installer};

use crate::machine::Machine;
use crate::server::{CUT_OFF, Server};
use crate::shop::{SERIAL_MIN, Shop, get};
use crate::store::{Store, program, stable, target};

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
