//! The views, on the real functions of the store.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blitz_contract::load::{ClassTick, Distribution, ErrorKind, StepTick, TICK_EVENT, Tick};
use blitz_contract::{Frame, Stream};
use blitz_jobs::design;
use blitz_jobs::id::Position;
use blitz_jobs::output::{Chunk, StoredFrame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const OUTPUT: &str = "blitz-out-japan-1";

/// The rows of a view, by key.
async fn rows(world: &World, view: &str) -> BTreeMap<String, Value> {
    asked(world, &format!("{OUTPUT}/{}/_view/{view}?group=true", design::OUTPUT_DESIGN)).await
}

async fn asked(world: &World, path: &str) -> BTreeMap<String, Value> {
    let (user, address) =
        world.url.trim_start_matches("http://").trim_end_matches('/').split_once('@').unwrap();
    let asked = format!(
        "GET /{path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\nAuthorization: Basic {}\r\n\r\n",
        STANDARD.encode(user)
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    // The body may come in chunks.
    let json = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    let rows: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {answer}"));
    let rows = rows["rows"].as_array().unwrap_or_else(|| panic!("{answer}"));
    rows.iter()
        .map(|row| {
            assert!(row.get("error").is_none(), "{row}");
            (row["key"].to_string(), row["value"].clone())
        })
        .collect()
}

fn event(kind: &str, text: &str) -> StoredFrame {
    let stream = Stream::Event(kind.to_owned());
    StoredFrame::new(Frame { stream, bytes: text.as_bytes().to_vec() })
}

fn tick(tick: &Tick) -> StoredFrame {
    event(TICK_EVENT, &serde_json::to_string(tick).unwrap())
}

fn class(class: u8, statuses: &[(u16, u64)], service: &[(u64, u64)]) -> ClassTick {
    ClassTick {
        class,
        statuses: statuses.iter().copied().collect(),
        service_us: Distribution::of(service.iter().copied()),
        response_us: Distribution::default(),
    }
}

fn step(
    classes: Vec<ClassTick>,
    errors: &[(ErrorKind, u64)],
    (sent, received): (u64, u64),
) -> StepTick {
    StepTick {
        step: 0,
        classes,
        errors: errors.iter().copied().collect(),
        sent_bytes: sent,
        received_bytes: received,
        ..StepTick::default()
    }
}

async fn write(world: &World, job: &JobId, seq: u64, frames: Vec<StoredFrame>) {
    let incarnation = Incarnation::from_random([1; 16]);
    let id = DocumentId::Output(job.clone(), Position { attempt: 1, incarnation, seq });
    let output = world.client.database(OUTPUT);
    let put = output.put(&id.to_string(), None, &Chunk::new(frames), PutOptions::default()).await;
    assert!(matches!(put, Ok(Put::Created(_))), "{put:?}");
}

async fn installed(world: &World) {
    let output = world.client.database(OUTPUT);
    output.drop().await.unwrap();
    output.create().await.unwrap();
    // Twice: a start over an existing store changes nothing.
    for regions in [&["japan"][..], &[]] {
        blitz_jobs::setup::install(&world.client, regions).await.unwrap();
    }
    let stands = output.get::<Value>(design::OUTPUT_DESIGN).await.unwrap().expect("the design");
    assert_eq!(stands.revision.generation(), 1);
    assert_eq!(stands.body, design::output());
}

#[tokio::test]
async fn an_existing_store_gets_the_views_at_the_next_start() {
    let world = World::new().await;
    blitz_jobs::setup::install(&world.client, &["japan"]).await.unwrap();
    let output = world.client.database(OUTPUT);
    output.drop().await.unwrap();
    output.create().await.unwrap();
    // A gateway that is given no region.
    blitz_jobs::setup::install(&world.client, &[]).await.unwrap();
    assert!(output.get::<Value>(design::OUTPUT_DESIGN).await.unwrap().is_some());
}

#[tokio::test]
async fn the_views_sum_the_ticks_of_all_chunks_by_second_and_bucket() {
    let world = World::new().await;
    installed(&world).await;
    let [one, two] = [(); 2].map(|()| JobId::new("japan", 1));
    let second = |second, steps| Tick { second, steps, ..Tick::default() };
    let ok = class(2, &[(200, 5), (204, 1)], &[(3, 1), (8, 2), (9, 1), (123_457, 2)]);
    let open = ClassTick {
        response_us: Distribution::of([(1_000_000, 2)]),
        ..class(5, &[(503, 2)], &[(7, 2)])
    };
    let errors = [(ErrorKind::Assert, 2), (ErrorKind::Timeout, 3), (ErrorKind::Connect, 1)];
    let whole =
        second(0, vec![step(vec![ok.clone()], &[], (60, 600)), step(vec![open], &errors, (20, 5))]);
    write(&world, &one, 0, vec![event("load-open", "{}"), tick(&whole)]).await;
    // More of the same second, and the next one.
    let more = second(0, vec![step(vec![class(2, &[(200, 1)], &[(9, 1)])], &[], (10, 100))]);
    let next = second(1, vec![step(vec![ok.clone()], &[], (1, 2))]);
    let warm = Tick { is_warm_up: true, ..second(1, vec![step(vec![ok.clone()], &[], (9, 9))]) };
    write(&world, &one, 1, vec![tick(&more), tick(&next), tick(&warm)]).await;
    write(&world, &two, 0, vec![tick(&second(1, vec![step(vec![ok], &[], (1, 2))]))]).await;
    // What others print, and what is no tick.
    let mut odd: Vec<StoredFrame> =
        ["{", "null", "7", "[]", "{\"steps\":7}", "{\"steps\":[null,{\"classes\":[7]}]}"]
            .iter()
            .map(|text| event(TICK_EVENT, text))
            .collect();
    odd.push(event("hop", "{\"steps\":[]}"));
    odd.push(StoredFrame {
        stream: "event:load-tick".to_owned(),
        text: None,
        base64: Some("/w==".to_owned()),
    });
    let stranger = JobId::new("japan", 1);
    write(&world, &stranger, 0, odd).await;

    let hits = rows(&world, "hits").await;
    let at = |job: &JobId, second: u32| format!("[\"{job}\",{second}]");
    assert_eq!(hits[&at(&one, 0)], json!([9, 3, 3, 90, 705]));
    assert_eq!(hits[&at(&one, 1)], json!([6, 0, 0, 1, 2]));
    assert_eq!(hits[&at(&two, 1)], json!([6, 0, 0, 1, 2]));
    assert!(
        hits.iter().all(
            |(key, value)| !key.contains(stranger.as_str()) || *value == json!([0, 0, 0, 0, 0])
        )
    );

    let latency = rows(&world, "latency").await;
    let of = |job: &JobId, second: u32| -> Vec<(u64, u64)> {
        let place = format!("[\"{job}\",{second},");
        let mut found: Vec<(u64, u64)> = latency
            .iter()
            .filter_map(|(key, count)| {
                let bucket = key.strip_prefix(&place)?.trim_end_matches(']').parse().ok()?;
                Some((bucket, count.as_u64()?))
            })
            .collect();
        found.sort_unstable();
        found
    };
    // 123,457 us stand at 114,688, and a second that was waited for at 917,504.
    assert_eq!(of(&one, 0), [(3, 1), (8, 4), (114_688, 2), (917_504, 2)]);
    assert_eq!(of(&one, 1), [(3, 1), (8, 3), (114_688, 2)]);
    assert_eq!(of(&stranger, 0), []);
}

#[tokio::test]
async fn waiting_jobs_are_counted_until_an_engine_has_them() {
    let world = World::new().await;
    design::install(&world.jobs).await.unwrap();
    let view = |name: &str, how: &str| {
        format!("{}/{}/_view/{name}?{how}", world.jobs.name(), design::JOBS_DESIGN)
    };
    let waiting = async || asked(&world, &view("waiting", "group=true")).await;
    assert_eq!(waiting().await, BTreeMap::new());
    let jobs = [(); 4].map(|()| JobId::new("japan", 1));
    // 2026-11-21T23:59:59.999Z, and the millisecond after it.
    let times = [1_795_305_599_999_u64, 1_795_305_600_000, 1_795_305_600_000, 1_795_305_600_000];
    for (job, created_at_ms) in jobs.iter().zip(times) {
        let mut spec = json!({"kind": "spec", "job": job, "created_at_ms": created_at_ms});
        if job == &jobs[3] {
            spec["tenant"] = json!("acme");
        }
        world.put(&DocumentId::Spec(job.clone()), None, &spec).await;
    }
    let elsewhere = JobId::new("us-west-1", 1);
    let spec = json!({"kind": "spec", "job": elsewhere, "created_at_ms": -1});
    world.put(&DocumentId::Spec(elsewhere), None, &spec).await;
    let counts = |japan: i64| {
        let counts = [("\"japan\"", japan), ("\"us-west-1\"", 1)];
        counts.map(|(region, count)| (region.to_owned(), json!(count)))
    };
    assert_eq!(waiting().await, BTreeMap::from(counts(4)));

    let claim = Claim::first(1, "e", Incarnation::from_random([2; 16]));
    let run = |run: Run| serde_json::to_value(RunDocument::new(run)).unwrap();
    let id = DocumentId::Run(jobs[0].clone());
    let claimed = world.put(&id, None, &run(Run::Claimed { claim: claim.clone() })).await;
    let expired = run(Run::Expired { reason: "nobody".to_owned() });
    world.put(&DocumentId::Run(jobs[1].clone()), None, &expired).await;
    assert_eq!(waiting().await, BTreeMap::from(counts(2)));
    let open = run(Run::Open { last: claim, reason: "drained".to_owned() });
    world.put(&id, Some(&claimed), &open).await;
    assert_eq!(waiting().await, BTreeMap::from(counts(3)), "it waits again");

    let by_hour = asked(&world, &view("jobs", "group=true")).await;
    let by_hour: Vec<_> = by_hour.iter().map(|(key, count)| (&**key, count.as_u64())).collect();
    assert_eq!(
        by_hour,
        [
            ("[\"-\",\"2026-11-21\",23]", Some(1)),
            ("[\"-\",\"2026-11-22\",0]", Some(2)),
            ("[\"acme\",\"2026-11-22\",0]", Some(1))
        ]
    );
    let by_tenant = asked(&world, &view("jobs", "group_level=1")).await;
    assert_eq!(by_tenant["[\"-\"]"], 3);
}

#[tokio::test]
async fn engines_are_listed_as_they_last_said() {
    let world = World::new().await;
    blitz_jobs::setup::install(&world.client, &["japan"]).await.unwrap();
    let engines = world.client.database("blitz-engines-japan");
    engines.drop().await.unwrap();
    engines.create().await.unwrap();
    // An existing store gets the views at the next start.
    blitz_jobs::setup::install(&world.client, &[]).await.unwrap();
    let engine = json!({
        "kind": "engine", "blitz": "0.1.0", "engine": "e1", "incarnation": "x", "region": "japan",
        "slots": 4, "plugins": [], "counter": 7,
    });
    for (id, document) in [
        ("engine:e1", engine),
        ("engine:e2", json!({"kind": "engine", "engine": "e2", "counter": "many", "gone": true})),
        ("engine:e3", json!({"kind": "other", "engine": "e3"})),
        ("engine:e4", json!({"kind": "engine", "engine": 4})),
    ] {
        let put = engines.put(id, None, &document, PutOptions::default()).await;
        assert!(matches!(put, Ok(Put::Created(_))), "{put:?}");
    }
    let path = format!("{}/{}/_view/alive", engines.name(), design::ENGINES_DESIGN);
    assert_eq!(
        asked(&world, &path).await,
        BTreeMap::from([
            ("\"e1\"".to_owned(), json!([7, 4, "0.1.0", false])),
            ("\"e2\"".to_owned(), json!([0, 0, "", true])),
        ])
    );
}

#[tokio::test]
async fn a_tick_with_every_bucket_there_is_loses_nothing() {
    let world = World::new().await;
    installed(&world).await;
    let job = JobId::new("japan", 1);
    // Each bucket of a tick once or more.
    let mut values: Vec<u64> = (0..2048).collect();
    values.extend((0..21).flat_map(|shift| (1024..2048_u64).step_by(7).map(move |v| v << shift)));
    let all = Distribution::of(values.iter().map(|value| (*value, 1 + value % 3)));
    let class = ClassTick { class: 2, service_us: all.clone(), ..ClassTick::default() };
    let steps = vec![step(vec![class], &[], (0, 0))];
    write(&world, &job, 0, vec![tick(&Tick { second: 7, steps, ..Tick::default() })]).await;
    let latency = rows(&world, "latency").await;
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    for (value, count) in all.counts() {
        let shift = value.checked_ilog2().unwrap_or(0).saturating_sub(2);
        *wanted.entry(value >> shift << shift).or_default() += count;
    }
    assert!(wanted.len() < 130, "{}", wanted.len());
    let wanted: BTreeMap<String, Value> = wanted
        .into_iter()
        .map(|(bucket, count)| (format!("[\"{job}\",7,{bucket}]"), json!(count)))
        .collect();
    assert_eq!(latency, wanted);
}
