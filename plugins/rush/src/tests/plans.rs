//! Plans as TOML.

use blitz_plugin::testing::FakeHost;
use serde_json::json;

use super::{host, plan, plan_on, refused_on};

fn with(toml: &str) -> FakeHost {
    host().input("plan.toml", toml)
}

fn says(toml: &str) -> String {
    refused_on("--plan plan.toml", with(toml))
}

const WHOLE: &str = r##"
# All that a plan may say
rate = "10-1000:60"
requests = 1_000
warm-up = 5
poisson = true
connections = 100
seed = 0x10
http2 = true
streams = 10
no-keepalive = true
insecure = true
no-resume = false

[[steps]]
url = "http://shop.example/login?u=#{name}"
request = "PUT"
header = ["accept: text/html", "x: #{name}"]
data = "user=#{name}"
cookie = "a=b"
user = "me:pw"
user-agent = "rush"
referer = "http://x/"
status = 200
timeout = 500
xtract = ["sid", "other"]

[steps.variable]
name = ["ada", "grace", 7]
word = "alpha[8,12,5]"

[[steps]]
url = "/cart"
timeout = "2s"
data = '''
several #{sid}
lines'''
"##;

#[test]
fn a_plan_says_all_that_a_command_line_says() {
    let from_file = plan_on("--plan plan.toml", with(WHOLE));
    let mut host = host();
    host = host.input("lines", "several #{sid}\nlines");
    let from_line = plan_on(
        "--rate 10-1000:60 -n 1000 --warm-up 5 --poisson --connections 100 --seed 16 --http2 --streams 10 --no-keepalive -k \
         -X PUT -H accept:_text/html -H x:_#{name} -d user=#{name} -b a=b -u me:pw -A rush -e http://x/ -s 200 -T 500 -x:c sid \
         -x:c other -v:name [ada,grace,7] -v:word a[8,12,5] http://shop.example/login?u=#{name} -T 2s -d @lines /cart",
        host,
    );
    assert_eq!(from_file, from_line);
}

#[test]
fn the_example_of_the_documentation_is_a_plan() {
    let source = include_str!("../file.rs");
    let lines = source.lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let example: Vec<&str> = lines
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!").trim_start())
        .collect();
    let plan = plan_on("--plan plan.toml", with(&example.join("\n")));
    assert_eq!(plan["steps"][1]["url"], "http://shop.example/cart/#{item}");
}

#[test]
fn the_command_line_overrides_what_is_of_the_whole() {
    let plan = |line: &str| plan_on(line, with(WHOLE));
    assert_eq!(plan("--plan plan.toml -n 5")["requests"], 5);
    assert_eq!(plan("-n 5 --plan plan.toml --warm-up 9")["warm_up_ms"], 9000);
    // Another model takes all of the plan's with it.
    let users = plan("--plan plan.toml -p 1-9:60");
    assert_eq!(users["shape"]["users"]["segments"][0]["to"], 9.0);
    assert_eq!((&users["connections"], &users["requests"]), (&json!(null), &json!(1000)));
    let rate = plan("--plan plan.toml --rate 5 --duration 10");
    assert_eq!(
        rate["shape"]["rate"],
        json!({"segments": [{"from": 5.0, "to": 5.0, "duration_ms": 10_000}], "poisson": false})
    );
    let plain = "rate = 500\nduration = 30\nsteps = [{url = \"x\"}]";
    let plan = plan_on("--plan plan.toml --duration 60", with(plain));
    assert_eq!(plan["shape"]["rate"]["segments"][0]["duration_ms"], 60_000);
}

#[test]
fn steps_come_from_one_of_the_two() {
    let only_globals = plan_on("--plan plan.toml -T 100 x", with("pattern = \"1-9:60\""));
    assert_eq!(only_globals["steps"][0]["timeout_ms"], 100);
    assert_eq!(only_globals["shape"]["users"]["segments"][0]["to"], 9.0);
    assert_eq!(
        refused_on("--plan plan.toml x", with(WHOLE)),
        "rush: URL: the plan has steps; they come from one of the two\n  x\n  ^\n"
    );
    assert_eq!(
        says("rate = 5"),
        "rush: no URL specified, and no [[steps]] in the plan plan.toml\n"
    );
    assert_eq!(
        refused_on("--plan plan.toml -T 100", with(WHOLE)),
        "rush: -T: no URL follows it\n  100\n  ^\n"
    );
}

#[test]
fn a_plan_may_come_on_stdin() {
    let plan = plan_on("--plan -", host().input("-", "steps = [{ url = \"x\" }]"));
    assert_eq!(plan["steps"][0]["url"], "http://x");
    let said = refused_on("--plan -", host().input("-", "stepz = 1"));
    assert!(
        said.starts_with(
            "rush: stdin, line 1, column 1: unknown key \"stepz\"; did you mean steps?\n"
        ),
        "{said}"
    );
}

