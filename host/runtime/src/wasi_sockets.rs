//! TCP and UDP as WASI has them, through the host's own resolver and policy. Needs the grant `sockets`.
//!
//! Every connection is made by [`crate::egress`], as those of the import `web` are; nothing here opens a
//! socket. A guest looks up a name and then connects to an address: `names` remembers which name gave which
//! address, so that rules with a host count, and what is judged at the connection is the address
//! itself. A name that gives another address later changes nothing.
//!
//! There is no listening, no multicast and no broadcast; a socket may be bound to the unspecified address
//! and port 0 alone. WASI has only codes for errors, so the reasons of refusals go to the outlet, which tells
//! them when the run fails.
//!
//! `lookup` is `ip-name-lookup`; `tcp` has the sockets and `stream` their two streams, `options` what can be set;
//! `udp` sends through one connected socket for each of its `peers`; `codes` says what went wrong in WASI's words.

mod bindings;
mod codes;
mod lookup;
mod names;
mod options;
mod peers;
mod stream;
mod tcp;
mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use blitz_contract::Capability;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::{Network, SocketError, SocketResult};

use crate::egress::{Egress, EgressError, Resolved};
use crate::job::Job;
use crate::output::Outlet;
use crate::probes::Places;
use bindings::wasi::sockets;
use names::Names;

pub(crate) use codes::code_of_text;

/// Takes the place of wasmtime-wasi's sockets, which are in the linker before.
pub(crate) fn add_to_linker(linker: &mut Linker<Job>) -> wasmtime::Result<()> {
    fn job(job: &mut Job) -> &mut Job {
        job
    }
    linker.allow_shadowing(true);
    sockets::tcp::add_to_linker::<_, HasSelf<_>>(linker, job)?;
    sockets::tcp_create_socket::add_to_linker::<_, HasSelf<_>>(linker, job)?;
    sockets::udp::add_to_linker::<_, HasSelf<_>>(linker, job)?;
    sockets::udp_create_socket::add_to_linker::<_, HasSelf<_>>(linker, job)?;
    sockets::ip_name_lookup::add_to_linker::<_, HasSelf<_>>(linker, job)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// What the sockets of one run share. A clone is the same run's.
#[derive(Clone)]
pub(crate) struct Net {
    egress: Egress,
    names: Arc<Names>,
    places: Arc<Semaphore>,
    sockets_max: u32,
    outlet: Outlet,
}

impl Net {
    /// For a run that may have `sockets_max` sockets open.
    pub(crate) fn new(egress: Egress, sockets_max: u32, outlet: Outlet) -> Self {
        let places = usize::try_from(sockets_max).unwrap_or(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        Self { egress, names: Arc::default(), places, sockets_max, outlet }
    }

    /// Those of the run's sockets, for probes.
    pub(crate) fn places(&self) -> Places {
        Places::new(Arc::clone(&self.places), self.sockets_max)
    }

    /// A place among the sockets of the run.
    fn place(&self) -> Result<OwnedSemaphorePermit, ErrorCode> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            self.outlet.note_refusal(&format!(
                "a run of this plugin holds at most {} sockets open: close one first, or ask for more in the \
                 manifest (limits.sockets)",
                self.sockets_max
            ));
            ErrorCode::NewSocketLimit
        })
    }

    /// The address under the name that it was looked up by, if the policy allows it.
    ///
    /// An address that several names gave is open when it is for one of them, unless a rule closes it for one.
    async fn permitted(&self, address: SocketAddr) -> Result<Resolved, EgressError> {
        let (mut permitted, mut refused) = (None, None);
        for resolved in self.names.candidates(address) {
            match self.egress.allowed(&resolved).await {
                Ok(_) => permitted = permitted.or(Some(resolved)),
                Err(EgressError::Denied(denied)) if denied.is_by_rule() => {
                    return Err(EgressError::Denied(denied));
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match (permitted, refused) {
            (Some(resolved), _) => Ok(resolved),
            (None, Some(error)) => Err(error),
            (None, None) => Err(EgressError::Malformed(format!("{address} is no address"))),
        }
    }

    /// The code for an error. Its text is kept for the user when the policy or a limit speaks from it.
    fn tell(&self, error: &EgressError) -> ErrorCode {
        match codes::code(error) {
            code @ (ErrorCode::AccessDenied | ErrorCode::NewSocketLimit) => {
                self.outlet.note_refusal(&error.to_string());
                code
            }
            code => {
                tracing::debug!(%error, ?code, "a socket of a plugin is not connected");
                code
            }
        }
    }
}

impl Job {
    /// The network of a run that may use sockets.
    fn sockets(&self) -> Result<&Net, ErrorCode> {
        match self.granted(&Capability::Sockets) {
            Ok(()) => Ok(&self.net),
            Err(denial) => {
                self.outlet.note_refusal(&denial);
                Err(ErrorCode::AccessDenied)
            }
        }
    }

    /// A handle that has no meaning here but must be one.
    fn check_network(&self, network: &Resource<Network>) -> SocketResult<()> {
        self.table.get(network)?;
        Ok(())
    }
}

/// What is common to the interfaces, and linked by wasmtime-wasi: here for the conversion of errors.
impl network::Host for Job {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<std::io::Error>().map(ErrorCode::from))
    }
}

impl network::HostNetwork for Job {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

/// The family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn has(self, address: SocketAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }

    /// What a socket may be bound to: any port of any address.
    fn unspecified(self) -> SocketAddr {
        let address: IpAddr = match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(address, 0)
    }

    /// Whether a socket may be bound to `address`.
    fn check_bind(self, address: SocketAddr) -> Result<(), ErrorCode> {
        if !self.has(address) {
            return Err(ErrorCode::InvalidArgument);
        }
        if address.ip() == self.unspecified().ip() && address.port() == 0 {
            return Ok(());
        }
        Err(ErrorCode::AccessDenied)
    }

    /// Whether `address` can be the other end of a socket at all.
    fn check_remote(self, address: SocketAddr) -> Result<(), ErrorCode> {
        if self.has(address) && address.port() != 0 {
            return Ok(());
        }
        Err(ErrorCode::InvalidArgument)
    }
}

impl From<IpAddressFamily> for Family {
    fn from(family: IpAddressFamily) -> Self {
        match family {
            IpAddressFamily::Ipv4 => Self::V4,
            IpAddressFamily::Ipv6 => Self::V6,
        }
    }
}

impl From<Family> for IpAddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ipv4,
            Family::V6 => Self::Ipv6,
        }
    }
}

/// Whether one machine has this address: a policy that opens everything opens no groups.
fn check_unicast(address: IpAddr) -> Result<(), ErrorCode> {
    let is_group = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast(),
    };
    if is_group { Err(ErrorCode::InvalidArgument) } else { Ok(()) }
}
