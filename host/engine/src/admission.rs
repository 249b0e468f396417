//! Whether this engine runs a version, by all that its document says. Pure: the file itself is looked at when it
//! is loaded.

use blitz_contract::Capability;
use blitz_jobs::plugin::{Carrier, PluginDocument, check_contract};

use crate::trust::Roots;

/// What is to become of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Load it.
    Admit,
    /// It is for other regions: nothing is wrong with it.
    Elsewhere,
    /// Not here, and why, with the next step.
    Refuse(String),
}

/// Decides on one version for an engine of a region.
pub(crate) fn admit(
    document: &PluginDocument,
    region: &str,
    is_promoted: bool,
    roots: &Roots,
) -> Verdict {
    if !document.is_for(region, is_promoted) {
        return Verdict::Elsewhere;
    }
    let sound = is_sound(document).and_then(|()| is_trusted(document, roots));
    sound.map_or_else(Verdict::Refuse, |()| Verdict::Admit)
}

fn is_sound(document: &PluginDocument) -> Result<(), String> {
    document.manifest.check().map_err(|error| error.to_string())?;
    check_contract(&document.manifest.contract).map_err(|error| error.to_string())?;
    let mut asked = document.manifest.capabilities.iter();
    if let Some(Capability::Unknown(name)) = asked.find(|c| matches!(c, Capability::Unknown(_))) {
        return Err(format!(
            "it asks for the right {name:?}, which this engine does not know; update the engine"
        ));
    }
    match &document.carrier {
        Carrier::Component | Carrier::Native => Ok(()),
        Carrier::Unknown(name) => {
            Err(format!("plugins as {name:?} are not known to this engine; update the engine"))
        }
    }
}

fn is_trusted(document: &PluginDocument, roots: &Roots) -> Result<(), String> {
    // Built-ins alone are believed by their bytes; they are components, and have the sandbox's limits.
    if document.carrier.is_component() && roots.has_digest(&document.sha256) {
        return Ok(());
    }
    let key = document.signer().map_err(|error| error.to_string())?;
    if document.carrier.is_component() {
        return match roots.has_key(key) {
            true => Ok(()),
            false => Err(format!(
                "this engine does not trust the key {key}; 'blitz plugin trust {key}' on its machine does"
            )),
        };
    }
    match roots.has_native_key(key) {
        true => Ok(()),
        false => Err(format!(
            "this engine does not trust the key {key} for native plugins; \
             'blitz plugin trust {key} --native' on its machine does"
        )),
    }
}

#[cfg(test)]
mod tests {
    use blitz_jobs::plugin::{Release, SigningKey};

    use super::*;
    use crate::trust::Trust;

    const FILE: &[u8] = b"\0asm\x0d\0\x01\0";

    fn signed(key: &SigningKey, change: (&str, &str)) -> PluginDocument {
        let text = r#"{"name":"hops","version":"0.1.0","summary":"s","contract":"0.1.0","capabilities":["web"]}"#;
        let text = text.replace(change.0, change.1);
        let release = Release::sign(key, Carrier::Component, &text, FILE, Vec::new()).unwrap();
        release.check("hops", "0.1.0", FILE).unwrap().document(release, 7)
    }

    fn refusal(document: &PluginDocument, trust: Trust) -> String {
        match admit(document, "japan", false, &Roots::new(trust)) {
            Verdict::Refuse(reason) => reason,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_version_is_run_by_those_who_trust_its_key_and_know_what_it_asks_for() {
        let key = SigningKey::generate().unwrap();
        let public = key.public();
        let mine = || Trust { keys: [key.public()].into(), ..Trust::default() };
        let good = signed(&key, ("", ""));
        let untrusted = format!("does not trust the key {public}; 'blitz plugin trust {public}'");
        let other = || SigningKey::generate().unwrap().public();
        let theirs = || Trust { keys: [other()].into(), ..Trust::default() };
        let by_digest = || Trust { digests: [good.sha256.clone()].into(), ..Trust::default() };
        let mut forged = good.clone();
        forged.signature.as_mut().unwrap().key = other();
        let mut wider = good.clone();
        wider.manifest.capabilities.push(Capability::Sockets);
        let unsigned = PluginDocument { signature: None, ..good.clone() };
        for (document, trust, says) in [
            (good.clone(), mine(), "Admit"),
            (good.clone(), theirs(), &untrusted),
            (good.clone(), Trust::default(), &untrusted),
            (unsigned.clone(), by_digest(), "Admit"),
            (unsigned, mine(), "nobody signed it"),
            (forged, mine(), "its signature is not that of its key"),
            (wider, mine(), "its manifest is not the one that was signed"),
            (signed(&key, ("\"contract\":\"0.1.0\"", "\"contract\":\"0.1.9\"")), mine(), "Admit"),
            (
                signed(&key, ("\"contract\":\"0.1.0\"", "\"contract\":\"0.2.0\"")),
                mine(),
                "it was built for contract 0.2.0, this blitz has 0.1.0",
            ),
            (
                signed(&key, ("\"contract\":\"0.1.0\"", "\"contract\":\"1.0.0\"")),
                mine(),
                "it was built for contract 1.0.0, this blitz has 0.1.0",
            ),
            (signed(&key, ("\"web\"", "\"teleport\"")), mine(), "asks for the right \"teleport\""),
            (PluginDocument { carrier: Carrier::Native, ..good.clone() }, by_digest(), "signature"),
        ] {
            let reason = refusal(&document, trust);
            assert!(reason.contains(says), "{says}: {reason}");
        }
    }

    #[test]
    fn a_native_library_needs_a_key_that_is_trusted_for_native_libraries() {
        const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0";
        let key = SigningKey::generate().unwrap();
        let text = r#"{"name":"hops","version":"0.1.0","summary":"s","contract":"0.1.0"}"#;
        let release = Release::sign(&key, Carrier::Native, text, ELF, Vec::new()).unwrap();
        let native = release.check("hops", "0.1.0", ELF).unwrap().document(release, 7);
        let keys = || [key.public()].into();
        let public = key.public();
        let says = format!(
            "does not trust the key {public} for native plugins; 'blitz plugin trust {public} --native'"
        );
        let reason = refusal(&native, Trust { keys: keys(), ..Trust::default() });
        assert!(reason.contains(&says), "{reason}");
        let wide = || Trust { native_keys: keys(), ..Trust::default() };
        assert_eq!(refusal(&native, wide()), "Admit");
        assert_eq!(refusal(&signed(&key, ("", "")), wide()), "Admit", "its components too");
    }

    #[test]
    fn a_version_of_other_regions_is_left_to_them() {
        let key = SigningKey::generate().unwrap();
        let only = PluginDocument { only: vec!["virginia".to_owned()], ..signed(&key, ("", "")) };
        let trust = Trust { keys: [key.public()].into(), ..Trust::default() };
        let roots = Roots::new(trust);
        assert_eq!(admit(&only, "japan", false, &roots), Verdict::Elsewhere);
        assert_eq!(admit(&only, "japan", true, &roots), Verdict::Admit);
        assert_eq!(admit(&only, "virginia", false, &roots), Verdict::Admit);
    }
}
