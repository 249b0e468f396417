//! Real processes: they are there, end, and are not taken for others.

use super::*;

/// Long enough for a shell to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn processes(directory: &Path, command: &[&str]) -> Processes {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    Processes::new(directory.to_owned(), "test".to_owned(), command)
}

fn request(token: &str, count: u32) -> LaunchRequest {
    let region = "lyon".to_owned();
    LaunchRequest { token: token.to_owned(), region, count, is_spot: false }
}

/// Lists until what is seen is as wanted.
async fn until(processes: &Processes, wanted: &[InstanceState]) -> Vec<Instance> {
    let seen = async {
        loop {
            let instances = processes.list().await.unwrap();
            if instances.iter().map(|instance| instance.state).collect::<Vec<_>>() == wanted {
                return instances;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the states that are wanted")
}

#[tokio::test]
async fn a_process_is_launched_once_tagged_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let processes = processes(directory.path(), &["sleep", "600"]);
    let ids = processes.launch(&request("one", 2)).await.unwrap();
    let again = processes.launch(&request("one", 2)).await.unwrap();
    assert_eq!(ids, again, "the same token launches nothing new");

    let instances = until(&processes, &[InstanceState::Running; 2]).await;
    assert_eq!(instances[0].tag(TAG_FLEET), Some("test"));
    assert_eq!(instances[0].tag(TAG_REGION), Some("lyon"));
    assert_eq!(instances[0].tag(TAG_LAUNCH), Some("one"));

    processes.tag(&ids[0], "colour", Some("red")).await.unwrap();
    let red = |list: &[Instance]| {
        list.iter().find(|one| one.id == ids[0]).unwrap().tag("colour").map(str::to_owned)
    };
    assert_eq!(red(&processes.list().await.unwrap()).as_deref(), Some("red"));
    processes.tag(&ids[0], "colour", None).await.unwrap();
    assert_eq!(red(&processes.list().await.unwrap()), None);

    // Who starts later finds them.
    let another = processes.clone();
    for id in &ids {
        another.terminate(id).await.unwrap();
    }
    until(&another, &[InstanceState::Gone; 2]).await;
    another.terminate(&ids[0]).await.unwrap();
    another.terminate(&InstanceId("p-nobody".to_owned())).await.unwrap();
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_gone_and_its_words_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let processes = processes(directory.path(), &["sh", "-c", "echo {id} for {region}"]);
    let ids = processes.launch(&request("short", 1)).await.unwrap();
    until(&processes, &[InstanceState::Gone]).await;
    let log = fs::read_to_string(processes.file(&ids[0], "log")).unwrap();
    assert_eq!(log, format!("{} for lyon\n", ids[0]));
}

#[tokio::test]
async fn another_process_with_the_same_number_is_not_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let processes = processes(directory.path(), &["sleep", "600"]);
    let ids = processes.launch(&request("reused", 1)).await.unwrap();
    until(&processes, &[InstanceState::Running]).await;
    processes.terminate(&ids[0]).await.unwrap();
    until(&processes, &[InstanceState::Gone]).await;
    // Its number is ours now, as far as the file says.
    let own = fs::read_to_string("/proc/self/stat").unwrap();
    let (before, after) = own.rsplit_once(") ").unwrap();
    let mut fields: Vec<String> = after.split(' ').map(str::to_owned).collect();
    fields[19] = "1".to_owned();
    fs::write(processes.file(&ids[0], "stat"), format!("{before}) {}", fields.join(" "))).unwrap();
    processes.signal(&ids[0], Signal::KILL).unwrap();
    assert_eq!(processes.list().await.unwrap()[0].state, InstanceState::Gone);
}

#[tokio::test]
async fn too_many_at_once_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let processes = processes(directory.path(), &["sleep", "600"]);
    let refused = processes.launch(&request("many", LAUNCH_MAX + 1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "launch 101 processes at once: 100 are the most");
    assert_eq!(processes.list().await.unwrap(), []);
}
