//! What an operator lets plugins reach: a base, and rules that open or close more of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::Resolved;
use super::class::{Special, special};
use super::never::{Forbidden, Never};
use super::rule::{Destination, Rule};

/// Which destinations every outgoing connection of every plugin may have.
///
/// In this order: what is never a target (instance metadata, the engine's store, and, unless the base is
/// `any`, the engine's own addresses) is refused; a deny rule refuses; an allow rule allows; the base
/// decides. A rule with a host goes by the name that was asked for. A deny rule with a host therefore holds
/// for that name alone, and its addresses stay open to whoever knows them; an allow rule with a host
/// counts only where the system's resolver gave the addresses, for a user can name any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetPolicy {
    base: Base,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

/// Where one run may go at most, whatever the policy opens: the targets of its region. Without any, wherever the policy lets it.
#[derive(Debug, Clone, Default)]
pub(super) struct Confines(Arc<[Rule]>);

impl Confines {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self(rules.into())
    }

    /// Judges as allow rules do: a rule with a host counts where the system's resolver gave the addresses.
    pub(super) fn check(
        &self,
        resolved: &Resolved,
        address: SocketAddr,
        allows: fn(&Rule, &Destination<'_>) -> bool,
    ) -> Result<(), Denied> {
        let name = resolved.name.as_deref().filter(|_| resolved.is_by_system());
        let (ip, port) = (address.ip(), address.port());
        let destination = Destination { name, address: ip, port };
        if self.0.is_empty() || self.0.iter().any(|rule| allows(rule, &destination)) {
            return Ok(());
        }
        let reason = Reason::Outside { port, confines: self.clone() };
        Err(Denied { name: resolved.name.clone(), address: ip, reason })
    }
}

impl PartialEq for Confines {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Confines {}

/// Rules that a refusal shows: who reads it wants to know where to go, and not all of a long list.
const RULES_SHOWN_MAX: usize = 5;

impl fmt::Display for Confines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, rule) in self.0.iter().take(RULES_SHOWN_MAX).enumerate() {
            write!(f, "{}{rule}", if at == 0 { "" } else { ", " })?;
        }
        if self.0.len() > RULES_SHOWN_MAX { f.write_str(", ...") } else { Ok(()) }
    }
}

/// By which an address is judged that has no port, or none yet: rules for ports say nothing of it.
pub(super) const NO_PORT: u16 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Base {
    Any,
    #[default]
    PublicOnly,
}

impl TargetPolicy {
    /// All addresses, loopback and private ones included: one's own machine, one's own network.
    #[must_use]
    pub fn any() -> Self {
        Self { base: Base::Any, ..Self::default() }
    }

    /// Global unicast only. An IPv4 address inside an IPv6 one is judged by itself.
    #[must_use]
    pub fn public_only() -> Self {
        Self::default()
    }

    /// Opens what the rule says, beside the base.
    #[must_use]
    pub fn allow(mut self, rule: Rule) -> Self {
        self.allow.push(rule);
        self
    }

    /// Closes what the rule says, whatever else is open.
    #[must_use]
    pub fn deny(mut self, rule: Rule) -> Self {
        self.deny.push(rule);
        self
    }

    /// Whether a connection to `address` may be made, which is one of `resolved`, or the peer of a socket.
    pub(super) fn check(
        &self,
        never: &Never,
        resolved: &Resolved,
        address: SocketAddr,
    ) -> Result<(), Denied> {
        self.check_by(never, resolved, address, Rule::allows)
    }

    /// The same before a port is known, or where there is none. Of packets that have ports, an allow rule for some port
    /// of the address opens it, and each port is judged when a packet is to go there.
    pub(super) fn check_host(
        &self,
        never: &Never,
        resolved: &Resolved,
        address: IpAddr,
        has_ports: bool,
    ) -> Result<(), Denied> {
        let allows = if has_ports { Rule::allows_some_port } else { Rule::allows };
        self.check_by(never, resolved, SocketAddr::new(address, NO_PORT), allows)
    }

