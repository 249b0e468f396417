//! A store of bundles in memory, with what somebody who can write to it may do.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use blitz_boot_core::bundle::{
    Bundle, Channel, Digest, Glibc, Input, PROGRAM, Pointer, SigningKey, Target, layout,
};

/// No limit: what this machine runs is not what images run.
const GLIBC_MAX: Glibc = Glibc { major: 2, minor: 99 };

pub(crate) fn target() -> Target {
    std::env::consts::ARCH.parse().unwrap()
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
}

impl Store {
    /// Puts a bundle with this version and a plugin in, and says its name.
    pub(crate) fn publish(&mut self, product: &str, key: &SigningKey) -> Digest {
        let plugin = Input { name: "hops.wasm".to_owned(), bytes: b"\0asm hops".to_vec() };
        let program = Input { name: PROGRAM.to_owned(), bytes: program() };
        let bundle = Bundle::build(product, target(), GLIBC_MAX, vec![program, plugin]).unwrap();
        let id = bundle.manifest().id();
        for object in bundle.into_objects(key) {
            self.objects.insert(object.key, object.bytes);
        }
        id
    }

    /// Lets the channel `stable` point at a bundle.
    pub(crate) fn promote(&mut self, bundle: Digest, serial: u64, key: &SigningKey) {
        self.point(Channel::Stable, target(), bundle, serial, key);
    }

    pub(crate) fn point(
        &mut self,
        channel: Channel,
        target: Target,
        bundle: Digest,
        serial: u64,
        key: &SigningKey,
    ) {
        let pointer = Pointer { channel, target, serial, bundle, at_ms: 0 };
        self.objects.insert(stable(), pointer.to_object(key));
    }

    pub(crate) fn change(&mut self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.objects.get_mut(key).expect("an object of this key"));
    }
}

/// Where the pointer lies.
pub(crate) fn stable() -> String {
    layout::channel(Channel::Stable, target())
}

/// A program of Linux: this one.
pub(crate) fn program() -> Vec<u8> {
    static PROGRAM_HERE: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM_HERE.get_or_init(|| std::fs::read("/proc/self/exe").unwrap()).clone()
}
