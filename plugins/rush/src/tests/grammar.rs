//! The words of 2011, and those that came later.

use serde_json::json;

use super::{host, plan, plan_on, refused};

#[test]
fn the_lines_of_2011_are_understood() {
    // A sprint: one transaction of one user.
    let sprint = plan("blitz.io");
    assert_eq!(sprint["steps"][0]["url"], "http://blitz.io");
    assert_eq!(sprint["steps"][0]["method"], "GET");
    assert_eq!(
        (&sprint["transactions"], &sprint["requests"], &sprint["steps"][0]["timeout_ms"]),
        (&json!(1), &json!(null), &json!(10_000))
    );
    let users = json!({"users": {"segments": [{"from": 1.0, "to": 1.0, "duration_ms": 11_000}]}});
    assert_eq!(sprint["shape"], users);

    let rush = plan("-p 1-250:60 blitz.io");
    let users = json!({"users": {"segments": [{"from": 1.0, "to": 250.0, "duration_ms": 60_000}]}});
    assert_eq!((&rush["shape"], &rush["requests"]), (&users, &json!(null)));
    let rush = plan("-p 1-250:60,500-500:10 blitz.io");
    let second = json!({"from": 500.0, "to": 500.0, "duration_ms": 10_000});
    assert_eq!(rush["shape"]["users"]["segments"][1], second);

    let steps = plan("blitz.io docs.blitz.io")["steps"].clone();
    assert_eq!(
        (&steps[0]["url"], &steps[1]["url"]),
        (&json!("http://blitz.io"), &json!("http://docs.blitz.io"))
    );
    for (line, pointer, first, second) in [
        ("-A foo blitz.io -A bar /faq", "/headers/0/1", json!("foo"), json!("bar")),
        (
            "-b foo=bar blitz.io -b hello=world /faq",
            "/headers/0/1",
            json!("foo=bar"),
            json!("hello=world"),
        ),
        (
            "-d foo=bar blitz.io -d hello=world /faq",
            "/body/text",
            json!("foo=bar"),
            json!("hello=world"),
        ),
        ("-e foo blitz.io -e bar /faq", "/headers/0/1", json!("foo"), json!("bar")),
        ("-H a:_b blitz.io -H a:_c /faq", "/headers/0/1", json!("b"), json!("c")),
        ("-s 302 blitz.io -s 200 /faq", "/status", json!(302), json!(200)),
        ("-T 100 blitz.io -T 200 /faq", "/timeout_ms", json!(100), json!(200)),
        ("-X GET blitz.io -X POST /faq", "/method", json!("GET"), json!("POST")),
        (
            "-u foo:bar blitz.io -u hello /faq",
            "/headers/0/1",
            json!("Basic Zm9vOmJhcg=="),
            json!("Basic aGVsbG86"),
        ),
    ] {
        let steps = plan(line)["steps"].clone();
        assert_eq!(steps[0].pointer(pointer), Some(&first), "{line}");
        assert_eq!(steps[1].pointer(pointer), Some(&second), "{line}");
        assert_eq!(steps[1]["url"], "http://blitz.io/faq", "{line}");
    }
    let step = plan("--cookie foo=bar --cookie hello=world blitz.io")["steps"][0].clone();
    assert_eq!(step["headers"], json!([["cookie", "foo=bar; hello=world"]]));
    let step = plan("--data foo=bar --data hello=world blitz.io")["steps"][0].clone();
    assert_eq!(
        (&step["method"], &step["body"]["text"]),
        (&json!("POST"), &json!("foo=bar&hello=world"))
    );
    assert_eq!(step["headers"], json!([["content-type", "application/x-www-form-urlencoded"]]));
}

