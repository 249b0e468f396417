//! `wasi:http` over the host's own exchanges. Needs the grant `web`, as the import of that name does.
//!
//! The resources of the interface are wasmtime-wasi-http's; a request goes out by [`http::Client`], so that
//! policy, TLS, budgets and limits are those of `web`. Only the outgoing handler is there.
//!
//! A request's body is collected before it goes out, for an exchange takes a whole one: all of a run together
//! at most [`REQUEST_BODIES_MAX_BYTES`]. Trailers of a request are refused, those of an answer are passed on. An
//! answer's body is read from the server as the guest reads it. Every request has a connection of its own.
//!
//! `send` is one request, `body` the two bodies, `codes` what went wrong in WASI's words.

mod body;
mod codes;
mod send;

use std::sync::Arc;

use blitz_contract::Capability;
use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::http;
use crate::job::Job;
use crate::limits::BODIES_MAX;
use crate::output::Outlet;
use body::Budget;

/// Bodies of requests of one run that lie in our memory: as much as the largest that `web` sends.
const REQUEST_BODIES_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Largest piece that a guest may write to a body at once.
const PIECE_MAX_BYTES: usize = 256 * 1024;

/// Links the types and the outgoing handler.
pub(crate) fn add_to_linker(linker: &mut Linker<Job>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// What the requests of one run share.
pub(crate) struct WasiHttp {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    shared: Arc<Shared>,
    /// Why this run may send nothing.
    denial: Option<String>,
}

struct Shared {
    client: http::Client,
    outlet: Outlet,
    /// Requests that have no answer yet, and bodies of answers that are open.
    places: Arc<Semaphore>,
    budget: Budget,
}

impl WasiHttp {
    pub(crate) fn new(client: http::Client, outlet: Outlet) -> Self {
        let places = Arc::new(Semaphore::new(BODIES_MAX));
        let budget = Budget::new(REQUEST_BODIES_MAX_BYTES);
        let shared = Arc::new(Shared { client, outlet, places, budget });
        Self { context: WasiHttpCtx::new(), hooks: Hooks { shared, denial: None } }
    }
}

impl WasiHttpView for Job {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let denial = self.granted(&Capability::Web).err();
        let WasiHttp { context, hooks } = &mut self.wasi_http;
        hooks.denial = denial;
        WasiHttpCtxView { hooks, table: &mut self.table, ctx: context }
    }
}

type Answered =
    (::http::Response<HyperOutgoingBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Hooks {
    /// An exchange adds it from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE_MAX_BYTES
    }

    fn send_request(
        &mut self,
        request: ::http::Request<HyperOutgoingBody>,
        options: Option<RequestOptions>,
        _heard: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        let shared = Arc::clone(&self.shared);
        let denial = self.denial.clone();
        Box::new(async move {
            if let Some(denial) = denial {
                shared.outlet.note_refusal(&denial);
                return Err(Error::HttpRequestDenied);
            }
            let response = shared.send(request, options.unwrap_or_default()).await?;
            // The connection moves with its body; nothing is left to be done beside.
            let rest: Box<dyn Future<Output = _> + Send> = Box::new(async { Ok(()) });
            Ok((response, rest))
        })
    }
}

/// A piece of a body.
type Piece = Result<hyper::body::Frame<Bytes>, Error>;
