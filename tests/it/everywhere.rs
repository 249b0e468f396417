//! A plugin of each language, from its author's directory to three regions that run: built by `blitz plugin build`,
//! published by `blitz plugin publish`, called by its name. Nothing is started again.
//!
//! A plain command and a native library in C are always tried; the others need what `.ci/languages` installs.
#![expect(
    clippy::print_stdout,
    reason = "times and skipped parts are for who reads the tests' output"
)]

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use blitz_tests::program::{Outcome, Up};
use blitz_tests::web::ok;
use blitz_tests::{Counter, Home, Web};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::languages::{copy_files, with_tools};

const REGIONS: [&str; 3] = ["virginia", "japan", "ireland"];

fn answer(path: &str) -> Vec<u8> {
    match path {
        "/data" => ok(r#"{"items":[{"name":"blitz"}]}"#),
        "/page" => ok("<title>A page</title>"),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n".to_vec(),
    }
}

#[tokio::test]
async fn a_plain_command_and_a_native_library_are_published_and_run_everywhere() {
    let world = World::start().await;
    let server = registry().await;

    world.example("wasi", "whois").await;
    world.publish("whois", &["whois/whois.wasm"]).await;
    world.everywhere(&["whois", "-h", &server, "example.com"], 0, "domain: example.com\n").await;
    let nobody = world.blitz(&["whois", "-r", "japan", "-h", "127.0.0.1:1", "example.com"]).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stderr.starts_with("whois: "), "{nobody:?}");

    let help = world.blitz(&["help", "whois"]).await;
    assert!(help.stdout.starts_with("whois: look up who a domain"), "{help:?}");
    assert!(help.stdout.contains("-h, --server SERVER[:PORT]"), "{help:?}");
    world.early_error(&["whois", "-r", "japan"], "NAME").await;
    world.early_error(&["whois", "--colour", "x", "-r", "japan"], "--colour").await;
    world.completes(&["who"], "whois\t").await;
    world.completes(&["whois", "--ser"], "--server\t").await;

    world.native_in_c().await;
    let check = world.blitz(&["plugin", "check", "example/example.so"]).await;
    assert!(check.code == Some(0) && check.stdout.contains("take it"), "{check:?}");
    world.publish("example", &["example/example.so", "--manifest", "example/plugin.toml"]).await;
    for region in REGIONS {
        let ran = world.blitz(&["example", "-r", region, "you"]).await;
        let wanted = format!("hello you\nread 0 bytes in {region}\n");
        assert_eq!((ran.code, ran.stdout), (Some(0), wanted), "{}", ran.stderr);
    }
    world.completes(&["exa"], "example\t").await;
    let list = world.list(&["whois", "example"]).await;

    let yank = ["plugin", "yank", "whois@0.1.0", "--reason", "asks the wrong registry"];
    let yanked = world.blitz(&yank).await;
    assert_eq!(yanked.code, Some(0), "{yanked:?}");
    for word in ["whois", "whois@0.1.0"] {
        let refused = world.blitz(&[word, "-r", "japan", "-h", &server, "example.com"]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("yanked: asks the wrong registry"), "{refused:?}");
    }
    let after = world.blitz(&["plugin", "list", "whois"]).await;
    assert!(after.stdout.contains("yanked: asks the wrong registry"), "{list}\n{after:?}");
    world.everywhere(&["example", "again"], 0, "hello again\n").await;
    world.end().await;
}

