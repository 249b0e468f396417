//! Our own servers under load: the embedded store and the gateway, as anybody would load them.

use tempfile::TempDir;

use super::cpu;
use super::site::Site;
use crate::sample::say;
use crate::store::server::Served;
use crate::store::wire::Wire;

const USERS: &str = "32-32:5";

pub(crate) async fn measure() {
    let site = Site::start(&[]).await;
    say(
        "our own servers, 32 users for 5 s: requests a second, response time in ms, CPU time of the server a request",
    );
    let directory = TempDir::new().expect("a directory");
    let store = Served::start(directory.path()).await;
    let mut wire = Wire::connect(&store.address, "").await;
    wire.ask("PUT", "/load", "").await;
    wire.ask("PUT", "/load/one", r#"{"a":1}"#).await;
    let at = |path: &str| format!("http://{}{path}", store.address);
    let pid = store.pid().expect("a process that runs");
    one(&site, pid, "store: GET of a document", &[&at("/load/one")]).await;
    let json = ["-H", "content-type: application/json", "-v:n", "udid"];
    let fresh = at("/load/d#{n}");
    let put = [&json[..], &["-X", "PUT", "-d", "{}", "-s", "201", &fresh]].concat();
    one(&site, pid, "store: PUT of a new document", &put).await;
    let (url, token) = site.gateway();
    let bearer = format!("authorization: Bearer {token}");
    let gateway = format!("{url}/v1/regions");
    one(
        &site,
        site.pid(),
        "gateway: GET /v1/regions (engine and worker in it)",
        &["-H", &bearer, &gateway],
    )
    .await;
    store.stop().await;
    site.stop().await;
}

async fn one(site: &Site, server: u32, name: &str, words: &[&str]) {
    let before = cpu::of(server);
    match site.rush(&[&["-p", USERS], words].concat()).await {
        Ok(report) => {
            let tally = &report.total.tally;
            let answers = tally.hits;
            let used =
                cpu::of(server).saturating_sub(before).as_secs_f64() * 1e6 / answers.max(1) as f64;
            let (errors, rate) = (tally.errors.total, answers / 5);
            say(&format!("  {name:<52} {rate:>8}/s  {used:>7.1} us  {errors} errors"));
        }
        Err(text) => say(&format!("  {name}: failed: {text}")),
    }
}