#[test]
fn mistakes_in_a_plan_have_a_line_and_a_column() {
    for (toml, said) in [
        (
            "pattern = \"1-25o:60\"\nsteps = [{url = \"x\"}]",
            "line 1, column 16: pattern: users must be whole numbers\n  pattern = \"1-25o:60\"\n                 ^",
        ),
        (
            "rate = 5\npatern = 6",
            "line 2, column 1: unknown key \"patern\"; did you mean pattern?\n  patern = 6\n  ^",
        ),
        (
            "velocity = 5",
            "line 1, column 1: unknown key \"velocity\"; known are pattern, rate, requests, duration, think, warm-up, connections, \
             poisson, seed, http2, streams, no-keepalive, insecure, no-resume, steps\n  velocity = 5\n  ^",
        ),
        ("timeout = 5", "line 1, column 1: timeout is a key of [[steps]]\n  timeout = 5\n  ^"),
        (
            "[[steps]]\nurl = \"x\"\nrate = 5",
            "line 3, column 1: rate is a key of the whole plan, before its steps\n  rate = 5\n  ^",
        ),
        (
            "[[steps]]\nurl = \"x\"\nheaders = 5",
            "line 3, column 1: unknown key \"headers\"; did you mean header?\n  headers = 5\n  ^",
        ),
        ("[[steps]]\nstatus = 200", "line 1, column 1: a step without a url\n  [[steps]]\n  ^"),
        (
            "[steps]\nurl = \"x\"",
            "line 1, column 1: steps: steps are tables: [[steps]]\n  [steps]\n  ^",
        ),
        (
            "steps = [1]",
            "line 1, column 10: steps are tables: [[steps]]\n  steps = [1]\n           ^",
        ),
        ("poisson = 1", "line 1, column 11: poisson: true or false\n  poisson = 1\n            ^"),
        ("pattern = 5", "line 1, column 11: pattern: a text\n  pattern = 5\n            ^"),
        ("rate = [5]", "line 1, column 8: rate: one value, not a list\n  rate = [5]\n         ^"),
        ("rate = true", "line 1, column 8: rate: a number or a text\n  rate = true\n         ^"),
        (
            "steps = [{url = \"x\", header = [1]}]",
            "line 1, column 32: header: a list of texts\n  steps = [{url = \"x\", header = [1]}]\n                                 ^",
        ),
        (
            "steps = [{url = \"x\", status = 99}]",
            "line 1, column 31: status: a status has three digits: 200\n  steps = [{url = \"x\", status = 99}]\n                                ^",
        ),
        (
            "[[steps]]\nurl = \"x\"\nvariable = 5",
            "line 3, column 12: variable: a table of names: [steps.variable]\n  variable = 5\n             ^",
        ),
        (
            "[[steps]]\nurl = \"x\"\nvariable.a = \"n[1,x]\"",
            "line 3, column 19: variable.a: whole numbers\n  variable.a = \"n[1,x]\"\n                    ^",
        ),
        (
            "[[steps]]\nurl = \"x\"\nvariable.a = 5",
            "line 3, column 14: a: a list, or a text: \"alpha[8,12]\", \"number[1,1000]\", \"udid\"\n  variable.a = 5\n               ^",
        ),
        (
            "[[steps]]\nurl = \"x\"\nvariable.a = []",
            "line 3, column 14: variable.a: a list has at least one value\n  variable.a = []\n               ^",
        ),
        (
            "[[steps]]\nurl = \"x\"\nvariable.a = [[]]",
            "line 3, column 14: a: a list of texts and numbers\n  variable.a = [[]]\n               ^",
        ),
        (
            "steps = [{url = \"x/#{a}\"}]",
            "line 1, column 22: url: no variable \"a\" in this step or before it\n  steps = [{url = \"x/#{a}\"}]\n                       ^",
        ),
        (
            "steps = [{url = \"x\", user = \"me\\u000apw\"}]",
            "line 1, column 29: user: a header has one line",
        ),
    ] {
        assert_eq!(says(toml), format!("rush: plan.toml, {said}\n"), "{toml}");
    }
}

#[test]
fn what_is_no_toml_is_told_where() {
    for (toml, begin) in [
        ("rate = ", "rush: plan.toml, line 1, column "),
        ("rate = 5\nrate = 6", "rush: plan.toml, line 2, column 1: "),
        ("[[steps]\nurl = \"x\"", "rush: plan.toml, line 1, column "),
        ("[[steps]]\nurl = \"x", "rush: plan.toml, line 2, column "),
    ] {
        let said = says(toml);
        assert!(said.starts_with(begin) && said.ends_with("^\n"), "{said}");
    }
    assert_eq!(
        refused_on("--plan p", host().input("p", b"a\xff")),
        "rush: p: not UTF-8 at byte 1\n"
    );
    let large = "#".repeat((2 << 20) + 1);
    assert_eq!(
        refused_on("--plan p", host().input("p", large)),
        "rush: p: a plan has at most 2097152 bytes, not 2097153\n"
    );
}

#[test]
fn a_key_is_the_long_name_of_its_option() {
    let line = plan("--rate 5 -n 9 x");
    assert_eq!(
        line,
        plan_on("--plan p", host().input("p", "rate = 5\nrequests = 9\nsteps = [{url = \"x\"}]"))
    );
}