#[test]
fn a_transaction_has_variables_and_cookies() {
    let line = "-v:id number[1,100,5] -x:c sid http://x/login?u=#{id} \
                --variable:word=[a,b] --xtract:cookie other -H cookie:_#{sid} -d #{word} -T 2s /buy/#{id} /#{other}#{word}";
    let steps = plan(line)["steps"].clone();
    assert_eq!(
        steps[0]["variables"],
        json!([{"name": "id", "values": {"number": {"min": 1, "max": 100, "count": 5}}}])
    );
    assert_eq!(steps[0]["extract"], json!(["sid"]));
    assert_eq!(steps[1]["variables"], json!([{"name": "word", "values": {"list": ["a", "b"]}}]));
    assert_eq!(steps[1]["headers"][0], json!(["cookie", "#{sid}"]));
    assert_eq!(steps[1]["timeout_ms"], 2000);
    assert_eq!(steps[2]["url"], "http://x/#{other}#{word}");
}

#[test]
fn models_and_their_options() {
    let rate = |height: f64, ms: u64| json!([{"from": height, "to": height, "duration_ms": ms}]);
    for (line, pointer, wanted) in [
        ("--rate 500/s --duration 30 x", "/shape/rate/segments", rate(500.0, 30_000)),
        ("--rate 500 -n 1000 x", "/shape/rate/segments", rate(500.0, 2000)),
        ("--rate 500 -n 1000 x", "/requests", json!(1000)),
        ("--rate 500 -n 1001 x y", "/shape/rate/segments", rate(500.0, 1002)),
        ("--rate 100 -n 100 --poisson x", "/shape/rate/segments", rate(100.0, 1550)),
        ("--rate 10-1000:60 --poisson x", "/shape/rate/poisson", json!(true)),
        ("--rate 1:60 --connections 7 x", "/connections", json!(7)),
        ("-p 50 --duration 1m x", "/shape/users/segments", rate(50.0, 60_000)),
        ("-p 50 --duration 1m -n 9 x", "/requests", json!(9)),
        ("--duration 1m x", "/shape/users/segments", rate(1.0, 60_000)),
        ("--duration 1m x", "/requests", json!(null)),
        ("x y", "/transactions", json!(1)),
        ("-p 1:60 --think 0.5 x", "/think_ms", json!(500)),
        ("-p 1:60 --warm-up 5s x", "/warm_up_ms", json!(5000)),
        ("x", "/keep_alive", json!(true)),
        ("--no-keepalive x", "/keep_alive", json!(false)),
        ("-k x", "/verify", json!(false)),
        ("--no-resume x", "/resume", json!(false)),
        ("--http2 --streams 10 x", "/streams", json!(10)),
        ("--http2 x", "/version", json!("http2")),
        ("x", "/version", json!("http1")),
        ("--seed 18446744073709551615 x", "/seed", json!(null)),
        ("--seed 9 x", "/seed", json!(9)),
        // What belongs to the whole test may stand anywhere.
        ("x -p 1-9:60", "/shape/users/segments/0/to", json!(9.0)),
        ("-p 1-2:60 -p 1-3:60 x", "/shape/users/segments/0/to", json!(3.0)),
    ] {
        if line.contains("18446744073709551615") {
            // A whole number of a manifest ends at 2^63.
            assert!(refused(line).contains("is not a whole number"));
            continue;
        }
        assert_eq!(plan(line).pointer(pointer).unwrap_or(&json!(null)), &wanted, "{line}");
    }
}

#[test]
fn data_come_from_files() {
    let files = || host().input("text", "a=#{id}\n").input("bytes", b"\xff\x00");
    let step = plan_on("-v:id u -d @text -d b x", files())["steps"][0].clone();
    assert_eq!(step["body"], json!({"text": "a=#{id}\n&b"}));
    let step = plan_on("-d @bytes -H content-type:_x/y x", files())["steps"][0].clone();
    assert_eq!(
        (&step["body"], &step["headers"]),
        (&json!({"base64": "/wA="}), &json!([["content-type", "x/y"]]))
    );
    let said = super::refused_on("-d @text x", files());
    let wanted =
        "rush: --data @text: no variable \"id\" in this step or before it\n  a=#{id}\n      ^\n";
    assert_eq!(said, wanted);
    let said = super::refused_on("-v:id u -d #{id} -d @bytes x", files());
    assert_eq!(said, "rush: --data: no variables beside a file that is not text\n  #{id}\n  ^\n");
    let large = "x".repeat(1 << 20);
    let said = super::refused_on("-d @large -d y x", host().input("large", large));
    assert_eq!(said, "rush: --data: a step has at most 1048576 bytes of data\n  y\n  ^\n");
}

