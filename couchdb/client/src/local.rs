//! Documents of one server: never replicated, not in feeds, and without a revision check.

use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::database::Database;
use crate::document::Body;
use crate::error::Error;
use crate::put::object;

impl Database {
    /// Reads `_local/ID`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when the body does not fit `T`.
    pub async fn get_local<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, Error> {
        let request = self.read(Method::GET, self.path()?.document(&format!("_local/{id}"))?);
        match self.find(&request).await? {
            Some(body) => {
                let Body(body) = self.client().exchange().decode(&request, &body)?;
                Ok(Some(body))
            }
            None => Ok(None),
        }
    }

    /// Writes `_local/ID` over whatever is there: the last writer wins, so this is never a lock.
    ///
    /// # Errors
    ///
    /// Any of [`Error`].
    pub async fn put_local<T: Serialize + ?Sized>(&self, id: &str, body: &T) -> Result<(), Error> {
        let request = self.write(Method::PUT, self.path()?.document(&format!("_local/{id}"))?);
        let body = object(None, body).map_err(|source| Error::Encode {
            request: self.client().exchange().name(&request),
            source,
        })?;
        let wanted = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
        self.client().call_for(&request.json(body), &wanted).await.map(|_| ())
    }
}
