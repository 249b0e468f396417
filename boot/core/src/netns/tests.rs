//! Real namespaces: each instance has its own, and it goes with the instance. The machine is a shell here; what it does as a
//! machine is in the stories of the whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::instance::InstanceState;
use crate::process::Record;

/// Long enough for a shell to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set to 1 where these tests must run.
const MUST_RUN: &str = "BLITZ_TEST_NETNS";

/// Namespaces of a fleet of their own, which end with the test.
struct Lab {
    namespaces: Namespaces,
    directory: tempfile::TempDir,
}

impl Lab {
    /// `None`, and a word about it, where there can be none.
    fn new(fleet: &str, prefix: Prefix, script: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let word = |text: &str| text.to_owned();
        let machine = ["sh", "-c", "shift 2; exec \"$@\"", "machine"].map(word).to_vec();
        let config = Config {
            directory: directory.path().to_owned(),
            fleet: format!("{fleet}-{}", std::process::id()),
            place: word("here"),
            prefix,
            machine,
            command: ["sh", "-c", script].map(word).to_vec(),
        };
        let made = Namespaces::new(config).map_err(|why| why.to_string()).and_then(|made| {
            let tried = Command::new("unshare").args(["--net", "true"]).status();
            let can = tried.is_ok_and(|tried| tried.success());
            can.then_some(made).ok_or_else(|| "this system lets nobody unshare --net".to_owned())
        });
        match made {
            Ok(namespaces) => Some(Self { namespaces, directory }),
            Err(why) => {
                let must_run = std::env::var(MUST_RUN).is_ok_and(|value| value == "1");
                assert!(!must_run, "{why} ({MUST_RUN}=1 says that it must run)");
                drop(writeln!(io::stderr(), "SKIPPED: {why}"));
                None
            }
        }
    }

    async fn launch(&self, token: &str, count: u32) -> Result<Vec<InstanceId>, ProviderError> {
        let (token, region) = (token.to_owned(), "lyon".to_owned());
        self.namespaces.launch(&LaunchRequest { token, region, count, is_spot: true }).await
    }

    /// Lists until what is seen is as wanted.
    async fn until(&self, what: &str, is_so: impl Fn(&[Instance]) -> bool) {
        let seen = async {
            loop {
                let instances = self.namespaces.list().await.unwrap();
                if is_so(&instances) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("waited for {what}"));
    }

    fn is_there(&self, id: &InstanceId) -> bool {
        Path::new("/run/netns").join(self.namespaces.namespace(id)).exists()
    }

    fn log(&self, id: &InstanceId) -> String {
        fs::read_to_string(self.directory.path().join(format!("{id}.log"))).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let entries = fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().into_string().unwrap_or_default();
            let Some(id) = name.strip_suffix(".json") else { continue };
            let space = self.namespaces.namespace(&InstanceId(id.to_owned()));
            let script = "ip netns pids $0 | xargs -r kill -KILL; ip netns delete $0";
            if Path::new("/run/netns").join(&space).exists() {
                drop(Command::new("sh").args(["-c", script, &space]).status());
            }
        }
    }
}

/// A prefix for one engine that no other run of these tests has.
fn smallest() -> Prefix {
    let [.., third, fourth] = (std::process::id() % (1 << 14) * 4).to_be_bytes();
    format!("10.214.{third}.{fourth}/30").parse().unwrap()
}

