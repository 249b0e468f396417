//! A token that shows who asks, and may be renewed while clients use it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use crate::error::Error;

/// The place of a token. Clones share it: whoever renews the token sets it here, and each request, and each feed that
/// connects again, takes the newest.
///
/// Without a token name and password stand, where there are any.
#[derive(Clone, Default)]
pub struct Bearer(Arc<Mutex<Option<HeaderValue>>>);

impl Bearer {
    /// A place with a token.
    ///
    /// # Errors
    ///
    /// As [`Bearer::set`].
    pub fn new(token: &str) -> Result<Self, Error> {
        let bearer = Self::default();
        bearer.set(token)?;
        Ok(bearer)
    }

    /// Puts a token in the place of the one before.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when it cannot stand in a header; the one before stays.
    pub fn set(&self, token: &str) -> Result<(), Error> {
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_token);
        let mut header = header.ok_or_else(|| Error::Invalid {
            what: "a token",
            value: format!("{} bytes", token.len()),
            reason: "it must be visible ASCII characters without spaces".to_owned(),
        })?;
        header.set_sensitive(true);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
        Ok(())
    }

    /// Takes the token away.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest token, as it stands in a request.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Bearer {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bearer").field(&self.header().map(|_| "hidden")).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_token_is_shown_and_no_log_has_it() {
        let bearer = Bearer::default();
        assert_eq!(bearer.header(), None);
        let shared = bearer.clone();
        shared.set("one.two").unwrap();
        assert_eq!(bearer.header().unwrap(), "Bearer one.two");
        for bad in ["", "a b", "a\nb", "\u{e4}"] {
            assert!(shared.set(bad).is_err(), "{bad:?} passed for a token");
        }
        assert_eq!(bearer.header().unwrap(), "Bearer one.two");
        assert!(!format!("{bearer:?}").contains("one.two"), "{bearer:?}");
        shared.clear();
        assert_eq!(bearer.header(), None);
    }
}
