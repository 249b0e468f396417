//! What the host keeps for one running guest: WASI with nothing granted, its handles, its limits, and what
//! the imports need. It is dropped with the run; nothing is shared between two runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use blitz_contract::{Capability, Stream};
use bytes::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::carrier::Program;
use crate::control::Control;
use crate::doing::Doing;
use crate::grants::Grants;
use crate::http;
use crate::limits::{RANDOM_MAX_BYTES, RESOURCES_MAX};
use crate::load::{LoadSetting, Loads};
use crate::memory::MemoryLimit;
use crate::meter::CpuTime;
use crate::metrics::Metrics;
use crate::networks::Networks;
use crate::output::{Outlet, Stdio};
use crate::tape::Deck;
use crate::wasi_http::WasiHttp;
use crate::wasi_sockets::Net;

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
    grants: Grants,
    pub(crate) control: Control,
    pub(crate) metrics: Metrics,
    pub(crate) http: http::Client,
    pub(crate) networks: Arc<Networks>,
    /// HTTP bodies that are open.
    pub(crate) bodies: usize,
    /// Sessions of probes that are open.
    pub(crate) sessions: usize,
    /// A load test is open.
    pub(crate) has_test: bool,
    pub(crate) loads: Arc<Loads>,
    pub(crate) load: LoadSetting,
    pub(crate) tape: Deck,
    pub(crate) net: Net,
    pub(crate) wasi_http: WasiHttp,
}

/// What a job is made of.
pub(crate) struct Lent {
    pub(crate) inputs: BTreeMap<String, Bytes>,
    pub(crate) grants: Grants,
    pub(crate) memory: MemoryLimit,
    pub(crate) outlet: Outlet,
    pub(crate) doing: Doing,
    pub(crate) cpu: CpuTime,
    pub(crate) control: Control,
    pub(crate) metrics: Metrics,
    pub(crate) http: http::Client,
    pub(crate) networks: Arc<Networks>,
    pub(crate) loads: Arc<Loads>,
    pub(crate) load: LoadSetting,
    /// What a WASI command is told of its process.
    pub(crate) program: Program,
    pub(crate) sockets_max: u32,
}

impl Job {
    pub(crate) fn new(lent: Lent) -> Self {
        let Lent {
            inputs,
            grants,
            memory,
            outlet,
            doing,
            cpu,
            control,
            metrics,
            http,
            networks,
            loads,
            load,
            program,
            sockets_max,
        } = lent;
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Stdio { outlet: outlet.clone(), stream: Stream::Stdout })
            .stderr(Stdio { outlet: outlet.clone(), stream: Stream::Stderr })
            .allow_tcp(false)
            .allow_udp(false)
            .max_random_size(RANDOM_MAX_BYTES);
        if let Some(stdin) = inputs.get("-") {
            wasi.stdin(MemoryInputPipe::new(stdin.clone()));
        }
        wasi.args(&program.argv).envs(&program.environment);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            wasi: wasi.build(),
            table,
            net: Net::new(http.egress().clone(), sockets_max, outlet.clone()),
            wasi_http: WasiHttp::new(http.clone(), outlet.clone()),
            memory,
            outlet,
            doing,
            cpu,
            inputs,
            files: BTreeSet::new(),
            grants,
            control,
            metrics,
            http,
            networks,
            bodies: 0,
            sessions: 0,
            has_test: false,
            loads,
            load,
            tape: Deck::default(),
        }
    }

    /// Whether a right was granted.
    ///
    /// # Errors
    ///
    /// The text of a denial, which names the missing grant.
    pub(crate) fn granted(&self, wanted: &Capability) -> Result<(), String> {
        self.grants.check(wanted)
    }
}

impl WasiView for Job {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