#[test]
fn mistakes_are_told_with_a_caret() {
    for (line, said) in [
        ("", "no URL specified"),
        ("-p 1-250:60", "no URL specified"),
        ("-T 5", "-T: no URL follows it\n  5\n  ^"),
        (
            "x -H a:_b",
            "--header: no URL follows it: the options of a step stand before its URL\n  a: b\n  ^",
        ),
        ("-p 1-25o:60 x", "--pattern: users must be whole numbers\n  1-25o:60\n      ^"),
        (
            "-p 1-250:60 --rate 10:60 x",
            "--rate: not together with a pattern: --pattern is so many users, each of whom waits for its answer (closed); \
             --rate so many transactions a second, whatever is answered (open)\n  10:60\n  ^",
        ),
        (
            "--rate 500/s x",
            "--rate: how long? 500/s:60 is for 60 seconds, or give --duration\n  500/s\n       ^",
        ),
        (
            "-p 50 -n 5 x",
            "--pattern: how long? 50:60 is for 60 seconds, or give --duration\n  50\n    ^",
        ),
        (
            "-n 5 x",
            "--requests: how long at most? Give --pattern USERS:TIME, --rate, or --duration\n  5\n  ^",
        ),
        ("-n 0 -p 1:60 x", "--requests: 1 or more\n  0\n  ^"),
        ("-n -5 -p 1:60 x", "--requests: a whole number\n  -5\n  ^"),
        (
            "-p 1-250:60 --duration 30 x",
            "--duration: the pattern or rate says how long already\n  30\n  ^",
        ),
        ("-p 0 --duration 30 x", "--pattern: more than nothing\n  0\n  ^"),
        ("--duration 0 x", "--duration: 1ms to 24 h\n  0\n  ^"),
        ("--duration 25h x", "--duration: 1ms to 24 h\n  25h\n  ^"),
        ("--rate 1 -n 100000 x", "--rate: 1 to 86400000 ms long, not 100000000\n  1\n  ^"),
        ("-p 1:24h,1:1 x", "--pattern: 1 to 86400000 ms long, not 86401000\n  1:24h,1:1\n  ^"),
        (
            "--think 5 --rate 1:60 x",
            "--think: users think; with --rate each transaction begins at its time\n  5\n  ^",
        ),
        ("--poisson -p 1:60 x", "--poisson: only with --rate"),
        (
            "--connections 9 -p 1:60 x",
            "--connections: only with --rate: each user of a pattern has one connection\n  9\n  ^",
        ),
        (
            "--streams 2 x",
            "--streams: only with --http2: HTTP/1.1 has one request at a time\n  2\n  ^",
        ),
        ("--http2 --streams 1001 x", "--streams: 1 to 1000\n  1001\n  ^"),
        (
            "--warm-up 60 -p 1:60 x",
            "--warm-up: nothing is left to measure: the test is 60s long\n  60\n  ^",
        ),
        ("-T 0 x", "-T: 1 ms to 1 h\n  0\n  ^"),
        ("-T 2h x", "-T: 1 ms to 1 h\n  2h\n  ^"),
        ("-s 99 x", "--status: a status has three digits: 200\n  99\n  ^"),
        ("-X G_T x", "--request: no letter of a method\n  G T\n   ^"),
        ("-X CONNECT x", "--request: CONNECT has no answer of its own\n  CONNECT\n  ^"),
        ("-b sid x", "--cookie: a cookie is NAME=VALUE"),
        ("-b a=#{x} x", "--cookie: no variable \"x\" in this step or before it"),
        ("-A a -H user-agent:_b x", "--user-agent: --header sets user-agent already\n  a\n  ^"),
        (
            "-v:a-b u x",
            "--variable:a-b: \"a-b\" is no name; it has 1 to 40 letters, digits and _\n  u\n  ^",
        ),
        ("-v:a u -v:a n x", "--variable:a: this step has such a variable already\n  n\n  ^"),
        ("-v:a n[1,x] x", "--variable:a: whole numbers\n  n[1,x]\n      ^"),
        (
            "-v:a a[1,9999] x",
            "--variable:a: 1 to 100000 values, least before greatest, words of 1 to 1024, not \
           Alpha { min: 1, max: 9999, count: 1000 }\n  a[1,9999]\n  ^",
        ),
        (
            "-x:h sid x",
            "--xtract: only cookies are extracted: -x:c NAME or --xtract:cookie NAME\n  h\n  ^",
        ),
        ("-x:c a;b x", "--xtract:c: the name of a cookie\n  a;b\n   ^"),
        // A cookie of an answer is there from the next step on.
        (
            "-x:c sid x/#{sid}",
            "URL: no variable \"sid\" in this step or before it\n  x/#{sid}\n      ^",
        ),
        (
            "x/#{id} -v:id u /y",
            "URL: no variable \"id\" in this step or before it\n  x/#{id}\n      ^",
        ),
        ("/faq", "URL: the first URL has no host\n  /faq\n  ^"),
        ("ftp://x", "URL: only http:// and https://\n  ftp://x\n  ^"),
    ] {
        assert_eq!(refused(line), format!("rush: {said}\n"), "{line}");
    }
    let many = "x ".repeat(33);
    assert_eq!(refused(&many), "rush: URL: a transaction has at most 32 steps\n  x\n  ^\n");
    let many: String = (0..65).map(|number| format!("-v:v{number} u ")).collect();
    assert_eq!(
        refused(&(many + "x")),
        "rush: URL: a plan has at most 64 variables, not 65\n  x\n  ^\n"
    );
    let many = "-H a:_b ".repeat(65);
    assert_eq!(
        refused(&(many + "x")),
        "rush: --header: a step has at most 64 headers\n  a: b\n  ^\n"
    );
}

