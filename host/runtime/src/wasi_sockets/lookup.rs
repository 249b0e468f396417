//! `wasi:sockets/ip-name-lookup`: names are looked up as for every other connection.
//!
//! A lookup is not a connection: it gives all addresses of a name, and what is refused is to connect to them.

use std::net::IpAddr;
use std::vec;

use url::Host;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, SocketResult, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, poll_noop, spawn};

use super::Net;
use super::bindings::wasi::sockets::ip_name_lookup::{
    Host as LookupHost, HostResolveAddressStream,
};
use crate::egress::{Family, Wanted};
use crate::job::Job;

/// The answer to a lookup, as soon as there is one.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Addresses(Answer);

enum Answer {
    Awaited(AbortOnDropJoinHandle<Result<Vec<IpAddr>, ErrorCode>>),
    Known(vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

impl Answer {
    fn of(answer: Result<Vec<IpAddr>, ErrorCode>) -> Self {
        match answer {
            Ok(addresses) => Self::Known(addresses.into_iter()),
            Err(code) => Self::Failed(code),
        }
    }
}

impl LookupHost for Job {
    async fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<Addresses>> {
        self.check_network(&network)?;
        let net = self.sockets()?.clone();
        let answer = match host(&name)? {
            Host::Ipv4(address) => Answer::of(Ok(vec![address.into()])),
            Host::Ipv6(address) => Answer::of(Ok(vec![address.into()])),
            name @ Host::Domain(_) => {
                Answer::Awaited(spawn(async move { net.lookup(&name).await }))
            }
        };
        Ok(self.table.push(Addresses(answer))?)
    }
}

/// A name, or an address in any spelling that a URL may have, with its brackets or without.
fn host(name: &str) -> Result<Host<String>, ErrorCode> {
    match name.parse() {
        Ok(address) => Ok(Host::Ipv6(address)),
        Err(_) => Host::parse(name).map_err(|_| ErrorCode::InvalidArgument),
    }
}

impl Net {
    async fn lookup(&self, host: &Host<String>) -> Result<Vec<IpAddr>, ErrorCode> {
        let wanted = Wanted { host, port: 0, family: Family::Any, addresses: &[], resolver: None };
        let resolved = self.egress.resolve(&wanted).await.map_err(|error| self.tell(&error))?;
        self.names.note(&resolved);
        Ok(resolved.addresses.iter().map(|address| address.ip().to_canonical()).collect())
    }
}

impl HostResolveAddressStream for Job {
    async fn resolve_next_address(
        &mut self,
        addresses: Resource<Addresses>,
    ) -> SocketResult<Option<IpAddress>> {
        let Addresses(answer) = self.table.get_mut(&addresses)?;
        if let Answer::Awaited(lookup) = answer {
            let known = poll_noop(std::pin::Pin::new(lookup)).ok_or(ErrorCode::WouldBlock)?;
            *answer = Answer::of(known);
        }
        match answer {
            Answer::Known(addresses) => Ok(addresses.next().map(IpAddress::from)),
            Answer::Failed(code) => Err((*code).into()),
            Answer::Awaited(_) => Err(ErrorCode::WouldBlock.into()),
        }
    }

    async fn subscribe(
        &mut self,
        addresses: Resource<Addresses>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, addresses)
    }

    async fn drop(&mut self, addresses: Resource<Addresses>) -> wasmtime::Result<()> {
        self.table.delete(addresses)?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        if let Answer::Awaited(lookup) = &mut self.0 {
            self.0 = Answer::of(lookup.await);
        }
    }
}
