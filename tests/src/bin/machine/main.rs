//! `machine`: a whole machine boots from its user data to a registered engine, works, drains, and switches itself off.
//!
//!     eval "$(.ci/moto)"; eval "$(.ci/rootfs vm)"
//!     cargo run --release -p blitz-tests --bin machine -- vm
//!     cargo run --release -p blitz-tests --bin machine -- vm --tampered
//!
//! As root, since it makes network namespaces. With `--tampered` the program in S3 has another byte than what was signed, and the
//! machine must end without an engine. With `--program FILE` the machine is given another build of `blitz` than this one. It
//! prints when what has happened, and where the machine's console is written down.
//!
//! Under the name `blitz` this binary is the program itself: the machine downloads it, and store and gateway are it.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use blitz_tests::machine::vm::Vm;
use blitz_tests::machine::{INSTANCE, PAGE, REGION, THERE, World, aws, given_or_skipped, stripped};
use blitz_tests::net::Namespace;
use blitz_tests::within;
use serde_json::Value;

const USAGE: &str = "usage: machine vm [--tampered] [--program FILE]";

/// What an emulated processor on a busy machine does within this time; what it does not is a failure.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Requests of the load test.
const HITS: u64 = 40;

/// The manifest of `sdk/native/example.c`.
const EXAMPLE: &str = "name = \"example\"\nversion = \"0.1.0\"\nsummary = \"greets in C\"\ncontract = \"0.1.0\"\n\
    usage = \"[NAME]\"\n\n[[arguments]]\nname = \"NAME\"\npositional = true\n";

/// What the console says on the way, and what it means.
const STATIONS: [(&str, &str); 5] = [
    ("Linux version", "the kernel"),
    ("running in system mode", "systemd"),
    ("running 'init-local'", "cloud-init looks where it is"),
    ("running 'init'", "cloud-init reads the user data"),
    ("running 'modules:final'", "cloud-init runs the script"),
];

/// The same of the unit, where it is started, and of the script.
const UNIT: (&str, &str) = ("Started blitz-engine.service", "the engine's unit has started");
const SCRIPT: (&str, &str) = ("blitz-boot: ", "the end of the script");

