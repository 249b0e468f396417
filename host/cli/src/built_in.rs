//! The plugins that this binary carries. They are published into the control database at start like any
//! other; engines learn of them only there, and believe them by their digest.

use blitz_contract::{Manifest, ManifestError};

/// A plugin inside the binary.
pub(crate) struct BuiltInPlugin {
    manifest: &'static str,
    pub(crate) component: &'static [u8],
}

/// A plugin of this repository, which the build script has made.
macro_rules! built_in {
    ($name:literal) => {
        BuiltInPlugin {
            manifest: include_str!(concat!("../../../plugins/", $name, "/plugin.toml")),
            component: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
        }
    };
}

/// All of them.
pub(crate) const PLUGINS: &[BuiltInPlugin] = &[
    built_in!("curl"),
    built_in!("traceroute"),
    built_in!("ping"),
    built_in!("mtr"),
    built_in!("dig"),
    built_in!("rush"),
];

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
        for plugin in PLUGINS {
            let manifest = plugin.manifest().unwrap();
            assert!(plugin.component.starts_with(b"\0asm"), "{} is a component", manifest.name);
        }
    }

    #[test]
    fn each_has_the_columns_of_its_trade() {
        for (plugin, columns) in [
            ("curl", "STATUS DNS CONNECT TLS TTFB TOTAL CERT-DAYS"),
            ("traceroute", "ADDRESS HOPS RTT REACHED PROBES"),
            ("ping", "LOSS MIN AVG MAX JITTER"),
        ] {
            let table = manifests().find(|m| m.name == plugin).and_then(|m| m.table).unwrap();
            let titles = table.columns.into_iter().map(|column| column.title);
            assert_eq!(titles.collect::<Vec<_>>().join(" "), columns);
        }
    }
}
