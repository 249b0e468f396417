//! Whoever hangs up in the middle of a request that changes something ends nothing.

use blitz_couchdb::Client;
use blitz_gateway::{Config, Limits};
use blitz_jobs::cluster::Clusters;
use blitz_tests::stack::ACCOUNTS_KEY;
use blitz_tests::{Cable, Stack, until};
use serde_json::{Value, json};

use super::raw::{Raw, TOKEN, head};
use super::served;

/// Connections that the gateway has places for: none of this story loses its own by accident.
const CONNECTIONS: usize = 8;

/// Tasks of the run that nobody waits for.
const TASKS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_done_and_in_the_audit_though_its_caller_hung_up() {
    let stack = Stack::start(&["japan"]).await;
    let cable = Cable::to(&stack.store_url()).await;
    let config = Config {
        accounts_key: Some(ACCOUNTS_KEY),
        limits: Limits { connections: CONNECTIONS, ..Limits::default() },
        ..Config::new(Clusters::alone(Client::new(cable.url()).unwrap()), TOKEN)
    };
    let (address, api) = served(config, None).await;
    until("a gateway that has read its accounts", async || {
        let (status, _) = api.call("GET", "/v1/tenants", None).await;
        status.is_success().then_some(())
    })
    .await;
    drop(api);
    let mut watch = Raw::open(address).await;
    let before = requests(&mut watch).await;
    // A tenant of this test alone: a store may be shared with other tests.
    let tenant = format!("hung-up-{}", std::process::id());
    let run = json!({"plugin": "fixture", "args": ["noop"], "regions": [stack.region()], "engines": TASKS});
    // Nothing that these ask of the store is answered for now.
    cable.pull();
    let mut begun = Vec::new();
    let (of_run, of_tenant) = (format!("run-{tenant}"), format!("tenant-{tenant}"));
    for (path, id, body) in
        [("/v1/jobs", &of_run, run), ("/v1/tenants", &of_tenant, json!({"name": tenant}))]
    {
        let body = body.to_string();
        let lines = format!("x-request-id: {id}\r\ncontent-length: {}\r\n", body.len());
        let mut raw = Raw::open(address).await;
        raw.say(format!("{}{body}", head("POST", path, &lines)).as_bytes()).await;
        begun.push(raw);
    }
    // Each answer takes a moment: the store is asked for it, too.
    while requests(&mut watch).await < before + begun.len() {}
    drop(watch);
    for raw in &mut begun {
        raw.hang_up().await;
    }
    // What goes on has a place among the connections: of those that rest now there is one too many.
    let mut rest = Vec::new();
    for _ in 0..=CONNECTIONS - begun.len() {
        rest.push(Raw::open(address).await);
    }
    assert_eq!(rest[0].rest().await, "", "it gave its place");
    cable.plug();

    let entry = async |id: &str| -> Value {
        until("an entry of what was begun", async || {
            let answer = stack.api.get("/v1/audit?tenant=-&limit=1000").await;
            let entries = answer["entries"].as_array()?;
            entries.iter().find(|entry| entry["request"] == id).cloned()
        })
        .await
    };
    let submitted = entry(&of_run).await;
    assert_eq!(submitted["deed"]["what"], "submit", "{submitted}");
    let jobs = submitted["deed"]["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), TASKS, "{submitted}");
    for job in jobs {
        stack.api.get(&format!("/v1/jobs/{}", job.as_str().unwrap())).await;
    }
    let made = entry(&of_tenant).await;
    assert_eq!(made["deed"]["status"], 201, "{made}");
}

/// How many requests the gateway has begun that need a token.
async fn requests(watch: &mut Raw) -> usize {
    watch.say(head("GET", "/healthz", "").as_bytes()).await;
    let said = watch.first().await;
    let (_, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{said:?}"));
    let health: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{said:?}: {e}"));
    health["requests"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap()
}
