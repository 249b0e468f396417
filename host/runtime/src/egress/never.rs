//! What no policy and no rule opens: the cloud's instance metadata, the operator's own services, and, unless
//! the base of the policy is `any`, this machine itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::embedded::{self, Form, Reach};
use super::endpoints::{Endpoint, Endpoints};
use super::interfaces::Interfaces;
use super::policy::Base;

/// Where a machine asks for its own credentials. Whoever reaches one of these becomes the machine.
const METADATA: &[IpAddr] = &[
    // AWS, Google Cloud, Azure, OpenStack, DigitalOcean, Oracle, IBM, Hetzner, Vultr and others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    // AWS: the same by IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // AWS: credentials of ECS tasks.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    // AWS: credentials of EKS pods, by IPv4 and by IPv6.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Google Cloud by IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Azure: WireServer, which hands out the extensions' secrets.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle Cloud Classic.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // OpenStack by IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Oracle Cloud by IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Scaleway, by IPv4 and by IPv6.
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    // Tencent Cloud.
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),
    // Akamai (Linode) by IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1)),
];

/// Knows what is never a target.
#[derive(Debug)]
pub(super) struct Never {
    endpoints: Endpoints,
    interfaces: Interfaces,
}

/// Why an address is never a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// Named, or another port beside it; with the address inside the address, if it is that one.
    Known { what: &'static str, is_beside: bool, inner: Option<(&'static str, IpAddr)> },
    /// An address of this machine.
    Own,
}

impl Never {
    pub(super) fn new(protected: Vec<Endpoint>) -> Self {
        Self { endpoints: Endpoints::new(protected), interfaces: Interfaces::default() }
    }

    #[cfg(test)]
    pub(super) fn with_interfaces(protected: Vec<Endpoint>, interfaces: Interfaces) -> Self {
        Self { endpoints: Endpoints::new(protected), interfaces }
    }

    /// One more service of the operator.
    pub(super) fn add(&self, endpoint: Endpoint) {
        self.endpoints.add(endpoint);
    }

    /// Looks up where the protected endpoints are, unless that is known and fresh.
    pub(super) async fn refresh(&self) {
        self.endpoints.refresh().await;
    }

    /// Whether `address`, or an address inside of it, is never a target under this base.
    pub(super) fn check(&self, base: Base, address: SocketAddr) -> Result<(), Forbidden> {
        for (form, view) in embedded::views(address.ip()) {
            let inner = form.map(|form| (form.name, view));
            let known = |what| Forbidden::Known { what, is_beside: false, inner };
            if METADATA.contains(&view) {
                return Err(known("instance metadata"));
            }
            // A service of this machine listens, as a rule, on more than the address that we know it by:
            // 0.0.0.0 and the addresses of the interfaces lead to it too.
            let found = self.endpoints.find(|ip, port| {
                port == address.port()
                    && (ip == view || (self.is_own(None, ip) && self.is_own(form, view)))
            });
            if let Some(what) = found {
                return Err(known(what));
            }
            // Other ports of its host: under `any` they may be what a user is at work on.
            if base != Base::Any
                && let Some(what) = self.endpoints.find(|ip, _| ip == view)
            {
                return Err(Forbidden::Known { what, is_beside: true, inner });
            }
        }
        let mut views = embedded::views(address.ip());
        if base != Base::Any && views.any(|(form, view)| self.is_own(form, view)) {
            return Err(Forbidden::Own);
        }
        Ok(())
    }

    fn is_own(&self, form: Option<&Form>, address: IpAddr) -> bool {
        // Most addresses show zeros in one of several layouts.
        let is_guess = form.is_some_and(|form| form.reach == Reach::Unknown);
        address.is_loopback()
            || (address.is_unspecified() && !is_guess)
            || self.interfaces.contain(address)
    }
}
