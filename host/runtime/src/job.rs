//! What the host keeps for one running guest: WASI with nothing granted, its handles, its limits, and what
//! the imports need. It is dropped with the run; nothing is shared between two runs.

use std::collections::{BTreeMap, BTreeSet};

use blitz_contract::{Capability, Stream};
use bytes::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::doing::Doing;
use crate::http;
use crate::limits::{RANDOM_MAX_BYTES, RESOURCES_MAX};
use crate::memory::MemoryLimit;
use crate::meter::CpuTime;
use crate::output::{Outlet, Stdio};

pub(crate) struct Job {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryLimit,
    pub(crate) outlet: Outlet,
    pub(crate) doing: Doing,
    pub(crate) cpu: CpuTime,
    pub(crate) inputs: BTreeMap<String, Bytes>,
    /// The files that were written so far, by name.
    pub(crate) files: BTreeSet<String>,
    capabilities: Vec<Capability>,
    pub(crate) http: http::Client,
    /// HTTP bodies that are open.
    pub(crate) bodies: usize,
}

impl Job {
    pub(crate) fn new(
        inputs: BTreeMap<String, Bytes>,
        capabilities: Vec<Capability>,
        memory: MemoryLimit,
        outlet: Outlet,
        doing: Doing,
        cpu: CpuTime,
        http: http::Client,
    ) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Stdio { outlet: outlet.clone(), stream: Stream::Stdout })
            .stderr(Stdio { outlet: outlet.clone(), stream: Stream::Stderr })
            .allow_tcp(false)
            .allow_udp(false)
            .max_random_size(RANDOM_MAX_BYTES);
        if let Some(stdin) = inputs.get("-") {
            wasi.stdin(MemoryInputPipe::new(stdin.clone()));
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            wasi: wasi.build(),
            table,
            memory,
            outlet,
            doing,
            cpu,
            inputs,
            files: BTreeSet::new(),
            capabilities,
            http,
            bodies: 0,
        }
    }

    /// Whether a right was granted.
    ///
    /// # Errors
    ///
    /// The text of a denial, which names the missing grant.
    pub(crate) fn granted(&self, wanted: Capability) -> Result<(), String> {
        if self.capabilities.contains(&wanted) {
            return Ok(());
        }
        let Capability::Web = wanted;
        Err("the job has no grant \"web\": the plugin's manifest must ask for it (capabilities = [\"web\"])"
            .to_owned())
    }
}

impl WasiView for Job {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
