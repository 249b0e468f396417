//! What plugins write and read as JSON stays readable: they were built once, and go on to run.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// What stands in JSON is read, and is written as it stands there.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + Debug>(json: &Value) {
    let read: T = serde_json::from_value(json.clone())
        .unwrap_or_else(|e| panic!("plugins of this contract say this, and it is not read: {e}"));
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(&written, json, "plugins of this contract read what is written here");
}

fn plan() -> Value {
    json!({
        "steps": [{
            "method": "POST", "url": "https://shop.example/cart?id=#{id}",
            "headers": [["x-name", "#{name}"]], "body": {"text": "n=#{n}"}, "status": 201,
            "timeout_ms": 1000, "extract": ["session"],
            "variables": [
                {"name": "id", "values": "udid"},
                {"name": "name", "values": {"list": ["a", "b"]}},
                {"name": "word", "values": {"alpha": {"min": 1, "max": 8, "count": 100}}},
                {"name": "n", "values": {"number": {"min": -1, "max": 9, "count": 5}}},
            ],
        }, {
            "method": "PUT", "url": "http://shop.example/", "headers": [],
            "body": {"base64": "AAEC"}, "timeout_ms": 1, "extract": [], "variables": [],
        }],
        "shape": {"rate": {"segments": [{"from": 1.0, "to": 9.5, "duration_ms": 1000}], "poisson": true}},
        "requests": 1000, "think_ms": 5, "warm_up_ms": 100, "connections": 64, "keep_alive": false,
        "version": "http2", "streams": 10, "verify": false, "resume": false, "seed": 7,
    })
}

#[test]
fn a_plan_stays_what_it_is() {
    check::<Plan>(&plan());
    let mut users = plan();
    users["shape"] = json!({"users": {"segments": [{"from": 1.0, "to": 9.0, "duration_ms": 1}]}});
    users["transactions"] = json!(3);
    check::<Plan>(&users);
    Plan::from_json(&users.to_string()).unwrap();

    let least = json!({
        "steps": [{"method": "GET", "url": "http://shop.example/", "timeout_ms": 1000}],
        "shape": {"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1000}]}},
    });
    let plan = Plan::from_json(&least.to_string()).unwrap();
    assert!(plan.keep_alive && plan.verify && plan.resume, "{plan:?}");
    assert_eq!((plan.version, plan.streams), (HttpVersion::Http1, 1));
}

#[test]
fn what_is_told_stays_what_it_is() {
    check::<Opening>(&json!({
        "plan": plan(), "share": {"index": 1, "of": 3}, "workers": 2,
        "started_at_ms": 1_750_000_000_000_u64, "missing": 1,
        "targets": [["https://shop.example", ["192.0.2.1:443"]]],
    }));
    let times = json!([[100, 2], [2048, 1]]);
    check::<Tick>(&json!({
        "second": 4, "users": 3, "connections": 2, "asked": 12, "sent": 11, "backlog": 1,
        "steps": [{
            "step": 0,
            "classes": [{
                "class": 2, "statuses": {"200": 2, "204": 1}, "service_us": times, "response_us": times,
            }],
            "errors": {
                "connect": 1, "tls": 1, "timeout": 1, "closed": 1, "parse": 1, "limit": 1, "assert": 1,
                "extract": 1,
            },
            "repeated": 2, "sent_bytes": 100, "received_bytes": 2000,
        }],
        "lag_us": times, "connect_us": times, "tls_us": times, "cpu_us": 5000, "starved_us": 10,
        "is_warm_up": true,
        "firsts": [{"kind": "timeout", "at_ms": 4100, "users": 3, "text": "no answer within 1 s"}],
        "closing": {"share": {"index": 1, "of": 3}, "verdict": "stopped", "text": "asked to end", "at_us": 4_500_000},
    }));
    let least: Tick = serde_json::from_str(r#"{"second":0}"#).unwrap();
    assert_eq!(least, Tick::default());
    for verdict in ["ended", "stopped", "revoked", "failed"] {
        check::<Verdict>(&json!(verdict));
    }
}
