//! The import `files`: the user's files that came with the job, and files that go back. Needs no grant,
//! for there is no file system behind it.

use blitz_contract::Stream;

use crate::bindings::blitz::plugin::files::{Error, Host};
use crate::job::Job;
use crate::limits::{FILE_NAME_MAX_BYTES, OUTPUT_FILES_MAX, READ_MAX_BYTES};

impl Host for Job {
    async fn read_input(
        &mut self,
        name: String,
        offset: u64,
        max_bytes: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let Some(input) = self.inputs.get(&name) else {
            return Ok(Err(Error::Denied(format!("{name:?} did not come with the job"))));
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(input.len());
        let wanted = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(READ_MAX_BYTES);
        let end = start.saturating_add(wanted).min(input.len());
        Ok(Ok(input[start..end].to_vec()))
    }

    async fn write_output(
        &mut self,
        name: String,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        if name.is_empty() || name.len() > FILE_NAME_MAX_BYTES || name.contains(char::is_control) {
            return Ok(Err(Error::Failed(format!(
                "a file name has 1 to {FILE_NAME_MAX_BYTES} bytes and no control characters"
            ))));
        }
        if !self.files.contains(&name) {
            if self.files.len() >= OUTPUT_FILES_MAX {
                return Ok(Err(Error::Limit(format!(
                    "a run writes at most {OUTPUT_FILES_MAX} files; {name:?} is one more"
                ))));
            }
            self.files.insert(name.clone());
        }
        self.outlet.give(&Stream::File(name), &bytes).await?;
        Ok(Ok(()))
    }
}
