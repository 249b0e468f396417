//! Who may do what: the rights of one run, the one check that every import asks, and which right an import of a
//! component is for. Nothing else in this crate looks at capabilities.

use blitz_contract::{Capability, Stopped};

/// The rights that one run was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants(Vec<Capability>);

impl Grants {
    /// # Errors
    ///
    /// [`Stopped::Unusable`] for a right that this version does not know: what it would lend cannot be told, and
    /// a plugin that names it cannot do without it.
    pub(crate) fn new(rights: Vec<Capability>) -> Result<Self, Stopped> {
        let unknown = rights.iter().find(|right| matches!(right, Capability::Unknown(_)));
        match unknown {
            None => Ok(Self(rights)),
            Some(right) => {
                let known = Capability::KNOWN.map(|known| known.name().to_owned()).join(", ");
                Err(Stopped::Unusable(format!(
                    "it asks for the right {:?}, and this engine knows {known}; upgrade the engine",
                    right.name()
                )))
            }
        }
    }

    /// Whether a right was given.
    ///
    /// # Errors
    ///
    /// The text of a denial, which names the missing grant.
    pub(crate) fn check(&self, wanted: &Capability) -> Result<(), String> {
        if self.0.contains(wanted) {
            return Ok(());
        }
        Err(format!(
            "the job has no grant {0:?}: the plugin's manifest must ask for it (capabilities = [{0:?}])",
            wanted.name()
        ))
    }
}

/// An interface that this host offers to components.
struct Offer {
    /// `package/interface` without a version; `package/` stands for all of its interfaces.
    name: &'static str,
    /// `None` is lent to every plugin.
    needs: Option<Capability>,
    words: &'static str,
}

const fn offer(name: &'static str, needs: Option<Capability>, words: &'static str) -> Offer {
    Offer { name, needs, words }
}

/// In the order of a report: what reaches out first.
static OFFERS: [Offer; 17] = [
    offer(
        "blitz:plugin/web",
        Some(Capability::Web),
        "make HTTP requests to addresses that the engine allows",
    ),
    offer(
        "wasi:http/",
        Some(Capability::Web),
        "make HTTP requests to addresses that the engine allows",
    ),
    offer(
        "wasi:sockets/",
        Some(Capability::Sockets),
        "open TCP and UDP connections to addresses that the engine allows",
    ),
    offer(
        "blitz:plugin/dns",
        Some(Capability::Dns),
        "ask the DNS, also a server of its choice that the engine allows",
    ),
    offer(
        "blitz:plugin/probes",
        Some(Capability::Probes),
        "send probes (UDP, ICMP, TCP) to addresses that the engine allows",
    ),
    offer(
        "blitz:plugin/load",
        Some(Capability::Load),
        "load targets whose owners or whose operator agree to it",
    ),
    offer("blitz:plugin/networks", None, "look addresses up in the engine's database of networks"),
    offer(
        "blitz:plugin/files",
        None,
        "read the files that the command line names, and write those that it names as outputs",
    ),
    offer("wasi:filesystem/", None, "work with a file system: the engine lends none"),
    offer("blitz:plugin/events", None, "give structured records beside its output"),
    offer("blitz:plugin/metrics", None, "give counters and distributions beside its output"),
    offer("blitz:plugin/control", None, "see how much time it has, and whether it is to end"),
    offer("blitz:plugin/types", None, "name the host's errors"),
    offer("wasi:cli/", None, "see its arguments, read stdin, print, and exit"),
    offer("wasi:clocks/", None, "read clocks and wait"),
    offer("wasi:random/", None, "get random numbers"),
    offer("wasi:io/", None, "wait for several things at once"),
];

fn offer_of(import: &str) -> Option<&'static Offer> {
    let interface = import.split_once('@').map_or(import, |(interface, _version)| interface);
    OFFERS.iter().find(|offer| match offer.name.strip_suffix('/') {
        Some(package) => interface.split_once('/').is_some_and(|(of, _)| of == package),
        None => interface == offer.name,
    })
}

/// The right that a component needs to make use of this import: `wasi:sockets/tcp@0.2.6`, or
/// `blitz:plugin/web@0.1.0`. `None` for what every plugin may use, and for what no host offers.
///
/// A component may import what it never calls, as interpreters do: without the right the call is denied.
#[must_use]
pub fn capability_of_import(import: &str) -> Option<Capability> {
    offer_of(import)?.needs.clone()
}

/// What this import lets a component do, for people; reads behind "it can". `None` for one that this host does
/// not offer: such a component cannot be loaded.
#[must_use]
pub fn import_in_words(import: &str) -> Option<&'static str> {
    Some(offer_of(import)?.words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_the_grant() {
        let grants = Grants::new(vec![Capability::Web]).unwrap();
        assert_eq!(grants.check(&Capability::Web), Ok(()));
        let denied = grants.check(&Capability::Dns).unwrap_err();
        assert_eq!(
            denied,
            "the job has no grant \"dns\": the plugin's manifest must ask for it (capabilities = [\"dns\"])"
        );
    }

    #[test]
    fn an_unknown_right_makes_a_plugin_unusable() {
        let rights = vec![Capability::Web, Capability::Unknown("teleport".to_owned())];
        let refused = Grants::new(rights).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the plugin cannot be used: it asks for the right \"teleport\", and this engine knows web, sockets, \
             dns, probes, load; upgrade the engine"
        );
    }

    #[test]
    fn imports_have_rights_and_words() {
        for (import, needs) in [
            ("blitz:plugin/web@0.1.0", Some(Capability::Web)),
            ("wasi:http/outgoing-handler@0.2.4", Some(Capability::Web)),
            ("wasi:http/types", Some(Capability::Web)),
            ("wasi:sockets/tcp-create-socket@0.2.0", Some(Capability::Sockets)),
            ("wasi:sockets/ip-name-lookup@0.2.6", Some(Capability::Sockets)),
            ("blitz:plugin/dns@0.1.0", Some(Capability::Dns)),
            ("blitz:plugin/load@0.1.0", Some(Capability::Load)),
            ("blitz:plugin/metrics@0.1.0", None),
            ("wasi:cli/stdout@0.2.0", None),
            ("wasi:filesystem/preopens@0.2.0", None),
        ] {
            assert_eq!(capability_of_import(import), needs, "{import}");
            assert!(import_in_words(import).is_some(), "{import}");
        }
        for stranger in
            ["", "web", "wasi:socketsx/tcp", "wasi:nn/graph@0.2.0", "blitz:plugin/webs@0.1.0"]
        {
            assert_eq!(capability_of_import(stranger), None, "{stranger}");
            assert_eq!(import_in_words(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn the_words_of_a_right_are_its_own() {
        for offer in &OFFERS {
            if let Some(right) = &offer.needs {
                assert_eq!(right.in_words(), offer.words, "{}", offer.name);
            }
        }
    }
}
