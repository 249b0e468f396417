//! What stands beside a CouchDB and speaks JSON: the issuer of its tokens. The same connections, limits and TLS.

use http::Method;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::exchange::Request;
use crate::path::Path;

impl Client {
    /// Posts JSON to a path that is no database's, and gives the status and the JSON answer, whatever they are.
    ///
    /// It may be sent twice: the other side must take the second for the first.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when the answer is no JSON; those of the way there.
    pub async fn post_beside(
        &self,
        path: &'static str,
        body: &Value,
    ) -> Result<(u16, Value), Error> {
        let mut request = Request::read(Method::POST, Path::server(path), self.request_timeout());
        request = request.json(body.to_string().into_bytes());
        let answer = self.exchange().call(&request).await?;
        let said = self.exchange().decode(&request, &answer.body)?;
        Ok((answer.status.as_u16(), said))
    }
}
