//! Where a store may be reached: by everybody only when it has administrators.

use crate::{http::BadTokenKey, http::check_token_keys, options::Options};
use std::net::SocketAddr;

/// Why a listener is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// Without administrators everybody who reaches the listener may do everything.
    #[error(
        "serve a store without an administrator on {address}: whoever reaches this address could do everything; give an administrator, or listen on 127.0.0.1"
    )]
    OpenToAll {
        /// The address of the listener.
        address: SocketAddr,
    },
    /// An administrator whom everybody could be.
    #[error("serve a store on {address}: the administrator {name:?} has no password; give one")]
    NoPassword {
        /// The address of the listener.
        address: SocketAddr,
        /// The administrator.
        name: String,
    },
    /// A key of tokens that cannot check any.
    #[error("serve a store: {0}")]
    TokenKey(#[from] BadTokenKey),
}

/// Whether a store with these options may be served on this address.
///
/// On a loopback address always: there a store without administrators is as open as the machine.
/// Elsewhere only with an administrator. [`serve`](crate::serve) asks the same; this is for those who
/// want to know before they open the store.
///
/// # Errors
///
/// What is missing, and what to do.
pub fn check_listener(options: &Options, address: SocketAddr) -> Result<(), NotServed> {
    check_token_keys(&options.token_keys)?;
    if let Some(admin) = options.admins.iter().find(|admin| admin.password.is_empty()) {
        return Err(NotServed::NoPassword { address, name: admin.name.clone() });
    }
    if options.admins.is_empty() && !address.ip().to_canonical().is_loopback() {
        return Err(NotServed::OpenToAll { address });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Admin;

    #[test]
    fn only_loopback_is_served_without_an_administrator() {
        let admin = |password: &str| {
            let admin = Admin { name: String::from("root"), password: password.to_owned() };
            Options { admins: vec![admin], ..Options::default() }
        };
        for (address, open, guarded) in [
            ("127.0.0.1:1", true, true),
            ("127.9.9.9:1", true, true),
            ("[::1]:1", true, true),
            ("[::ffff:127.0.0.1]:1", true, true),
            ("0.0.0.0:1", false, true),
            ("[::]:1", false, true),
            ("10.0.0.1:1", false, true),
            ("[::ffff:10.0.0.1]:1", false, true),
            ("169.254.1.1:1", false, true),
        ] {
            let check = |options| check_listener(&options, address.parse().unwrap());
            assert_eq!(check(Options::default()).is_ok(), open, "{address}");
            assert_eq!(check(admin("pw")).is_ok(), guarded, "{address}");
            assert!(matches!(check(admin("")), Err(NotServed::NoPassword { .. })));
        }
        let text = NotServed::OpenToAll { address: "0.0.0.0:5984".parse().unwrap() }.to_string();
        assert!(text.contains("0.0.0.0:5984") && text.contains("give an administrator"), "{text}");
    }
}
