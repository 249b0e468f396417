//! A store of bundles behind a web server, and who publishes there.

use std::sync::{Arc, Mutex};

use blitz_boot_core::bundle::{Channel, Digest, PublicKey, SigningKey};
use blitz_boot_core::user_data::value::{EngineFlags, Life};
use blitz_boot_core::user_data::{Boot, Provider, installer};

use crate::machine::{Ended, Machine};
use crate::server::{Answer, Request, Server};
use crate::store::Store;

/// What a machine takes at least in these stories.
pub(crate) const SERIAL_MIN: u64 = 5;

/// A store behind a web server, and its publisher.
pub(crate) struct Shop {
    pub(crate) key: SigningKey,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) server: Server,
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

    pub(crate) fn change(&self, change: impl FnOnce(&mut Store)) {
        change(&mut self.store.lock().unwrap());
    }

    pub(crate) fn boot(&self, provider: Provider) -> Boot {
        boot(provider, self.key.public())
    }

    pub(crate) fn base(&self) -> String {
        format!("{}/b", self.server.url())
    }

    /// The installer of a machine that stays.
    pub(crate) fn lasting(&self) -> String {
        let base = self.base().parse().unwrap();
        installer(&self.boot(Provider::None { base, engine: None })).unwrap()
    }

    pub(crate) fn run(&self, machine: &Machine) -> Ended {
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
        trusted_native: Vec::new(),
        flags: EngineFlags::default(),
        life: Life::DEFAULT,
    }
}