struct Flags {
    is_tampered: bool,
    program: PathBuf,
}

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = PathBuf::from(args.next().unwrap_or_default());
    if called.file_name().is_some_and(|name| name == "blitz") {
        return blitz::main();
    }
    let words: Vec<OsString> = args.collect();
    // A compiler, of an engine.
    if words.first().is_some_and(|word| word == blitz_runtime::CHILD) {
        return blitz::child_main(words.into_iter().skip(1));
    }
    let Some(flags) = parse(&words) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.expect("a runtime").block_on(async {
        tokio::select! {
            ended = run(flags) => ended,
            // With what runs goes all that it started.
            _ = tokio::signal::ctrl_c() => false,
        }
    });
    match ended {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn parse(words: &[OsString]) -> Option<Flags> {
    let own = std::env::current_exe().expect("this program");
    let mut flags = Flags { is_tampered: false, program: own };
    let (first, mut rest) = words.split_first()?;
    while let Some((word, more)) = rest.split_first() {
        rest = more;
        match word.to_str()? {
            "--tampered" => flags.is_tampered = true,
            "--program" => {
                let (file, more) = rest.split_first()?;
                (flags.program, rest) = (PathBuf::from(file), more);
            }
            _ => return None,
        }
    }
    (first == "vm").then_some(flags)
}

async fn run(flags: Flags) -> bool {
    let made = given_or_skipped("BLITZ_TEST_VM", ".ci/rootfs vm");
    let moto = given_or_skipped("BLITZ_TEST_MOTO", ".ci/moto");
    let space = Namespace::or_skipped("vm");
    let (Some(made), Some(moto), Some(space)) = (made, moto, space) else { return false };
    let own = std::env::current_exe().expect("this program");
    let world = World::start(space, &own, &moto).await;
    let published = world.publish(stripped(&flags.program)).await;
    if flags.is_tampered {
        let mut bytes = published.blob.bytes;
        *bytes.last_mut().expect("a program") ^= 1;
        world.aws.put(&published.blob.key, &bytes).await;
    }
    world.tell(aws::PREFIX);
    let key = tenant(&world).await;

    let console = std::env::temp_dir().join(format!("blitz-machine-{}.log", std::process::id()));
    say(&format!("the console of the machine is in {}", console.display()));
    let file = std::fs::File::create(console).expect("a file for the console");
    let mut vm = Vm::boot(&world, &made, file);
    if flags.is_tampered {
        ends_itself(&world, &mut vm).await;
    } else {
        works_and_leaves(&world, &key, &mut vm).await;
    }
    true
}

async fn ends_itself(world: &World, vm: &mut Vm) {
    for (part, what) in STATIONS.into_iter().chain([SCRIPT]) {
        at(vm.says(LIMIT, part).await, what);
    }
    let off = vm.ends(LIMIT).await;
    at(off, "the machine is off");
    assert!(vm.said("is not the one that was signed").is_some(), "it says why");
    assert_eq!(world.site.engine(INSTANCE).await, None, "and there never was an engine");
}

async fn works_and_leaves(world: &World, key: &str, vm: &mut Vm) {
    for (part, what) in STATIONS.into_iter().chain([UNIT, SCRIPT]) {
        at(vm.says(LIMIT, part).await, what);
    }
    within(LIMIT, "an engine", async || world.site.engine(INSTANCE).await).await;
    at(vm.age(), &format!("{INSTANCE} is registered"));
    for plugin in ["curl@", "rush@"] {
        has_plugin(world, plugin).await;
        at(vm.age(), &format!("it runs {plugin}"));
    }
    let url = world.url("/hello");
    assert_eq!(job(world, key, &["curl", "-s", &url]).await, "42");
    assert_eq!(world.page.by_target().get("GET /hello"), Some(&1), "it was there itself");
    at(vm.age(), "a job: curl");
    world.is_kept_out().await;
    at(vm.age(), "a job that the flags of its user data forbid");

    let (hits, url) = (HITS.to_string(), world.url("/load"));
    let report = job(world, key, &["rush", "--json", "--rate", "10", "-n", &hits, &url]).await;
    let report: Value = serde_json::from_str(&report).expect("a report");
    assert_eq!(report["total"]["tally"]["hits"], HITS, "{report}");
    assert_eq!(world.page.by_target().get("GET /load"), Some(&HITS), "and each was there");
    at(vm.age(), &format!("a load test: rush, {HITS} hits"));

    example(world.site.path());
    let published = world.site.operate(&["plugin", "publish", "example.so"]).await;
    assert_eq!(published.code, Some(0), "{published:?}");
    has_plugin(world, "example@").await;
    let greeting = format!("hello you\nread 0 bytes in {REGION}\n");
    assert_eq!(job(world, key, &["example", "you"]).await, greeting);
    at(vm.age(), "a native plugin: example, in C");

    world.imds.recommend_rebalance();
    let is_gone = async || world.site.engine(INSTANCE).await.is_none().then_some(());
    within(LIMIT, "an engine that leaves", is_gone).await;
    assert!(vm.said("takes no more jobs and leaves").is_some(), "by itself");
    at(vm.age(), "EC2 recommended to leave, and the engine has left");
    let off = vm.ends(LIMIT).await;
    at(off, "the machine is off");
}

async fn has_plugin(world: &World, plugin: &str) {
    let has = async || {
        let engine = world.site.engine(INSTANCE).await?;
        engine["plugins"].to_string().contains(plugin).then_some(())
    };
    within(LIMIT, plugin, has).await;
}

/// Makes a tenant that may load the page, as its owner shows there, and gives its key.
async fn tenant(world: &World) -> String {
    let operate = async |key: Option<&str>, args: &[&str]| {
        let ran = match key {
            Some(key) => world.site.act(key, args).await,
            None => world.site.operate(args).await,
        };
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        ran.stdout.trim().to_owned()
    };
    operate(None, &["tenants", "add", "acme"]).await;
    let key = operate(None, &["keys", "add", "--tenant", "acme", "--user", "ann", "--admin"]).await;
    operate(Some(&key), &["targets", "add", PAGE]).await;
    operate(Some(&key), &["targets", "verify", PAGE]).await;
    key
}

/// Runs a plugin on the machine as who has this key, and gives what it prints.
async fn job(world: &World, key: &str, words: &[&str]) -> String {
    let (plugin, words) = words.split_first().expect("a plugin");
    let ran = world.site.act(key, &[&[*plugin], &THERE[..], words].concat()).await;
    // 3 is what a load test ends with whose generator was late, as it may be on an emulated processor.
    assert!(matches!(ran.code, Some(0 | 3)), "{plugin} {words:?}: {ran:?}");
    ran.stdout
}

/// Compiles the native plugin into this directory, with its manifest beside it.
fn example(directory: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/native/example.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O2", "-o"]).arg(directory.join("example.so")).arg(source);
    assert!(cc.status().expect("cc").success(), "example.c is compiled");
    std::fs::write(directory.join("plugin.toml"), EXAMPLE).expect("a manifest");
}

fn at(when: Duration, what: &str) {
    say(&format!("{:8.1} s  {what}", when.as_secs_f64()));
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
