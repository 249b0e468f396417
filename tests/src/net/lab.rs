//! The namespaces `engine` and `world`, joined by one link, with everything that runs in them.
//!
//! `world` is the engine's way to every address. It takes each of them for its own, so that one web server is
//! all of the internet, all private networks behind it, and the canary at 169.254.169.254.

mod signs;

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::guests;
use super::namespace::{Namespace, Unavailable, or_skipped, remove_leftovers};
use super::process::{LIMIT, Log, started};
use super::server::{ADMIN, Plan, READY};
use super::traffic::{self, Count, Place};
use super::{
    ALLOWED_PORT, DENIED_PORT, ENGINE_V4, ENGINE_V6, GATEWAY_PORT, NAME_SERVER_V4, NAME_SERVER_V6,
    STORE,
};
use crate::{Home, Outcome};

/// All guests of one matrix end within this time.
const GUESTS_LIMIT: Duration = Duration::from_secs(300);

const TOKEN: &str = "token-of-a-laboratory";
const WORLD_V4: &str = "5.5.5.1";
const WORLD_V6: &str = "2a05:5::1";
const LINK: &str = "wire";

/// Name servers on private addresses, which nobody should ask.
const PRIVATE_NAME_SERVERS: [&str; 3] = ["10.0.0.53", "169.254.169.253", "fd00:ec2::253"];

fn name_servers() -> impl Iterator<Item = IpAddr> {
    let all = [NAME_SERVER_V4, NAME_SERVER_V6].into_iter().chain(PRIVATE_NAME_SERVERS);
    all.map(|server| server.parse().expect("an address"))
}

/// Everything of one test. Dropped, its processes are ended and its namespaces removed.
#[derive(Debug)]
pub struct Lab {
    _servers: [Child; 2],
    log: Log,
    /// What clients show: that of the gateway that was started last.
    token: Mutex<String>,
    home: Home,
    engine: Namespace,
    world: Namespace,
}

/// A gateway or an engine. Dropped, it ends at once.
#[derive(Debug)]
pub struct Part {
    _child: Child,
}

/// A `blitz up`. Dropped, it ends at once.
#[derive(Debug)]
pub struct Up {
    /// `http://127.0.0.1:PORT`, without name and password.
    pub store: String,
    child: Child,
}

impl Up {
    /// Ends it, and returns when it is gone.
    ///
    /// # Panics
    ///
    /// When it cannot be ended.
    pub async fn stop(mut self) {
        self.child.kill().await.expect("a process that can be ended");
    }
}

impl Lab {
    /// Makes the namespaces and starts what serves in them. `None` when this machine cannot: it says why.
    ///
    /// # Panics
    ///
    /// When this machine cannot and `BLITZ_TEST_NETNS` is 1, or when a server does not start.
    pub async fn start(carrier: &Path) -> Option<Self> {
        or_skipped(Self::try_start(carrier).await)
    }

    async fn try_start(carrier: &Path) -> Result<Self, Unavailable> {
        remove_leftovers();
        let (engine, world) = (Namespace::new("engine")?, Namespace::new("world")?);
        join(&engine, &world)?;
        let resolv = format!("nameserver {NAME_SERVER_V4}\nsearch .\noptions timeout:20\n");
        engine.etc("resolv.conf", &resolv)?;
        engine.etc("nsswitch.conf", "hosts: files dns\n")?;
        engine.etc("hosts", HOSTS)?;
        traffic::count(&engine, Place::Engine)?;
        traffic::count(&world, Place::World)?;
        let in_world = Plan {
            http: vec![80, ALLOWED_PORT, DENIED_PORT],
            https: vec![443],
            dns: name_servers().collect(),
            store: Some(STORE.parse().expect("an address")),
        };
        // What runs on the engine's own machine is no target either.
        let in_engine = Plan { http: vec![80], https: vec![443], ..Plan::default() };
        let log = Log::default();
        let servers = [
            serve(carrier, &world, "world", &in_world, &log).await,
            serve(carrier, &engine, "engine", &in_engine, &log).await,
        ];
        let (token, home) = (Mutex::new(TOKEN.to_owned()), Home::new(carrier));
        Ok(Self { _servers: servers, log, token, home, engine, world })
    }

