//! What this machine lets an engine do: tried and not guessed, so that its operator hears of it before a user's command
//! fails.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto, socket_with};
use rustix::process::{Resource, getrlimit};

/// Descriptors that an engine should be able to have: a load test of 50,000 connections, and a hundred other jobs.
pub const DESCRIPTORS_WANTED: u64 = 65_536;

/// Something that an engine cannot do here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// In one or two words.
    pub power: &'static str,
    /// Why not, what it is for, and what helps.
    pub reason: String,
}

/// What an engine in this process lacks; nothing where all is as it should be.
#[must_use]
pub fn lacks() -> Vec<Lack> {
    let raw = open(SocketType::RAW);
    let echo = open(SocketType::DGRAM);
    let lacks = [
        // A raw socket does what a ping socket does.
        raw.as_ref().err().and(echo.err()).map(|error| Lack {
            power: "ping sockets",
            reason: format!(
                "{error}: ping, and the ICMP probes of traceroute and mtr, fail; set the sysctl net.ipv4.ping_group_range \
                 so that it covers the engine's group, or give the engine the capability CAP_NET_RAW"
            ),
        }),
        raw.err().map(|error| Lack {
            power: "raw sockets",
            reason: format!(
                "{error}: TCP probes take a source port each and go different ways; give the engine the capability \
                 CAP_NET_RAW"
            ),
        }),
        landlock().err().map(|error| Lack {
            power: "Landlock",
            reason: format!(
                "{error}: native plugins and load workers are refused unless the engine may run them without; take a \
                 kernel of version 5.13 or later with the module landlock"
            ),
        }),
        few_descriptors(getrlimit(Resource::Nofile).maximum),
    ];
    lacks.into_iter().flatten().collect()
}

fn open(kind: SocketType) -> Result<(), io::Error> {
    let flags = SocketFlags::CLOEXEC;
    let protocol: Option<Protocol> = Some(ipproto::ICMP);
    socket_with(AddressFamily::INET, kind, flags, protocol).map(drop).map_err(io::Error::from)
}

/// Makes a ruleset, which binds nobody yet.
fn landlock() -> Result<(), landlock::RulesetError> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1))?.create().map(drop)
}

/// No maximum is enough.
fn few_descriptors(maximum: Option<u64>) -> Option<Lack> {
    let maximum = maximum.filter(|maximum| *maximum < DESCRIPTORS_WANTED)?;
    Some(Lack {
        power: "descriptors",
        reason: format!(
            "a process may open {maximum} files and sockets: larger load tests are refused; raise its limit (LimitNOFILE) \
             to {DESCRIPTORS_WANTED} or more"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_says_what_helps() {
        assert_eq!(few_descriptors(None), None);
        assert_eq!(few_descriptors(Some(DESCRIPTORS_WANTED)), None);
        let lack = few_descriptors(Some(1024)).unwrap();
        assert!(lack.reason.contains("may open 1024") && lack.reason.contains("LimitNOFILE"));
        // Whatever this machine lacks, it is told once, with a next step.
        let lacks = lacks();
        for (index, lack) in lacks.iter().enumerate() {
            assert!(lacks[index + 1..].iter().all(|other| other.power != lack.power));
            assert!(
                ["set ", "give ", "take ", "raise "].iter().any(|step| lack.reason.contains(step)),
                "{lack:?}"
            );
        }
    }
}
