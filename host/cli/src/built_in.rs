//! The plugins that this binary carries. They are published into the control database at start like any
//! other; engines learn of them only there, and believe them by their digest.

use blitz_contract::{Manifest, ManifestError};

/// A plugin inside the binary.
pub(crate) struct BuiltInPlugin {
    manifest: &'static str,
    pub(crate) component: &'static [u8],
}

/// All of them.
pub(crate) const PLUGINS: [BuiltInPlugin; 1] = [BuiltInPlugin {
    manifest: include_str!("../../../plugins/curl/plugin.toml"),
    component: include_bytes!(concat!(env!("OUT_DIR"), "/curl.wasm")),
}];

impl BuiltInPlugin {
    /// What it says of itself.
    ///
    /// # Errors
    ///
    /// Never in a binary whose tests passed.
    pub(crate) fn manifest(&self) -> Result<Manifest, ManifestError> {
        Manifest::from_toml(self.manifest)
    }

    /// sha256 of its component in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        blitz_jobs::plugin::sha256(self.component)
    }
}

/// The manifests of all, for help and completion where no gateway is.
pub(crate) fn manifests() -> impl Iterator<Item = Manifest> {
    PLUGINS.iter().filter_map(|plugin| plugin.manifest().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_is_a_plugin() {
        for plugin in &PLUGINS {
            let manifest = plugin.manifest().unwrap();
            assert!(plugin.component.starts_with(b"\0asm"), "{} is a component", manifest.name);
        }
    }

    #[test]
    fn curl_has_the_columns_of_a_web_check() {
        let curl = PLUGINS[0].manifest().unwrap();
        let titles = curl.table.unwrap().columns.into_iter().map(|column| column.title);
        let titles = titles.collect::<Vec<_>>().join(" ");
        assert_eq!(titles, "STATUS DNS CONNECT TLS TTFB TOTAL CERT-DAYS");
    }
}
