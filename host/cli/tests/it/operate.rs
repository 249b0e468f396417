//! `blitz cluster` and `blitz region` over two stores on loopback: what they print, do, and refuse.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use blitz_embedded::{Admin, Options, Storage, Store, serve};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::blitz::{Blitz, Ran};

/// Two stores, which end with it, and a place to run commands.
pub(crate) struct Site {
    blitz: Blitz,
    pub(crate) urls: [String; 2],
    pub(crate) file: PathBuf,
    stop: CancellationToken,
    _runtime: Runtime,
}

const NAMES: [&str; 2] = ["tokyo", "virginia"];

impl Site {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let stop = CancellationToken::new();
        let urls = NAMES.map(|_| {
            let admin = Admin { name: "a".to_owned(), password: "hidden".to_owned() };
            let options = Options { admins: vec![admin], ..Options::default() };
            let store = Store::open(Storage::Memory, options).unwrap();
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            runtime.spawn(serve(store, listener, stop.clone()));
            url
        });
        let blitz = Blitz::new();
        let file = blitz.directory().join("clusters.toml");
        let site = Self { blitz, urls, file, stop, _runtime: runtime };
        let sections = NAMES.iter().zip(&site.urls).map(|(name, url)| {
            format!(
                "[{name}]\nurl = \"{url}\"\nuser = \"a\"\npassword = \"hidden\"\noperator = true\n"
            )
        });
        site.write(&format!("own = \"tokyo\"\n{}", sections.collect::<String>()), 0o600);
        site
    }

    pub(crate) fn write(&self, text: &str, mode: u32) {
        std::fs::write(&self.file, text).unwrap();
        std::fs::set_permissions(&self.file, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let mut command = self.blitz.command(None, line);
        command.env("BLITZ_CLUSTERS", &self.file).output().unwrap().into()
    }

    /// Runs what must do, and gives what it says with addresses and uuids left out.
    #[track_caller]
    pub(crate) fn done(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "blitz {line}: {}", ran.stdout);
        self.clean(&ran.stdout)
    }

    /// Runs what is refused, and gives the reason.
    #[track_caller]
    fn refused(&self, code: i32, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(code), ""),
            "blitz {line}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("hidden"), "{}", ran.stderr);
        self.clean(&ran.stderr)
    }

    fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, url) in NAMES.iter().zip(&self.urls) {
            text = text.replace(url, &format!("http://{name}"));
        }
        let is_uuid = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let words: Vec<String> = text
            .split(' ')
            .map(|word| {
                let (first, rest) = word.split_at(word.find('\n').unwrap_or(word.len()));
                if is_uuid(first) { format!("UUID{rest}") } else { word.to_owned() }
            })
            .collect();
        words.join(" ").replace(&self.file.display().to_string(), "FILE")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Columns are as wide as the addresses, whose ports differ from run to run.
fn squeezed(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let indent = if line.starts_with("  ") { "  " } else { "" };
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{indent}{}\n", words.join(" "))
    });
    lines.collect()
}

