//! Asking a view: what its reduce says of each key. An index may be behind, and the first question after a while waits for it.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::database::Database;
use crate::error::Error;

impl Database {
    /// The rows of a view with `group=true`: each key, and what its reduce says of it. `design` is the id of the design
    /// document, `_design/NAME`.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] with code 404 when there is no such design document or view; [`Error::Decode`] when a row does not fit `K` and
    /// `V`, as one whose value is an error of a built-in reduce; [`Error::Status`] with code 200 when the server says of
    /// a row that it has none.
    pub async fn reduced<K: DeserializeOwned, V: DeserializeOwned>(
        &self,
        design: &str,
        view: &str,
    ) -> Result<Vec<(K, V)>, Error> {
        let path = self.path()?.document(design)?.endpoint("_view").segment(view);
        let request = self.read(Method::GET, path.parameter("group", "true"));
        let answer = self.client().call_for(&request, &[StatusCode::OK]).await?;
        let exchange = self.client().exchange();
        let page: RawPage = exchange.decode(&request, &answer.body)?;
        let mut rows = Vec::with_capacity(page.rows.len());
        for row in page.rows {
            if let Some(error) = row.error {
                let reason = format!("a row of {design}/_view/{view}: {}", row.reason);
                return Err(Error::Status {
                    request: exchange.name(&request),
                    code: 200,
                    error,
                    reason,
                });
            }
            let not_understood = |source| exchange.not_understood(&request, source);
            let key = serde_json::from_str(row.key.get()).map_err(not_understood)?;
            let value = serde_json::from_str(row.value.get()).map_err(not_understood)?;
            rows.push((key, value));
        }
        Ok(rows)
    }
}

#[derive(Deserialize)]
struct RawPage {
    rows: Vec<RawRow>,
}

/// `value` is there also in a row that is an error, and says nothing then.
#[derive(Deserialize)]
struct RawRow {
    #[serde(default = "null")]
    key: Box<RawValue>,
    #[serde(default = "null")]
    value: Box<RawValue>,
    error: Option<String>,
    #[serde(default)]
    reason: String,
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}