    fn check_by(
        &self,
        never: &Never,
        resolved: &Resolved,
        address: SocketAddr,
        allows: fn(&Rule, &Destination<'_>) -> bool,
    ) -> Result<(), Denied> {
        let refused =
            |reason| Denied { name: resolved.name.clone(), address: address.ip(), reason };
        // All of these must agree. What is never a target speaks last: where the rest refuses anyway, that
        // is the reason which tells a user more, and the operator's addresses stay unnamed.
        self.judge(resolved, address, allows).map_err(refused)?;
        never.check(self.base, address).map_err(|forbidden| {
            refused(match forbidden {
                Forbidden::Known { what, is_beside, inner } => {
                    Reason::Never { what, is_beside, port: address.port(), inner }
                }
                Forbidden::Own => Reason::Own,
            })
        })
    }

    /// Whether the two ends of a connection may belong together: a peer with our own address is ourselves.
    pub(super) fn check_ends(
        &self,
        resolved: &Resolved,
        remote: SocketAddr,
        local: IpAddr,
    ) -> Result<(), Denied> {
        if self.base != Base::Any && remote.ip().to_canonical() == local.to_canonical() {
            let name = resolved.name.clone();
            return Err(Denied { name, address: remote.ip(), reason: Reason::Own });
        }
        Ok(())
    }

    fn judge(
        &self,
        resolved: &Resolved,
        address: SocketAddr,
        allows: fn(&Rule, &Destination<'_>) -> bool,
    ) -> Result<(), Reason> {
        let mut destination = Destination {
            name: resolved.name.as_deref(),
            address: address.ip(),
            port: address.port(),
        };
        if let Some(rule) = self.deny.iter().find(|rule| rule.denies(&destination)) {
            return Err(Reason::Rule { port: address.port(), rule: rule.clone() });
        }
        if !resolved.is_by_system() {
            destination.name = None;
        }
        if self.base == Base::Any || self.allow.iter().any(|rule| allows(rule, &destination)) {
            return Ok(());
        }
        match special(address.ip()) {
            None => Ok(()),
            Some(Special::Class(class)) => Err(Reason::Class { class, base: self.base }),
            Some(Special::Inner { form, inner, class }) => {
                Err(Reason::Inner { form, inner, class, base: self.base })
            }
        }
    }
}

/// A destination that the policy refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    /// The name that was asked for; `None` for an address.
    name: Option<String>,
    /// As it would have been connected to.
    address: IpAddr,
    reason: Reason,
}

impl Denied {
    /// Whether a deny rule speaks, and not the base or what is never a target.
    pub(crate) fn is_by_rule(&self) -> bool {
        matches!(self.reason, Reason::Rule { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Class { class: &'static str, base: Base },
    Inner { form: &'static str, inner: Ipv4Addr, class: Option<&'static str>, base: Base },
    Rule { port: u16, rule: Rule },
    Outside { port: u16, confines: Confines },
    Never { what: &'static str, is_beside: bool, port: u16, inner: Option<(&'static str, IpAddr)> },
    Own,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}: ")?;
        }
        let address = self.address;
        let at = |port: &u16| match *port {
            NO_PORT => address.to_string(),
            port => format!("{address} port {port}"),
        };
        match &self.reason {
            Reason::Class { class, base } => write!(f, "{address} is {class} (policy {base})"),
            Reason::Inner { form, inner, class: Some(class), base } => {
                write!(f, "{address} is {form} of {inner}, which is {class} (policy {base})")
            }
            Reason::Inner { form, inner, class: None, base } => {
                write!(
                    f,
                    "{address} is {form} of {inner}, a form that leads nowhere (policy {base})"
                )
            }
            Reason::Rule { port, rule } => {
                write!(f, "{} is denied by the rule {rule}", at(port))
            }
            Reason::Outside { port, confines } => {
                write!(f, "{} is not among the targets of this region ({confines})", at(port))
            }
            Reason::Never { what, is_beside, port, inner } => {
                let beside = if *is_beside { "on the host of " } else { "" };
                write!(f, "{} is ", at(port))?;
                match inner {
                    None => write!(f, "{beside}{what}, which is never a target"),
                    Some((form, inner)) => {
                        write!(f, "{form} of {inner}, which is {beside}{what} and never a target")
                    }
                }
            }
            Reason::Own => {
                write!(f, "{address} is the engine's own, which only the policy any lets through")
            }
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::PublicOnly => "public-only",
        })
    }
}

impl fmt::Display for TargetPolicy {
    /// `public-only, allow 10.0.0.0/8, deny *:25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)?;
        self.allow.iter().try_for_each(|rule| write!(f, ", allow {rule}"))?;
        self.deny.iter().try_for_each(|rule| write!(f, ", deny {rule}"))
    }
}
