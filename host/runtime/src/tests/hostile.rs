//! Components that mean harm. Whatever one of them does, the host does not panic, what it held is given back, its
//! end says why, and the next run on the same runtime works.
//!
//! `guests` are components that load and then misbehave; `files` are those that should not load at all.

mod files;
mod guests;

use blitz_contract::{Exit, Limits};
use bytes::Bytes;

use super::component::{MEMORY, invocation, plugin, run, sha256};
use crate::{Error, Plugin, Runtime, RuntimeConfig};

/// A runtime with an honest guest beside the harmful ones.
struct House {
    runtime: Runtime,
    honest: Plugin,
    instances: usize,
}

impl House {
    async fn new() -> Self {
        let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
        let bytes = plugin(MEMORY, "(i32.const 7)");
        let digest = sha256(&bytes);
        let honest = runtime.load(bytes, &digest).await.unwrap();
        let instances = runtime.free_instances();
        Self { runtime, honest, instances }
    }

    async fn load(&self, bytes: Bytes) -> Result<Plugin, Error> {
        let digest = sha256(&bytes);
        self.runtime.load(bytes, &digest).await
    }

    /// Runs a guest with small limits and gives its end. All of its frames are awaited: the channel closes only
    /// when everything that the run held is dropped.
    async fn ends(&self, guest: &Plugin) -> Exit {
        let (mut invocation, frames) = invocation(8);
        invocation.deadline = std::time::Duration::from_millis(800);
        invocation.limits = Limits {
            memory_bytes: Some(16 * 1024 * 1024),
            output_bytes: Some(1024 * 1024),
            cpu_ms: Some(300),
            ..Limits::default()
        };
        run(guest, invocation, frames).await.0
    }

    /// The host is as it was before.
    async fn is_well(&self, after: &str) {
        assert_eq!(self.runtime.free_instances(), self.instances, "instances after {after:?}");
        let (invocation, frames) = invocation(8);
        let exit = run(&self.honest, invocation, frames).await.0;
        assert_eq!(exit, Exit::Status(7), "the next run after {after:?}");
    }
}