    /// Starts a gateway for these regions.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn gateway(&self, regions: &[&str]) -> Part {
        let (listen, regions) = (format!("127.0.0.1:{GATEWAY_PORT}"), regions.join(","));
        let store = store_url(STORE);
        let args = ["gateway", "--store", &store, "--listen", &listen, "--region", &regions];
        let (child, ready) = started(self.command(&args), Log::default(), "gateway");
        ready.until(|line| line.starts_with("gateway")).await;
        // URLs with a name and a password are secrets: without a key for them they would be refused.
        for region in regions.split(',') {
            let made = ["region", "key", region, "--store", &store, "--out", REGION_KEYS];
            let made = self.run(&made).await;
            assert_eq!(made.code, Some(0), "{made:?}");
        }
        Part { _child: child }
    }

    /// Starts the engine of a region, which finds the store under this name, with these further arguments and
    /// variables. It is ready for `curl` when this returns.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn engine(
        &self,
        region: &str,
        store: &str,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Part {
        let store = store_url(store);
        let keys = ["--region-keys", REGION_KEYS];
        let all = [&["engine", "--store", &store, "--region", region], &keys[..], args].concat();
        let mut command = self.command(&all);
        command.envs(variables.iter().copied());
        let (child, ready) = started(command, Log::default(), "engine");
        ready.until(|line| line.starts_with("engine")).await;
        crate::until(&format!("the engine of {region} with its plugin"), || async {
            let listed = self.run(&["engines", "--json"]).await;
            let listed: Value = serde_json::from_str(&listed.stdout).ok()?;
            let of_region = |engine: &&Value| engine["region"] == region;
            let engine = listed["engines"].as_array()?.iter().find(of_region)?.clone();
            let plugins = engine["plugins"].as_array()?;
            plugins.iter().any(|p| p.as_str().is_some_and(|p| p.starts_with("curl@"))).then_some(())
        })
        .await;
        Part { _child: child }
    }

    /// Starts `blitz up` with these arguments: its own store, gateway and engine of the region `local`.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn up(&self, args: &[&str]) -> Up {
        self.up_with(args, &[]).await
    }

    /// The same with these variables.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub async fn up_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Up {
        let listen = format!("127.0.0.1:{GATEWAY_PORT}");
        let state = self.home.path().join("up.json");
        let mut command = self.command(&[&["up", "--listen", &listen], args].concat());
        command.env("BLITZ_STATE", &state).envs(variables.iter().copied());
        let (child, ready) = started(command, Log::default(), "up");
        ready.until(|line| line.contains("^C ends it")).await;
        let state = std::fs::read_to_string(&state).expect("the state file");
        let state: Value = serde_json::from_str(&state).expect("JSON");
        let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = text("token");
        Up { store: text("store"), child }
    }

    /// Gives the engine's machine one more address.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn add_engine_address(&self, address: &str) {
        self.engine.ip(&["addr", "add", address, "dev", LINK]).expect("a further address");
    }

    /// Runs the program on the engine's machine, against the gateway there.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn run(&self, args: &[&str]) -> Outcome {
        let output = tokio::time::timeout(LIMIT, self.command(args).output()).await;
        let output = output.unwrap_or_else(|_| panic!("blitz {args:?} did not end in {LIMIT:?}"));
        let output = output.expect("the program starts");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Sends a datagram and a SYN from the engine's machine to each address (with a port), as no engine may.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn probe(&self, carrier: &Path, addresses: &[&str]) -> String {
        let mut command = Command::new(carrier);
        command.arg("netns-probe").args(addresses);
        let mut command = self.engine.enter(&command);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = tokio::time::timeout(LIMIT, command.output()).await.expect("the probe ends");
        String::from_utf8_lossy(&output.expect("the probe starts").stdout).into_owned()
    }

    /// Runs guests on the engine's machine; `None` is one that did not end.
    ///
    /// # Panics
    ///
    /// When they do not start.
    pub async fn guests(&self, carrier: &Path, plan: &guests::Plan) -> Vec<Option<Outcome>> {
        let mut command = Command::new(carrier);
        let text = serde_json::to_string(plan).expect("a plan is JSON");
        let file = self.home.path().join("guests.json");
        std::fs::write(&file, text).expect("a file");
        command.arg("netns-guests").arg(file);
        let mut command = self.engine.enter(&command);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = tokio::time::timeout(GUESTS_LIMIT, command.output()).await;
        let output = output.expect("the guests end").expect("the guests start");
        let lines = String::from_utf8_lossy(&output.stdout);
        guests::outcomes(&lines, plan.runs.len())
    }

    /// The packets to addresses that are not public, where they leave and where they arrive, and the
    /// destinations behind them. Kinds without packets are not named.
    ///
    /// # Panics
    ///
    /// When nftables does not answer.
    #[must_use]
    pub fn packets(&self) -> (Vec<Count>, Vec<String>) {
        let (mut counts, mut seen) = (Vec::new(), Vec::new());
        for (namespace, place) in [(&self.engine, Place::Engine), (&self.world, Place::World)] {
            let (here, destinations) = traffic::read(namespace, place).expect("the counters");
            counts.extend(here.into_iter().filter(|count| count.packets > 0));
            seen.extend(destinations);
        }
        seen.sort();
        seen.dedup();
        (counts, seen)
    }

    /// What the servers were asked so far: `world hit ADDRESS PORT TARGET`, `engine hit ...`, `world ask ...`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The program on the engine's machine.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.engine.enter(&self.home.command(args));
        command
            .env("BLITZ_HOST", format!("http://127.0.0.1:{GATEWAY_PORT}"))
            .env("BLITZ_TOKEN", self.token.lock().unwrap_or_else(PoisonError::into_inner).as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// The file `/etc/hosts` of the engine's machine.
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n10.0.0.1 hosted-private\n\
                     169.254.169.254 hosted-metadata\nfd00:ec2::254 hosted-metadata6\n\
                     8.8.8.8 hosted-public\n10.9.1.3 db.internal\n";

/// Links, addresses and routes.
fn join(engine: &Namespace, world: &Namespace) -> Result<(), Unavailable> {
    engine.ip(&[
        "link",
        "add",
        "name",
        LINK,
        "type",
        "veth",
        "peer",
        "name",
        LINK,
        "netns",
        world.name(),
    ])?;
    // Each has the other alone on the link: whatever else looks near goes by the route to everywhere, too.
    for (namespace, four, six, peer_four, peer_six) in [
        (engine, ENGINE_V4, ENGINE_V6, WORLD_V4, WORLD_V6),
        (world, WORLD_V4, WORLD_V6, ENGINE_V4, ENGINE_V6),
    ] {
        namespace.ip(&["addr", "add", four, "peer", peer_four, "dev", LINK])?;
        // No waiting for the detection of duplicates.
        namespace.ip(&["-6", "addr", "add", six, "peer", peer_six, "dev", LINK, "nodad"])?;
        namespace.ip(&["link", "set", LINK, "up"])?;
    }
    engine.ip(&["route", "add", "default", "via", WORLD_V4])?;
    engine.ip(&["-6", "route", "add", "default", "via", WORLD_V6, "dev", LINK, "onlink"])?;
    // All addresses are the world's own, but for the way back to the engine.
    world.ip(&["route", "add", &format!("{ENGINE_V4}/32"), "dev", LINK, "table", "local"])?;
    world.ip(&[
        "-6",
        "route",
        "add",
        &format!("{ENGINE_V6}/128"),
        "dev",
        LINK,
        "table",
        "local",
    ])?;
    world.ip(&["route", "add", "local", "default", "dev", "lo", "table", "local"])?;
    world.ip(&["-6", "route", "add", "local", "default", "dev", "lo", "table", "local"])?;
    // What a server listens on by itself must be an address, not only the end of a route.
    for address in name_servers().map(|server| server.to_string()) {
        match address.contains(':') {
            true => world.ip(&["-6", "addr", "add", &address, "dev", "lo", "nodad"])?,
            false => world.ip(&["addr", "add", &address, "dev", "lo"])?,
        };
    }
    Ok(())
}

/// Starts the servers of a namespace. They end with the child's standard input.
async fn serve(
    carrier: &Path,
    namespace: &Namespace,
    place: &'static str,
    plan: &Plan,
    log: &Log,
) -> Child {
    let mut command = Command::new(carrier);
    command.arg("netns-server").args(plan.to_words());
    let mut command = namespace.enter(&command);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::piped());
    let (child, ready) = started(command, Arc::clone(log), place);
    ready.until(|line| line == READY).await;
    child
}

/// The file with the private keys of the regions, in the home of all commands.
const REGION_KEYS: &str = "region.keys";

/// The address of the store under this name, with its administrator.
fn store_url(place: &str) -> String {
    let (name, password) = ADMIN;
    format!("http://{name}:{password}@{place}")
}