#[test]
fn what_the_manifest_refuses_never_comes_here() {
    for (line, said) in [
        ("-c 5 x", "option -c is not supported"),
        ("-n 1.5 x", "option -n: \"1.5\" is not a whole number"),
        ("-T soon x", "option -T: \"soon\" is not a duration (2, 0.5, 500ms, 2s, 1m, 1h)"),
        ("-v u x", "option -v requires a name behind it: -v:NAME"),
        ("-x sid x", "option -x requires a name behind it: -x:NAME"),
    ] {
        assert_eq!(refused(line), format!("rush: {said}\ntry 'blitz help rush'\n"), "{line}");
    }
}

#[test]
fn what_help_says_is_so() {
    let manifest = blitz_plugin::Manifest::from_toml(include_str!("../../plugin.toml")).unwrap();
    let default =
        |name: &str| manifest.arguments.iter().find(|a| a.name == name).unwrap().default.clone();
    let plan = plan("x");
    assert_eq!(default("timeout").as_deref(), Some("10s"));
    assert_eq!(
        (&plan["steps"][0]["timeout_ms"], &plan["streams"], &plan["seed"]),
        (&json!(10_000), &json!(1), &json!(0))
    );
    assert_eq!((default("streams").as_deref(), default("seed").as_deref()), (Some("1"), Some("0")));
    // Each word of the manifest is one of the grammar's, and the other way round.
    let known: Vec<&str> = [crate::item::GLOBALS, crate::item::OF_STEPS, &["plan", "URL"]].concat();
    let mut declared: Vec<&str> = manifest.arguments.iter().map(|a| a.name.as_str()).collect();
    let mut wanted = known.clone();
    declared.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(declared, wanted);
}
