//! What steps write, and what no value can make of it.

use blitz_contract::load::work::Pinned;
use blitz_contract::load::{Origin, Plan};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Kept, Script};

fn plan(steps: &Value) -> Plan {
    let shape = json!({"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 1000}]}});
    Plan::from_json(&json!({"steps": steps, "shape": shape, "seed": 7}).to_string()).unwrap()
}

fn compile(plan: &Plan) -> Script {
    let targets: Vec<Pinned> = plan
        .origins()
        .into_iter()
        .map(|origin: Origin| Pinned { origin, addresses: Vec::new() })
        .collect();
    Script::new(plan, &targets).unwrap()
}

fn text(script: &Script, step: usize, number: u64, kept: Option<&Kept>) -> String {
    let mut scratch = b"before".to_vec();
    let bytes = script.request(step, number, kept, &mut scratch).to_vec();
    assert!(scratch.starts_with(b"before"));
    String::from_utf8(bytes).unwrap()
}

fn step(url: &str) -> Value {
    json!({"method": "GET", "url": url, "timeout_ms": 1000})
}

#[test]
fn without_holes_it_is_one_slice() {
    let mut plan = plan(&json!([
        step("http://x:8080/a?b=1#part"),
        {"method": "POST", "url": "https://[::1]/#{none}", "timeout_ms": 20, "status": 201, "body": {"text": "a#{none}\r\n"},
         "headers": [["Host", "other"], ["User-Agent", "me"], ["x", "#{none}"]]},
        {"method": "PUT", "url": "http://x:8080", "timeout_ms": 30, "body": {"base64": "AAEC"}},
        {"method": "PATCH", "url": "http://x:8080", "timeout_ms": 30},
        {"method": "HEAD", "url": "http://x:8080", "timeout_ms": 30},
    ]));
    plan.keep_alive = true;
    let script = compile(&plan);
    let agent = concat!("user-agent: blitz-rush/", env!("CARGO_PKG_VERSION"), "\r\n");
    assert_eq!(
        text(&script, 0, 0, None),
        format!("GET /a?b=1 HTTP/1.1\r\nhost: x:8080\r\n{agent}\r\n")
    );
    assert_eq!(
        text(&script, 1, 0, None),
        "POST /#{none} HTTP/1.1\r\nHost: other\r\nUser-Agent: me\r\nx: #{none}\r\ncontent-length: 10\r\n\r\na#{none}\r\n"
    );
    assert!(text(&script, 2, 0, None).ends_with("\r\ncontent-length: 3\r\n\r\n\0\u{1}\u{2}"));
    assert!(text(&script, 3, 0, None).ends_with("\r\ncontent-length: 0\r\n\r\n"));
    let mut scratch = Vec::new();
    assert!(!script.request(0, 9, None, &mut scratch).is_empty() && scratch.is_empty());
    assert_eq!(script.min_timeout_ns(), 20_000_000);
    let facts: Vec<_> =
        script.steps.iter().map(|s| (s.origin, s.expected, s.is_head, s.is_idempotent)).collect();
    assert_eq!(
        facts,
        [
            (0, None, false, true),
            (1, Some(201), false, false),
            (0, None, false, true),
            (0, None, false, false),
            (0, None, true, true)
        ]
    );
    plan.keep_alive = false;
    assert!(text(&compile(&plan), 0, 0, None).ends_with("connection: close\r\n\r\n"));
}

#[test]
fn holes_are_filled_by_the_number_of_the_transaction() {
    let variables = json!([
        {"name": "w", "values": {"alpha": {"min": 3, "max": 5, "count": 40}}},
        {"name": "n", "values": {"number": {"min": -2, "max": 2, "count": 5}}},
        {"name": "l", "values": {"list": ["a b", "c\r\nx: y", "\u{e9}/"]}},
        {"name": "u", "values": "udid"},
    ]);
    let script = compile(&plan(&json!([
        {"method": "POST", "url": "http://x/#{n}?l=#{l}", "timeout_ms": 9, "variables": variables,
         "headers": [["a", "<#{l}>"], ["u", "#{u}"]], "body": {"text": "#{w}|#{l}|#{u}"}},
        {"method": "GET", "url": "http://x/#{w}", "timeout_ms": 9},
        {"method": "GET", "url": "http://x/#{w}", "timeout_ms": 9, "variables": [{"name": "w", "values": {"list": ["new"]}}]},
    ])));
    let (mut words, mut numbers, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..400 {
        let request = text(&script, 0, number, None);
        assert_eq!(request, text(&script, 0, number, None), "the same again");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let lines: Vec<&str> = head.split("\r\n").collect();
        let [line, host, a, u, agent, length] = lines[..] else { panic!("{head:?}") };
        assert!(host == "host: x" && agent.starts_with("user-agent: "), "{head}");
        assert_eq!(length, format!("content-length: {}", body.len()));
        let mut parts = body.splitn(3, '|');
        let (word, drawn, id) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let (escaped, cleaned) = match drawn {
            "a b" => ("a%20b", "a b"),
            "c\r\nx: y" => ("c%0D%0Ax:%20y", "c  x: y"),
            "\u{e9}/" => ("%C3%A9/", "\u{e9}/"),
            other => panic!("{other:?}"),
        };
        let path = line.strip_prefix("POST /").unwrap().strip_suffix(" HTTP/1.1").unwrap();
        let (n, l) = path.split_once("?l=").unwrap();
        assert_eq!((l, a), (escaped, format!("a: <{cleaned}>").as_str()));
        assert_eq!(u.strip_prefix("u: ").unwrap(), id, "one value in all of a transaction");
        assert!((3..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert!(text(&script, 1, number, None).starts_with(&format!("GET /{word} ")));
        assert!(text(&script, 2, number, None).starts_with("GET /new "));
        let shape: Vec<usize> = id.split('-').map(str::len).collect();
        assert!(shape == [8, 4, 4, 4, 12] && id.as_bytes()[14] == b'4', "{id}");
        words.push(word.to_owned());
        numbers.push(n.parse::<i64>().unwrap());
        ids.push(id.to_owned());
    }
    words.sort();
    words.dedup();
    assert!((30..=40).contains(&words.len()), "{} words", words.len());
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, [-2, -1, 0, 1, 2], "all that are possible");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 400);
}

#[test]
fn cookies_become_variables() {
    let script = compile(&plan(&json!([
        {"method": "GET", "url": "http://x/", "timeout_ms": 9, "extract": ["sid", "b.c"]},
        {"method": "GET", "url": "http://x/#{sid}", "timeout_ms": 9, "headers": [["cookie", "sid=#{sid}; b.c=#{b.c}"]]},
    ])));
    let header = |value| httparse::Header { name: "Set-Cookie", value };
    let mut kept = None;
    assert!(!script.extract(0, &[header(b"other=1"), header(b"sid=1 2; Path=/")], &mut kept));
    let other = httparse::Header { name: "x-cookie", value: b"sid=7" };
    assert!(script.extract(0, &[header(b" sid = 3=4 ;x"), header(b"b.c=\"5\""), other], &mut kept));
    let request = text(&script, 1, 0, kept.as_deref());
    assert!(
        request.starts_with("GET /3=4 ") && request.contains("\r\ncookie: sid=3=4; b.c=\"5\"\r\n"),
        "{request}"
    );
    assert!(text(&script, 1, 0, None).contains("\r\ncookie: sid=; b.c=\r\n"));
    let long = [b"sid=".to_vec(), vec![b'a'; 5000]].concat();
    assert!(!script.extract(0, &[header(&long), header(b"b.c=1")], &mut None));
    assert!(!script.extract(0, &[header(b"sid"), header(b"")], &mut None));
    assert!(script.extract(1, &[], &mut None), "it wants none");
}

#[test]
fn messages_of_http2() {
    let mut plan = plan(&json!([
        {"method": "POST", "url": "https://x:8443/a?#{none}<", "timeout_ms": 9, "body": {"text": "ab"},
         "headers": [["Host", "other"], ["Keep-Alive", "1"], ["X-A", "1"], ["x-a", "2"]]},
        {"method": "GET", "url": "http://x/#{l}", "timeout_ms": 9, "headers": [["l", "#{l}"]],
         "variables": [{"name": "l", "values": {"list": ["\u{e9} \n"]}}]},
    ]));
    plan.version = blitz_contract::load::HttpVersion::Http2;
    let script = compile(&plan);
    let (request, body) = script.message(0, 0, None).unwrap();
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "https://other/a?%23{none}%3C");
    assert_eq!(&body[..], b"ab");
    let headers: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    let agent = concat!("blitz-rush/", env!("CARGO_PKG_VERSION")).as_bytes();
    assert_eq!(
        headers,
        [("x-a", &b"1"[..]), ("x-a", b"2"), ("user-agent", agent), ("content-length", b"2")]
    );
    let (request, body) = script.message(1, 0, None).unwrap();
    assert_eq!(request.uri(), "http://x/%C3%A9%20%0A");
    assert_eq!(request.headers()["l"].as_bytes(), "\u{e9}  ".as_bytes());
    assert!(body.is_empty() && !request.headers().contains_key("content-length"));
    assert!(script.request(0, 0, None, &mut Vec::new()).is_empty());
}

#[test]
fn what_cannot_be_sent_is_said() {
    let control = plan(
        &json!([{"method": "GET", "url": "http://x/", "timeout_ms": 9, "headers": [["a", "b\u{1}"]]}]),
    );
    let base64 = plan(
        &json!([{"method": "GET", "url": "http://x/", "timeout_ms": 9, "body": {"base64": "*"}}]),
    );
    let targets =
        [Pinned { origin: Origin::of_url("http://x/").unwrap().0, addresses: Vec::new() }];
    for (plan, wanted) in [(&control, "steps[0]: header \"a\""), (&base64, "steps[0]: body: ")] {
        let said = Script::new(plan, &targets).unwrap_err();
        assert!(said.starts_with(wanted), "{said}");
    }
    let said = Script::new(&plan(&json!([step("http://y/")])), &targets).unwrap_err();
    assert_eq!(said, "steps[0]: http://y is not among the targets");
}

proptest! {
    #[test]
    fn no_value_breaks_the_head(value in any::<String>(), number in any::<u64>()) {
        let script = compile(&plan(&json!([
            {"method": "GET", "url": "http://x/a?#{v}", "timeout_ms": 9, "headers": [["a", "#{v}"]], "body": {"text": "#{v}"},
             "variables": [{"name": "v", "values": {"list": [value]}}]},
        ])));
        let request = text(&script, 0, number, None);
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut parsed = httparse::Request::new(&mut headers);
        let end = parsed.parse(request.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(parsed.headers.len(), 4);
        prop_assert_eq!(&request[end..], &value);
        let length = value.len().to_string();
        prop_assert_eq!(parsed.headers[3].value, length.as_bytes());
    }

    #[test]
    fn numbers_are_within_their_bounds(min in any::<i64>(), max in any::<i64>(), count in 1..1000_u32, number in any::<u64>()) {
        prop_assume!(min <= max);
        let script = compile(&plan(&json!([
            {"method": "GET", "url": "http://x/#{v}", "timeout_ms": 9,
             "variables": [{"name": "v", "values": {"number": {"min": min, "max": max, "count": count}}}]},
        ])));
        let request = text(&script, 0, number, None);
        let found: i64 = request.strip_prefix("GET /").unwrap().split(' ').next().unwrap().parse().unwrap();
        prop_assert!((min..=max).contains(&found));
    }
}

#[test]
fn a_short_plan_does_not_become_a_long_request() {
    let list = json!([{"name": "w", "values": {"list": ["x", "y".repeat(100_000)]}}]);
    for (version, change, what) in [
        ("http1", json!({"body": {"text": "#{w}".repeat(10)}}), None),
        ("http1", json!({"body": {"text": "#{w}".repeat(11)}}), Some("the body has 1100000 bytes")),
        ("http2", json!({"body": {"text": "#{w}".repeat(11)}}), Some("the body has 1100000 bytes")),
        ("http1", json!({"headers": [["a", "#{w}".repeat(11)]]}), Some("the head has 11000")),
        ("http2", json!({"headers": [["a", "#{w}".repeat(11)]]}), Some("the head has 11000")),
        ("http1", json!({"url": "http://x/#{w}#{w}#{w}#{w}"}), Some("the head has 12000")),
        ("http1", json!({"headers": [["a", "z".repeat(1 << 20)]]}), Some("the head has 10486")),
    ] {
        let mut one =
            json!({"method": "PUT", "url": "http://x/", "timeout_ms": 1, "variables": list});
        for (key, value) in change.as_object().unwrap() {
            one[key] = value.clone();
        }
        let mut plan = plan(&json!([one]));
        plan.version = serde_json::from_value(json!(version)).unwrap();
        let origin = plan.origins().remove(0);
        let made = Script::new(&plan, &[Pinned { origin, addresses: Vec::new() }]);
        match (made, what) {
            (Ok(_), None) => {}
            (Err(text), Some(what)) => assert!(text.contains(what), "{text}"),
            (made, _) => panic!("{version} {what:?}: {}", made.is_ok()),
        }
    }
}