#[tokio::test]
async fn a_plugin_in_rust_runs_everywhere_as_a_component_and_as_a_library() {
    let Some(world) = World::with_languages().await else { return };
    let web = Web::start(answer).await;
    let made = world.author(&["plugin", "new", "page"]).await;
    assert!(made.contains("made page, a plugin in rust"), "{made}");
    world.author(&["plugin", "build", "page"]).await;
    world.publish("page", &["page/page.wasm"]).await;
    world.everywhere(&["page", &web.url("/page")], 0, "200 after ").await;
    world.everywhere(&["page", "--status", "200", &web.url("/gone")], 1, "404 after ").await;
    world.early_error(&["page", "-s", "many", &web.url("/page")], "option -s:").await;
    world.completes(&["page", "--sta"], "--status\t").await;

    // The same source under the next version: two carriers of one name serve side by side.
    let directory = world.home.path().join("page");
    for file in ["plugin.toml", "Cargo.toml"] {
        let text = std::fs::read_to_string(directory.join(file)).expect("a file of the template");
        let next = text.replacen("version = \"0.1.0\"", "version = \"0.2.0\"", 1);
        assert_ne!(text, next, "{file}");
        std::fs::write(directory.join(file), next).expect("the next version");
    }
    world.author(&["plugin", "build", "page", "--native"]).await;
    world.publish("page", &["page/page.so", "--manifest", "page/plugin.toml"]).await;
    for version in ["page", "page@0.1.0", "page@0.2.0"] {
        world.everywhere(&[version, &web.url("/page")], 0, "200 after ").await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_plugin_of_ones_own_makes_a_load_test() {
    let world = World::start().await;
    let server = Counter::start().await;
    let url = server.url("/");
    let url = url.as_str();
    world.example("knee", "knee").await;
    world.publish("knee", &["knee/knee.wasm"]).await;
    // Limits that every machine keeps: what was measured is no matter here.
    let limits = ["--to", "2", "--hold", "3s", "--limit", "1m", "--wait", "1m", "--errors", "100"];
    let climb = |words: &[&'static str]| [words, &["-r", "japan", "--from", "1"], &limits].concat();
    let ran = world.blitz(&[&climb(&["knee"])[..], &[url]].concat()).await;
    // 3 says that this machine was the limit.
    assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
    assert!(ran.stdout.contains("no knee up to 2 users; --to goes on\n"), "{ran:?}");

    let before = server.requests();
    let ran = world.blitz(&[&climb(&["knee", "--json"])[..], &[url]].concat()).await;
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!(report["total"]["tally"]["hits"], server.requests() - before, "{report}");

    let refused = world.blitz(&["knee", "-r", "japan", "http://192.0.2.1/"]).await;
    assert_eq!(refused.code, Some(122), "{refused:?}");
    assert!(refused.stderr.contains("--load-target 192.0.2.1"), "{refused:?}");

    // The same source as a library, which asks by name.
    let directory = world.home.path().join("knee");
    for file in ["plugin.toml", "Cargo.toml"] {
        let text = std::fs::read_to_string(directory.join(file)).expect("a file of the example");
        let next = text.replacen("version = \"0.1.0\"", "version = \"0.2.0\"", 1);
        std::fs::write(directory.join(file), next).expect("the next version");
    }
    world.author(&["plugin", "build", "knee", "--native"]).await;
    world.publish("knee", &["knee/knee.so", "--manifest", "knee/plugin.toml"]).await;
    let before = server.requests();
    let ran = world.blitz(&[&climb(&["knee@0.2.0"])[..], &[url]].concat()).await;
    assert!(matches!(ran.code, Some(0 | 3)), "{ran:?}");
    assert!(ran.stdout.contains("no knee up to 2 users; --to goes on\n"), "{ran:?}");
    assert!(server.requests() > before, "{ran:?}");
    world.end().await;
}

#[tokio::test]
async fn plugins_in_c_python_and_javascript_run_everywhere() {
    let Some(world) = World::with_languages().await else { return };
    let web = Web::start(answer).await;
    let (data, page, gone) = (web.url("/data"), web.url("/page"), web.url("/gone"));

    world.example("c", "entropy").await;
    world.publish("entropy", &["entropy/entropy.wasm"]).await;
    std::fs::write(world.home.path().join("zeros"), [0; 64]).expect("a file");
    let zeros = "0.000 bits a byte in 64 bytes: hardly anything\n";
    world.everywhere(&["entropy", "zeros"], 0, zeros).await;
    world.everywhere(&["entropy", "--above", "1", "zeros"], 1, zeros).await;
    world.early_error(&["entropy", "--above", "much", "zeros"], "--above").await;
    world.completes(&["entropy", "--ab"], "--above\t").await;

    world.example("python", "jsonget").await;
    world.publish("jsonget", &["jsonget/jsonget.wasm"]).await;
    world.everywhere(&["jsonget", &data, "/items/0/name"], 0, "blitz\n").await;
    world.everywhere(&["jsonget", "-e", "other", &data, "/items/0/name"], 1, "blitz\n").await;
    world.early_error(&["jsonget"], "URL").await;
    world.completes(&["jsonget", "--ex"], "--expect\t").await;

    world.example("javascript", "status").await;
    world.publish("status", &["status/status.wasm"]).await;
    world.everywhere(&["status", &page], 0, "ok  200 ").await;
    world.everywhere(&["status", &gone], 1, "BAD 404 ").await;
    world.early_error(&["status", "--slow", "soon", &page], "--slow").await;
    world.completes(&["status", "--sl"], "--slow\t").await;

    world.list(&["entropy", "jsonget", "status"]).await;
    world.end().await;
}

/// A user's home, and three regions that run in it from before the first plugin to the end.
struct World {
    home: Home,
    up: Up,
}

impl World {
    async fn start() -> Self {
        let home = Home::new(Path::new(env!("CARGO_BIN_EXE_bench")));
        let regions = REGIONS.map(|region| ["--region", region]);
        let mut args = regions.concat();
        args.extend(["--data", "data"]);
        let up = home.up(&args).await;
        Self { home, up }
    }

    async fn with_languages() -> Option<Self> {
        if std::env::var_os("BLITZ_TEST_LANGUAGES").is_none() {
            println!("skipped: .ci/languages installs what this needs, and says how it is run");
            return None;
        }
        Some(Self::start().await)
    }

    /// The whole time that it took is one run of `blitz up`.
    async fn end(self) {
        assert_eq!(self.up.signal("INT").await, Some(0), "blitz up ran to the end");
    }

    async fn blitz(&self, args: &[&str]) -> Outcome {
        self.home.run(args).await
    }

    /// A command of an author, with the tools of all languages.
    async fn author(&self, args: &[&str]) -> String {
        with_tools(&self.home, args).await
    }

    /// A copy of `sdk/examples/DIRECTORY`, built.
    async fn example(&self, directory: &str, name: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let copy = self.home.path().join(name);
        copy_files(&root.join("sdk/examples").join(directory), &copy);
        // A package of Rust names the SDK by its place in the repository, which the copy has left.
        if let Ok(text) = std::fs::read_to_string(copy.join("Cargo.toml")) {
            let sdk = format!("{:?}", root.join("sdk/plugin"));
            let text = text.replace("\"../../plugin\"", &sdk);
            std::fs::write(copy.join("Cargo.toml"), text).expect("the copy's manifest");
        }
        let begun = Instant::now();
        self.author(&["plugin", "build", name]).await;
        println!("{name}: built in {:?}", begun.elapsed());
    }

    /// `sdk/native/example.c` as its first lines say, and its manifest.
    async fn native_in_c(&self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let directory = self.home.path().join("example");
        copy_files(&root.join("sdk/native"), &directory);
        let manifest = "name = \"example\"\nversion = \"0.1.0\"\nsummary = \"greets in C\"\n\
                        contract = \"0.1.0\"\nusage = \"[NAME]\"\n\n[[arguments]]\nname = \"NAME\"\n\
                        positional = true\n";
        std::fs::write(directory.join("plugin.toml"), manifest).expect("a manifest");
        let mut cc = tokio::process::Command::new("cc");
        cc.args(["-shared", "-fPIC", "-Wall", "-O2", "-o", "example.so", "example.c"]);
        let ended = cc.current_dir(&directory).stdin(Stdio::null()).status().await;
        assert!(ended.expect("cc").success(), "example.c is compiled");
    }

    /// Publishes a file, which waits until every region can run it.
    async fn publish(&self, name: &str, words: &[&str]) {
        let begun = Instant::now();
        let args = [&["plugin", "publish"], words].concat();
        let said = with_tools(&self.home, &args).await;
        let bytes = std::fs::metadata(self.home.path().join(words[0])).expect("the file").len();
        println!(
            "{name}: {bytes} bytes, runnable in {} regions after {:?}",
            REGIONS.len(),
            begun.elapsed()
        );
        assert!(said.starts_with(&format!("published {name}@")), "{said}");
        for region in REGIONS {
            assert!(said.contains(&format!("{region} (1 engine)")), "{said}");
        }
    }

    /// Runs it in each region, and holds the exit code and how the output begins against what is wanted.
    async fn everywhere(&self, words: &[&str], code: i32, stdout: &str) {
        for region in REGIONS {
            let args = [&words[..1], &["-r", region], &words[1..]].concat();
            let ran = self.blitz(&args).await;
            assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
            assert!(ran.stdout.starts_with(stdout), "{args:?}: {ran:?}");
        }
    }

    /// A wrong command line ends before there is a job.
    async fn early_error(&self, args: &[&str], says: &str) {
        let jobs = self.blitz(&["jobs"]).await.stdout;
        let ran = self.blitz(args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {ran:?}");
        assert!(
            ran.stderr.contains(says) && ran.stderr.contains("blitz help"),
            "{args:?}: {ran:?}"
        );
        let count = |text: &str| text.lines().count();
        assert_eq!(count(&self.blitz(&["jobs"]).await.stdout), count(&jobs), "{args:?}");
    }

    async fn completes(&self, typed: &[&str], candidate: &str) {
        let args = [&["__complete", "zsh", "--"], typed].concat();
        let said = self.blitz(&args).await.stdout;
        assert!(
            said.starts_with("words\n") && said.contains(&format!("\n{candidate}")),
            "{typed:?}: {said}"
        );
    }

    /// Every plugin is listed as ready in every region.
    async fn list(&self, names: &[&str]) -> String {
        let list = self.blitz(&["plugin", "list"]).await.stdout;
        for name in names {
            let line = list.lines().find(|line| line.split_whitespace().next() == Some(name));
            let line = line.unwrap_or_else(|| panic!("{name} is not in\n{list}"));
            assert!(REGIONS.iter().all(|region| line.contains(&format!("{region} 1/1"))), "{list}");
        }
        list
    }
}

/// A whois server of the test: tells the name back.
async fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = vec![0; 512];
            let length = stream.read(&mut question).await.unwrap_or_default();
            let asked = String::from_utf8_lossy(&question[..length]).trim().to_owned();
            // Whoever asked may have gone: that is its story.
            stream.write_all(format!("domain: {asked}\n").as_bytes()).await.ok();
        }
    });
    address.to_string()
}
