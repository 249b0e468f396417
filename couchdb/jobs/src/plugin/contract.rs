//! Whether this build speaks the contract that a plugin was built for: one answer for those who build, publish and run.

use blitz_contract::CONTRACT_VERSION;

use crate::plugin::document::version_order;

/// A contract that this build does not speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was built for contract {wanted}, this blitz has {CONTRACT_VERSION}; update blitz, or build it with an \
     SDK of contract {CONTRACT_VERSION}"
)]
pub struct UnspokenContract {
    /// What the plugin was built for.
    pub wanted: String,
}

/// A plugin runs on the contract that it was built for and on later minors of it.
///
/// # Errors
///
/// [`UnspokenContract`] for all others.
pub fn check_contract(wanted: &str) -> Result<(), UnspokenContract> {
    match (version_order(wanted), version_order(CONTRACT_VERSION)) {
        (Some([major, minor, _]), Some([our_major, our_minor, _]))
            if major == our_major && minor <= our_minor =>
        {
            Ok(())
        }
        _ => Err(UnspokenContract { wanted: wanted.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_is_spoken_by_later_minors_of_it() {
        for (contract, is_spoken) in [
            ("0.0.1", true),
            ("0.1.0", true),
            ("0.1.9", true),
            ("0.2.0", false),
            ("1.0.0", false),
            ("nonsense", false),
        ] {
            assert_eq!(check_contract(contract).is_ok(), is_spoken, "{contract}");
        }
    }
}
