//! Plugins in every language: the examples of `sdk/examples` and the templates of `blitz plugin new`, each built by
//! `blitz plugin build` with the tools of its language, loaded by the host and run.
//!
//! `.ci/languages` installs the tools, and prints the `BLITZ_TEST_LANGUAGES` that these stories need; they are skipped
//! without it.
#![expect(clippy::print_stdout, reason = "sizes and times are for who reads the tests' output")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blitz_contract::{Exit, Manifest, package};
use blitz_runtime::{Invocation, Plugin, Runtime, RuntimeConfig, TargetPolicy};
use blitz_tests::web::ok;
use blitz_tests::{Home, Web, printed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Components of whole interpreters take up to a minute of a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

const PAGE: &str = "<html><head><title>A  page\n</title></head></html>";

fn answer(path: &str) -> Vec<u8> {
    match path {
        "/data" => ok(r#"{"items":[{"name":"blitz","tags":["a/b"]}]}"#),
        "/page" => ok(PAGE),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n".to_vec(),
    }
}

#[tokio::test]
async fn c_has_its_own_exit_statuses_and_reads_files() {
    let Some(bench) = Bench::new() else { return };
    let plugin = bench.example("c", "entropy").await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let ran = plugin.run(&["file"], &[("file", &every_byte)]).await;
    ran.check(0, "8.000 bits a byte in 256 bytes: compressed or encrypted\n", "");
    let ran = plugin.run(&["--above", "1"], &[("-", b"aaaa")]).await;
    ran.check(1, "0.000 bits a byte in 4 bytes: hardly anything\n", "");
    plugin.run(&["--nope"], &[]).await.check(2, "", "entropy: no option --nope here\n");
    let ran = plugin.run(&["gone"], &[]).await;
    assert!(ran.status == Exit::Status(1) && ran.stderr.starts_with("entropy: gone: "), "{ran:?}");

    let plugin = bench.template("c").await;
    let ran = plugin.run(&[], &[("-", b"two words\nthree more words")]).await;
    ran.check(0, "      1       5      26\n", "");
}

#[tokio::test]
async fn python_fetches_through_the_host() {
    let Some(bench) = Bench::new() else { return };
    let web = Web::start(answer).await;
    let (data, gone) = (web.url("/data"), web.url("/gone"));
    let plugin = bench.example("python", "jsonget").await;
    plugin.run(&[&data, "/items/0/name"], &[]).await.check(0, "blitz\n", "");
    plugin.run(&[&data, "/items/0/tags"], &[]).await.check(0, "[\"a/b\"]\n", "");
    let ran = plugin.run(&["-e", "other", &data, "/items/0/name"], &[]).await;
    ran.check(1, "blitz\n", "jsonget: /items/0/name is blitz, and other was expected\n");
    let ran = plugin.run(&[&gone], &[]).await;
    ran.check(1, "", &format!("jsonget: {gone} answers with 404\n"));
    let ran = plugin.run(&["http://127.0.0.1:1/"], &[]).await;
    assert!(ran.status == Exit::Status(1) && ran.stderr.starts_with("jsonget: "), "{ran:?}");
    assert_eq!(plugin.run(&["--nope", &data], &[]).await.status, Exit::Status(2));

    let plugin = bench.template("python").await;
    plugin.run(&[&web.url("/page")], &[]).await.check(0, "A page\n", "");
    plugin.run(&[&gone], &[]).await.check(1, "(no title)\n", "");
}

#[tokio::test]
async fn javascript_fetches_through_the_host() {
    let Some(bench) = Bench::new() else { return };
    let web = Web::start(answer).await;
    let (page, gone) = (web.url("/page"), web.url("/gone"));
    let plugin = bench.example("javascript", "status").await;
    let ran = plugin.run(&["--slow", "60000", &page], &[]).await;
    assert!(ran.status == Exit::Status(0) && ran.stdout.starts_with("ok  200 "), "{ran:?}");
    let ran = plugin.run(&[&page, &gone], &[]).await;
    assert_eq!(ran.status, Exit::Status(1), "{ran:?}");
    assert!(ran.stdout.contains("BAD 404 "), "{ran:?}");
    assert_eq!(ran.stderr, format!("status: {gone}: status 404\n"));

    let plugin = bench.template("javascript").await;
    let ran = plugin.run(&[&page], &[]).await;
    assert_eq!(ran.status, Exit::Status(1), "{ran:?}");
    assert!(ran.stdout.starts_with("misses  strict-transport-security\n"), "{ran:?}");
}

#[tokio::test]
async fn rust_has_a_template_that_works_as_it_is() {
    let Some(bench) = Bench::new() else { return };
    let web = Web::start(answer).await;
    let plugin = bench.template("rust").await;
    let ran = plugin.run(&[&web.url("/page")], &[]).await;
    assert!(ran.status == Exit::Status(0) && ran.stdout.starts_with("200 after "), "{ran:?}");
    let ran = plugin.run(&["--status", "200", &web.url("/gone")], &[]).await;
    assert!(ran.stderr.ends_with("has status 404, and 200 was wanted\n"), "{ran:?}");
    assert_eq!(ran.status, Exit::Status(1));
}

#[tokio::test]
async fn a_plain_command_needs_only_a_manifest() {
    let Some(bench) = Bench::new() else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = vec![0; 512];
            let length = stream.read(&mut question).await.unwrap_or_default();
            let asked = String::from_utf8_lossy(&question[..length]).trim().to_owned();
            stream.write_all(format!("domain: {asked}\n").as_bytes()).await.ok();
        }
    });
    let plugin = bench.example("wasi", "whois").await;
    let server = format!("127.0.0.1:{port}");
    let ran = plugin.run(&["-h", &server, "example.com"], &[]).await;
    ran.check(0, "domain: example.com\n", "");
    let ran = plugin.run(&["-h", "127.0.0.1:1", "example.com"], &[]).await;
    let refused = "whois: 127.0.0.1:1: Connection refused";
    assert!(ran.status == Exit::Status(1) && ran.stderr.starts_with(refused), "{ran:?}");

    let plugin = bench.template("wasi").await;
    let ran = plugin.run(&["127.0.0.1", &port.to_string()], &[]).await;
    assert!(ran.stdout.starts_with(&format!("127.0.0.1:{port} answers after ")), "{ran:?}");
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let ran = plugin.run(&["127.0.0.1", &closed.to_string()], &[]).await;
    assert_eq!((&ran.status, ran.stdout.as_str()), (&Exit::Status(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("Connection refused"), "{ran:?}");
}

/// Builds and runs plugins as an author does: in a home of its own, with the tools on the `PATH`.
struct Bench {
    home: Home,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Option<Self> {
        if std::env::var_os("BLITZ_TEST_LANGUAGES").is_none() {
            println!("skipped: .ci/languages installs what this needs, and says how it is run");
            return None;
        }
        let config = RuntimeConfig { targets: TargetPolicy::any(), ..RuntimeConfig::default() };
        Some(Self {
            home: Home::new(Path::new(env!("CARGO_BIN_EXE_bench"))),
            runtime: Runtime::new(config).expect("a runtime"),
        })
    }

    /// A copy of `sdk/examples/DIRECTORY`, built.
    async fn example(&self, directory: &str, name: &str) -> Ready {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let copy = self.home.path().join(name);
        copy_files(&root.join("sdk/examples").join(directory), &copy);
        self.built(&copy, name).await
    }

    /// What `blitz plugin new` makes, built.
    async fn template(&self, language: &str) -> Ready {
        let name = format!("my-{language}");
        self.blitz(&["plugin", "new", &name, "--lang", language]).await;
        self.built(&self.home.path().join(&name), &name).await
    }

    async fn built(&self, directory: &Path, name: &str) -> Ready {
        let started = Instant::now();
        let said = self.blitz(&["plugin", "build", &directory.display().to_string()]).await;
        let built = started.elapsed();
        if directory.join("tests").is_dir() {
            let said = self.blitz(&["plugin", "test", &directory.display().to_string()]).await;
            assert!(said.ends_with(" passed\n"), "{said}");
        }
        let file = std::fs::read(directory.join(format!("{name}.wasm"))).expect("the plugin");
        assert!(said.contains(&format!("\nsize          {} bytes\n", file.len())), "{said}");
        let json = package::manifest(&file).expect("the file has its manifest");
        let manifest = Manifest::from_json(json).expect("a manifest");
        assert_eq!(manifest.name, name);
        let (size, sha256) = (file.len(), blitz_jobs::plugin::sha256(&file));
        let started = Instant::now();
        let plugin = self.runtime.load(file.into(), &sha256).await.expect("a plugin");
        println!("{name}: {size} bytes, built in {built:?}, loaded in {:?}", started.elapsed());
        Ready { plugin, manifest }
    }

    async fn blitz(&self, args: &[&str]) -> String {
        with_tools(&self.home, args).await
    }
}

/// Runs the program as an author does, with the tools of all languages, to its good end; gives what it printed.
pub(crate) async fn with_tools(home: &Home, args: &[&str]) -> String {
    let mut command = home.command(args);
    let tools = std::env::var_os("BLITZ_TEST_LANGUAGES").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = tools.into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).expect("a PATH"));
    // The home is empty; the tool chain of Rust is where it is.
    let own = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    for (name, below) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        command.env(name, std::env::var_os(name).unwrap_or(own.join(below).into()));
    }
    if let Some(toolchain) = std::env::var_os("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    let output = tokio::time::timeout(BUILD_LIMIT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("blitz {args:?} did not end"));
    let output = output.unwrap_or_else(|e| panic!("start blitz {args:?}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "blitz {args:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A plugin that is loaded.
struct Ready {
    plugin: Plugin,
    manifest: Manifest,
}

#[derive(Debug)]
struct Ran {
    status: Exit,
    stdout: String,
    stderr: String,
}

impl Ready {
    async fn run(&self, args: &[&str], inputs: &[(&str, &[u8])]) -> Ran {
        let (output, frames) = mpsc::channel(16);
        let inputs = inputs.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec().into()));
        let invocation = Invocation {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            region: "testing".to_owned(),
            deadline: Duration::from_secs(60),
            limits: self.manifest.limits,
            capabilities: self.manifest.capabilities.clone(),
            inputs: inputs.collect::<BTreeMap<_, _>>(),
            output,
            cancel: CancellationToken::new(),
            tape: blitz_runtime::Tape::Live,
            targets: Vec::new(),
            load: Default::default(),
        };
        let printed = printed::run(&self.plugin, invocation, frames).await;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(printed.stdout), text(printed.stderr));
        Ran { status: printed.exit, stdout, stderr }
    }
}

impl Ran {
    #[track_caller]
    fn check(&self, status: u8, stdout: &str, stderr: &str) {
        let found = (&self.status, self.stdout.as_str(), self.stderr.as_str());
        assert_eq!(found, (&Exit::Status(status), stdout, stderr));
    }
}

/// The sources of an example, without what was built in its directory.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("an example").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_made = [".blitz", "target", "node_modules"].iter().any(|made| name == *made);
        if path.is_dir() && !is_made {
            copy_files(&path, &to.join(&name));
        } else if path.is_file() && path.extension().is_none_or(|e| e != "wasm") {
            std::fs::copy(&path, to.join(&name)).expect("a copy");
        }
    }
}
