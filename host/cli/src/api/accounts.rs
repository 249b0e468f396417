//! Calls about tenants, keys, plans, targets and the audit. Their answers are given whole, for `--json`, and what a table shows is
//! read out of them: fields of a later gateway are not lost.

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ANSWER_MAX, Error, Gateway};

impl Gateway {
    /// Who the gateway takes us for.
    pub(crate) async fn whoami(&self) -> Result<Value, Error> {
        self.ask(Method::GET, "/v1/whoami", None).await
    }

    /// Asks, and gives the answer as it came; null where it is empty. Never repeated here: some of these make something.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Error> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let answer = self.answer_within(ANSWER_MAX, method, path, body).await?;
        match answer.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(&answer).map_err(|e| self.strange(e)),
        }
    }

    /// What a table shows of an answer.
    pub(crate) fn read_answer<T: DeserializeOwned>(&self, answer: &Value) -> Result<T, Error> {
        T::deserialize(answer).map_err(|e| self.strange(e))
    }
}