#[test]
fn a_region_is_made_changed_moved_and_shown() {
    let site = Site::new();
    let mut told = String::new();
    for line in [
        "cluster add tokyo",
        "cluster add virginia",
        "cluster add virginia",
        "region add japan --home tokyo --hub virginia --place 35.68,139.69 --rotate 7d --keep 14d",
        "region add japan --home tokyo --hub virginia",
        "region add virginia --home virginia",
        "region set japan --failover safe --alias nippon,jp --lanes 2",
        "region move japan --to virginia",
        "region move japan --to virginia",
        "cluster list",
        "region list",
    ] {
        told.push_str(&format!("$ blitz {line}\n{}", squeezed(&site.done(line))));
    }
    insta::assert_snapshot!(told);
    let shown = site.done("region show nippon");
    assert!(shown.contains("home      virginia, epoch 3"), "{shown}");
    assert!(shown.contains("blitz-jobs-japan-2"), "{shown}");
    assert!(shown.contains("tokyo > virginia"), "{shown}");
    for (line, path, wanted) in [
        ("cluster list --json", "/clusters/0/name", "tokyo"),
        ("region list --json", "/regions/0/home", "virginia"),
        ("region show japan --json", "/region/hubs/0", "tokyo"),
        ("region show japan --json", "/databases/0/state", "ok"),
    ] {
        let json: serde_json::Value = serde_json::from_str(&site.run(line).stdout).unwrap();
        assert_eq!(
            json.pointer(path).and_then(|value| value.as_str()),
            Some(wanted),
            "{line}: {json}"
        );
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_next_step() {
    let site = Site::new();
    let mut told = String::new();
    let mut refused = |code: i32, line: &str| {
        told.push_str(&format!("$ blitz {line}\n{code}: {}", site.refused(code, line)));
    };
    refused(2, "region add japan --home tokyo");
    refused(2, "cluster add Tokyo");
    refused(2, "cluster add osaka");
    refused(2, "cluster add tokyo --url ftp://h");
    site.done("cluster add tokyo");
    refused(2, "region add japan");
    refused(2, "region add japan --home atlantis");
    refused(2, "region add japan --home tokyo --hub tokyo");
    refused(2, "region show japan");
    refused(2, "region add japan --home tokyo --keep 14d");
    refused(2, "region add japan --home tokyo --rotate often");
    site.done("region add japan --home tokyo");
    refused(2, "region add tokyo --home tokyo");
    refused(2, "region add japan --home tokyo --failover safe");
    site.write(
        "[tokyo]\nurl = \"http://127.0.0.1:1\"\nuser = \"a\"\npasword = \"hidden\"\n",
        0o600,
    );
    refused(2, "region list");
    site.write("own = \"tokyo\"\n", 0o644);
    refused(2, "region list");
    let text =
        format!("[tokyo]\nurl = \"{}\"\nuser = \"a\"\npassword = \"hidden\"\n", site.urls[0]);
    site.write(&text, 0o600);
    refused(2, "region add oregon --home tokyo");
    insta::assert_snapshot!(told);
}

#[test]
fn a_cluster_that_does_not_answer_and_one_that_is_another() {
    let site = Site::new();
    for line in ["cluster add tokyo", "cluster add virginia", "region add japan --home tokyo"] {
        site.done(line);
    }
    // The address of the one leads to the other.
    let section = |name: &str, url: &str| {
        format!("[{name}]\nurl = \"{url}\"\nuser = \"a\"\npassword = \"hidden\"\noperator = true\n")
    };
    let [tokyo, virginia] = &site.urls;
    site.write(
        &format!(
            "own = \"virginia\"\n{}{}",
            section("tokyo", virginia),
            section("virginia", virginia)
        ),
        0o600,
    );
    let told = site.refused(2, "region set japan");
    assert!(
        told.contains("cluster 'tokyo' answers at http://virginia as another server"),
        "{told}"
    );
    assert!(told.contains("blitz cluster add tokyo --url http://virginia --renew"), "{told}");
    // Nobody listens there; a port below 1024 is nobody's by chance.
    let nowhere = "http://127.0.0.1:9";
    site.write(
        &format!(
            "own = \"virginia\"\n{}{}",
            section("tokyo", nowhere),
            section("virginia", virginia)
        ),
        0o600,
    );
    let told = site.refused(125, "region set japan");
    assert!(told.starts_with("blitz: cluster 'tokyo' does not answer"), "{told}");
    let ran = site.run("cluster list");
    assert!(ran.stdout.contains("no answer") && ran.code == Some(0), "{ran:?}");
    assert!(!tokyo.is_empty());
}

#[test]
fn a_password_in_an_address_stays_out_of_documents() {
    let site = Site::new();
    site.done("cluster add tokyo");
    let text = std::fs::read_to_string(&site.file).unwrap();
    let only_tokyo = text.split("[virginia]").next().unwrap();
    site.write(only_tokyo, 0o600);
    let url = site.urls[1].replacen("http://", "http://a:hidden@", 1);
    let ran = site.run(&format!("cluster add virginia --url {url}"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("below [virginia] of its clusters file"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("hidden") && !ran.stderr.contains("hidden"), "{ran:?}");
    let listed = site.run("cluster list --json").stdout;
    assert!(listed.contains(&site.urls[1]) && !listed.contains("hidden"), "{listed}");
}
