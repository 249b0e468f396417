//! The routes of this machine, as the kernel lists them: which addresses are taken, and by whom.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use super::prefix::Prefix;

/// The kernel's table (proc(5)): addresses are hexadecimal, in the machine's order of bytes.
const FILE: &str = "/proc/net/route";

/// What the names of this host's own links to namespaces begin with.
pub(super) const LINK: &str = "blitz";

/// Routes of IPv4.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routes(Vec<Route>);

#[derive(Debug, PartialEq, Eq)]
struct Route {
    link: String,
    to: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Routes {
    pub(super) fn read() -> io::Result<Self> {
        fs::read_to_string(FILE).map(|text| Self::parse(&text))
    }

    /// Lines of another form are none: the first one names the columns.
    fn parse(text: &str) -> Self {
        let address = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes);
        let route = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (to, mask) = (address(words.get(1)?)?, address(words.get(7)?)?);
            Some(Route { link: (*words.first()?).to_owned(), to: to.into(), mask: mask.into() })
        };
        Self(text.lines().filter_map(route).collect())
    }

    /// Whether something has a route to exactly this address.
    pub(super) fn has(&self, address: Ipv4Addr) -> bool {
        self.0.iter().any(|route| route.to == address && route.mask == Ipv4Addr::BROADCAST)
    }

    /// The link of somebody else's network that has addresses of the prefix, if there is one.
    pub(super) fn foreign(&self, prefix: &Prefix) -> Option<&str> {
        let is_foreign = |route: &&Route| {
            // Everything has the default route.
            route.mask != Ipv4Addr::UNSPECIFIED
                && !route.link.starts_with(LINK)
                && prefix.overlaps(route.to, route.mask)
        };
        self.0.iter().find(is_foreign).map(|route| route.link.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let hex = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let line = |link: &str, to, mask| {
            format!("{link}\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0\n", hex(to), hex(mask))
        };
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n";
        let ours = [
            head.to_owned(),
            line("eth0", [0; 4], [0; 4]),
            line("eth0", [192, 168, 1, 0], [255, 255, 255, 0]),
            line("blitz0123456789", [10, 213, 0, 2], [255; 4]),
            "eth0\tnonsense\n".to_owned(),
        ];
        let routes = Routes::parse(&ours.concat());
        assert_eq!(routes.0.len(), 3);
        assert!(routes.has(Ipv4Addr::new(10, 213, 0, 2)));
        assert!(!routes.has(Ipv4Addr::new(10, 213, 0, 3)));
        assert!(!routes.has(Ipv4Addr::new(192, 168, 1, 0)));
        assert_eq!(routes.foreign(&Prefix::DEFAULT), None);
        assert_eq!(routes.foreign(&"192.168.0.0/16".parse().unwrap()), Some("eth0"));
    }
}
