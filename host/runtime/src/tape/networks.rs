//! Whose addresses these are, on a tape.

use blitz_contract::probes::Network as Words;

use super::heard::Heard;
use crate::bindings::blitz::plugin::networks::{Error, Network};
use crate::job::Job;

const IMPORT: &str = "networks.whose";

impl Job {
    /// One call of `whose`, by `live` or from the tape.
    pub(crate) fn hear_networks(
        &mut self,
        addresses: &[String],
        live: impl FnOnce(&mut Self) -> Result<Vec<Option<Network>>, Error>,
    ) -> wasmtime::Result<Result<Vec<Option<Network>>, Error>> {
        if self.tape.is_live() {
            return Ok(live(self));
        }
        let heard = self.hear(IMPORT, &addresses, |job| {
            Ok(Heard::of(&live(job), |found: &Vec<Option<Network>>| -> Vec<Option<Words>> {
                found.iter().cloned().map(|network| network.map(Into::into)).collect()
            }))
        })?;
        Ok(heard.back(|found| found.into_iter().map(|network| network.map(Into::into)).collect()))
    }
}
