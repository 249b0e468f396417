//! Places far from each other, each a namespace, joined by a router whose ways can be cut; and a laboratory that reaches
//! all of them at any time by links of its own, for who looks on.
//!
//! A place has 10.91.N.2 on its way to the others and 10.90.N.2 on its way to the laboratory, whose own address is
//! [`LAB`] everywhere. N counts from 1.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::Command;

use super::namespace::{NAMESPACES, Namespace, Unavailable, or_skipped, remove_leftovers};

/// The laboratory, as every place reaches it.
pub const LAB: &str = "10.90.0.1";

/// Places fit into a byte of an address.
const PLACES_MAX: usize = 200;

/// A way that is cut. Places are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WanCut {
    /// The link of a place to the router is down: who asks is told that there is no way.
    Down(usize),
    /// What goes to a place or comes from it is lost without a word.
    Lost(usize),
    /// The same between two places alone.
    Between(usize, usize),
    /// The same in one direction alone.
    OneWay(usize, usize),
}

/// The whole. Dropped, its namespaces are removed with every process in them.
#[derive(Debug)]
pub struct Wan {
    lab: Namespace,
    router: Namespace,
    places: Vec<Namespace>,
}

impl Wan {
    /// A network of these places; `None`, and a word about it, where this machine cannot have one.
    ///
    /// # Panics
    ///
    /// When this machine cannot and `BLITZ_TEST_NETNS` is 1.
    #[must_use]
    pub fn or_skipped(places: &[&str]) -> Option<Self> {
        or_skipped(Self::build(places))
    }

    /// A network of these places.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when this system or this user cannot.
    pub fn build(places: &[&str]) -> Result<Self, Unavailable> {
        if places.len() > PLACES_MAX {
            return Err(Unavailable(format!("a network has at most {PLACES_MAX} places")));
        }
        remove_leftovers();
        let (lab, router) = (Namespace::new("lab")?, Namespace::new("router")?);
        router.set(&[("net/ipv4/ip_forward", "1")])?;
        let spaces: Vec<Namespace> =
            places.iter().map(|name| Namespace::new(name)).collect::<Result<_, _>>()?;
        let wan = Self { lab, router, places: spaces };
        wan.lab.ip_lines(&format!("addr add {LAB}/32 dev lo\n"))?;
        for (number, place) in (1..).zip(&wan.places) {
            for space in [&wan.lab, &wan.router, place] {
                // Who asks a place at its other address is answered.
                space.set(&[
                    ("net/ipv4/conf/all/rp_filter", "0"),
                    ("net/ipv4/conf/default/rp_filter", "0"),
                ])?;
            }
            let name = place.name();
            wan.lab.ip_lines(&format!(
                "link add name p{number} type veth peer name lab netns {name}\n\
                 addr add 10.90.{number}.1/24 dev p{number}\n\
                 link set p{number} up\n"
            ))?;
            wan.router.ip_lines(&format!(
                "link add name p{number} type veth peer name wan netns {name}\n\
                 addr add 10.91.{number}.1/24 dev p{number}\n\
                 link set p{number} up\n"
            ))?;
            place.ip_lines(&format!(
                "addr add 10.90.{number}.2/24 dev lab\nlink set lab up\n\
                 addr add 10.91.{number}.2/24 dev wan\nlink set wan up\n\
                 route add 10.91.0.0/16 via 10.91.{number}.1\n\
                 route add {LAB}/32 via 10.90.{number}.1\n"
            ))?;
            wan.lab.ip_lines(&format!("route add 10.91.{number}.0/24 via 10.90.{number}.2\n"))?;
        }
        wan.router.nft(
            &["-f", "-"],
            "table inet cuts { chain on { type filter hook forward priority 0; }; }\n",
        )?;
        Ok(wan)
    }

    /// A place as the others reach it.
    #[must_use]
    pub fn address(&self, place: usize) -> String {
        format!("10.91.{}.2", place + 1)
    }

    /// A place as the laboratory reaches it, whatever is cut.
    #[must_use]
    pub fn lab_address(&self, place: usize) -> String {
        format!("10.90.{}.2", place + 1)
    }

    /// The same command, to be run at a place.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    #[must_use]
    pub fn at(&self, place: usize, command: &Command) -> Command {
        let mut inside = self.places[place].enter(command);
        // `ip` itself must be found.
        inside.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        inside
    }

    /// Moves this thread, and those that it starts from now on, into the laboratory.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the system does not let it.
    pub fn enter_lab(&self) -> Result<(), Unavailable> {
        let failed = |e: std::io::Error| Unavailable(format!("enter a namespace: {e}"));
        let lab = File::open(Path::new(NAMESPACES).join(self.lab.name())).map_err(failed)?;
        let moved = move_into_link_name_space(lab.as_fd(), Some(LinkNameSpaceType::Network));
        moved.map_err(|e| failed(e.into()))
    }

    /// Cuts a way. One is cut at a time: what was cut before is healed.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] with what `ip` or `nft` said.
    pub fn cut(&self, cut: WanCut) -> Result<(), Unavailable> {
        self.heal()?;
        let rule = |from: Option<usize>, to: Option<usize>| {
            let end = |word: &str, place: Option<usize>| {
                place
                    .map(|place| format!(" ip {word} 10.91.{}.0/24", place + 1))
                    .unwrap_or_default()
            };
            format!("add rule inet cuts on{}{} drop\n", end("saddr", from), end("daddr", to))
        };
        let rules = match cut {
            WanCut::Down(place) => {
                return self
                    .router
                    .ip(&["link", "set", &format!("p{}", place + 1), "down"])
                    .map(drop);
            }
            WanCut::Lost(place) => rule(Some(place), None) + &rule(None, Some(place)),
            WanCut::Between(one, other) => {
                rule(Some(one), Some(other)) + &rule(Some(other), Some(one))
            }
            WanCut::OneWay(from, to) => rule(Some(from), Some(to)),
        };
        self.router.nft(&["-f", "-"], &rules).map(drop)
    }

    /// Heals what is cut.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] with what `ip` or `nft` said.
    pub fn heal(&self) -> Result<(), Unavailable> {
        self.router.nft(&["-f", "-"], "flush chain inet cuts on\n")?;
        for number in 1..=self.places.len() {
            self.router.ip(&["link", "set", &format!("p{number}"), "up"])?;
        }
        Ok(())
    }
}