#[tokio::test]
async fn each_instance_has_a_namespace_as_long_as_it_is_there() {
    let script = "ip -4 -o address; exec sleep 600";
    let Some(lab) = Lab::new("each", Prefix::DEFAULT, script) else { return };
    let ids = lab.launch("one", 2).await.unwrap();
    assert_eq!(lab.launch("one", 2).await.unwrap(), ids, "the same token launches nothing new");
    lab.until("their addresses", |_| ids.iter().all(|id| lab.log(id).matches("inet").count() == 3))
        .await;
    let own = |id: &InstanceId| {
        let log = lab.log(id);
        assert!(log.contains("inet 169.254.169.254/32"), "{log}");
        log.split_whitespace().find(|word| word.starts_with("10.213.0.")).unwrap().to_owned()
    };
    let addresses: Vec<String> = ids.iter().map(own).collect();
    assert_ne!(addresses[0], addresses[1]);
    assert!(!addresses.contains(&"10.213.0.1/32".to_owned()), "{addresses:?}");
    assert!(ids.iter().all(|id| id.0.starts_with("netns-") && lab.namespaces.names(&id.0)));
    assert!(!lab.namespaces.names("i-0123456789abcdef0"));

    // What ends is cleared up, and nothing else.
    lab.namespaces.terminate(&ids[0]).await.unwrap();
    lab.until("its end", |list| {
        list.iter().any(|one| one.id == ids[0] && one.state == InstanceState::Gone)
    })
    .await;
    assert!(!lab.is_there(&ids[0]) && lab.is_there(&ids[1]));

    // Notice of the end is kept until its time, and is the end then.
    let now = blitz_jobs::clock::now_ms();
    lab.namespaces.interrupt(&ids[1], now + 3_600_000).unwrap();
    let state = async || lab.namespaces.list().await.unwrap().into_iter().map(|one| one.state);
    assert!(state().await.any(|state| state == InstanceState::Running));
    lab.namespaces.interrupt(&ids[1], now).unwrap();
    lab.until("the end of what was taken back", |list| {
        list.iter().all(|one| one.state == InstanceState::Gone)
    })
    .await;
    assert!(!lab.is_there(&ids[1]));
    let nobody = InstanceId("netns-nobody".to_owned());
    assert!(lab.namespaces.interrupt(&nobody, now).is_err());
}

#[tokio::test]
async fn a_prefix_that_is_used_up_is_said_and_leaves_nothing() {
    let Some(lab) = Lab::new("small", smallest(), "exec sleep 600") else { return };
    let ids = lab.launch("two", 2).await.unwrap();
    assert_eq!(ids.len(), 1, "as many as there are addresses");
    let refused = lab.launch("more", 1).await.unwrap_err();
    assert!(matches!(refused, ProviderError::Quota(_)), "{refused:?}");
    let said = refused.to_string();
    assert!(said.contains(&smallest().to_string()) && said.contains("--prefix"), "{said}");
    assert_eq!(lab.namespaces.list().await.unwrap().len(), 1);
    assert_eq!(fs::read_dir(lab.directory.path()).unwrap().count(), 3, "record, stat and log");
}

#[tokio::test]
async fn what_a_killed_launch_left_behind_is_removed() {
    let Some(lab) = Lab::new("left", Prefix::DEFAULT, "exec sleep 600") else { return };
    let (left, empty) = (InstanceId("netns-1eff".to_owned()), InstanceId("netns-e0".to_owned()));
    for id in [&left, &empty] {
        let (tags, is_spot) = (BTreeMap::new(), false);
        let record =
            Record { launched_ms: 1, is_spot, tags, interruption_ms: None, stopping_ms: None };
        record.write(&lab.directory.path().join(format!("{id}.json"))).unwrap();
    }
    lab.namespaces.spaces.make(&left).await.unwrap();
    let name = lab.namespaces.namespace(&left);
    let script = "echo inside; exec sleep 600";
    let mut engine = Command::new("ip")
        .args(["netns", "exec", &name, "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    io::BufReader::new(engine.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "inside\n");

    assert_eq!(lab.namespaces.list().await.unwrap(), [], "they ended long ago");
    assert!(!lab.is_there(&left));
    assert_eq!(engine.wait().unwrap().signal(), Some(9), "what ran in it");
    assert_eq!(fs::read_dir(lab.directory.path()).unwrap().count(), 0, "nor are their records");
}
