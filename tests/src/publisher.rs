//! A publisher of plugins: a key of its own, and releases made of the fixture under other names.

use blitz_contract::{Manifest, package};
use blitz_jobs::plugin::{Carrier, PublicKey, Release, SigningKey};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{Api, FIXTURE, FIXTURE_MANIFEST};

/// Someone with a key.
#[derive(Debug)]
pub struct Publisher {
    key: SigningKey,
}

/// A component with its manifest inside, or a native library.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The manifest's JSON.
    pub manifest: String,
    /// The file.
    pub file: Vec<u8>,
    /// What the file is.
    pub carrier: Carrier,
}

impl Plugin {
    /// The fixture under another name and version.
    ///
    /// # Panics
    ///
    /// When the fixture is no component.
    #[must_use]
    pub fn named(name: &str, version: &str) -> Self {
        Self::named_with(name, version, |_| {})
    }

    /// The same with a manifest that was changed as wanted.
    ///
    /// # Panics
    ///
    /// When the fixture is no component.
    #[must_use]
    pub fn named_with(name: &str, version: &str, change: impl FnOnce(&mut Manifest)) -> Self {
        let mut plugin = Self::changed(name, version, change);
        let packed = package::with_manifest(FIXTURE, &plugin.manifest);
        plugin.file = packed.expect("the fixture is a component");
        plugin
    }

    /// A native library with the fixture's manifest, changed as wanted.
    ///
    /// # Panics
    ///
    /// When the fixture's manifest is none.
    #[must_use]
    pub fn native(
        name: &str,
        version: &str,
        library: Vec<u8>,
        change: impl FnOnce(&mut Manifest),
    ) -> Self {
        Self { file: library, carrier: Carrier::Native, ..Self::changed(name, version, change) }
    }

    fn changed(name: &str, version: &str, change: impl FnOnce(&mut Manifest)) -> Self {
        let mut manifest = Manifest::from_toml(FIXTURE_MANIFEST).expect("the fixture's manifest");
        (manifest.name, manifest.version) = (name.to_owned(), version.to_owned());
        change(&mut manifest);
        let manifest = serde_json::to_string(&manifest).expect("a manifest is JSON");
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, manifest, file: Vec::new(), carrier: Carrier::Component }
    }

    /// The same with so many more bytes, in a section that nobody reads.
    ///
    /// # Panics
    ///
    /// When there are more than fit into a section.
    #[must_use]
    pub fn with_padding(mut self, bytes: usize) -> Self {
        let name = b"\x03pad";
        let mut length = u32::try_from(bytes + name.len()).expect("a section");
        let mut section = vec![0];
        while length >= 0x80 {
            section.push(u8::try_from(length & 0x7f).expect("7 bits") | 0x80);
            length >>= 7;
        }
        section.push(u8::try_from(length).expect("7 bits"));
        section.extend_from_slice(name);
        section.resize(section.len() + bytes, 0x5a);
        self.file.extend(section);
        self
    }

    /// `name@version`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// sha256 of the file.
    #[must_use]
    pub fn sha256(&self) -> String {
        blitz_jobs::plugin::sha256(&self.file)
    }

    /// The id of its document.
    #[must_use]
    pub fn document_id(&self) -> String {
        format!("plugin:{}:{}", self.name, self.version)
    }

    /// Its path in the API.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/v1/plugins/{}/{}", self.name, self.version)
    }

    /// A job of it.
    #[must_use]
    pub fn job(&self, regions: &[&str], args: &[&str]) -> Value {
        json!({"plugin": self.name, "args": args, "regions": regions})
    }
}

impl Publisher {
    /// With a new key.
    ///
    /// # Panics
    ///
    /// When there are no random numbers.
    #[must_use]
    pub fn new() -> Self {
        Self { key: SigningKey::generate().expect("random numbers") }
    }

    /// The key that engines trust.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Publishes and gives the gateway's answer.
    ///
    /// # Panics
    ///
    /// When the gateway cannot be reached.
    pub async fn publish(&self, api: &Api, plugin: &Plugin, only: &[&str]) -> (StatusCode, Value) {
        self.send(api, plugin, only, false).await
    }

    /// The same for the publisher's own tenant alone.
    ///
    /// # Panics
    ///
    /// When the gateway cannot be reached.
    pub async fn publish_private(&self, api: &Api, plugin: &Plugin) -> (StatusCode, Value) {
        self.send(api, plugin, &[], true).await
    }

    async fn send(
        &self,
        api: &Api,
        plugin: &Plugin,
        only: &[&str],
        private: bool,
    ) -> (StatusCode, Value) {
        let only = only.iter().map(|&region| region.to_owned()).collect();
        let release =
            Release::sign(&self.key, plugin.carrier.clone(), &plugin.manifest, &plugin.file, only);
        let release = Release { private, ..release.expect("a manifest") };
        let mut body = serde_json::to_vec(&release).expect("JSON");
        body.push(b'\n');
        body.extend_from_slice(&plugin.file);
        api.put_bytes(&plugin.path(), body).await
    }

    /// Publishes what must be taken.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn publish_new(&self, api: &Api, plugin: &Plugin, only: &[&str]) {
        let (status, answer) = self.publish(api, plugin, only).await;
        assert_eq!(status, StatusCode::CREATED, "{}: {answer}", plugin.label());
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}
