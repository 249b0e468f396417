//! Any command line and any plan is understood or refused, and never more than that.

use blitz_plugin::testing::{self, Ran};
use blitz_plugin::{Arguments, Manifest};
use proptest::prelude::*;

use super::host;
use crate::Rush;

/// Whatever it is: a plan that the host takes, or two lines and a status.
fn check(ran: &Ran) {
    match ran.status {
        0 => assert_eq!(ran.host.plans[0].check(), Ok(())),
        2 => assert!(
            ran.host.plans.is_empty() && ran.stderr().starts_with("rush: "),
            "{}",
            ran.stderr()
        ),
        status => panic!("{status}: {}", ran.stderr()),
    }
}

/// Options of the grammar.
fn option() -> impl Strategy<Value = String> {
    let options = [
        "-p",
        "--rate",
        "-n",
        "--duration",
        "--think",
        "--warm-up",
        "--connections",
        "--poisson",
        "--seed",
        "--http2",
        "--streams",
        "--no-keepalive",
        "-k",
        "--no-resume",
        "-X",
        "-H",
        "-d",
        "-b",
        "-u",
        "-A",
        "-e",
        "-s",
        "-T",
        "-x:c",
        "--xtract:cookie",
        "-v:a",
        "--variable:b",
        "-v",
        "--",
        "--plan",
    ];
    proptest::sample::select(options.map(str::to_owned).to_vec())
}

/// Values that are near to good ones.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-z]{0,3}[-:,./\\[\\]][-0-9:,./\\[\\]smhnu]{0,12}",
        "(http://)?[a-z]{1,3}(:[0-9]{1,5})?(/[a-z#{}?é]{0,8})?",
        "(n|number|a|alpha|list|u|udid)?(\\[[0-9,a-z-]{0,12}\\]?)?",
        "[A-Za-z]{1,4}[:;=] ?[a-z#{}]{0,6}",
        "[0-9]{1,22}(ms|s|m|h)?",
        "@?(text|bytes|plan|none)",
        "\\PC{0,8}",
        ".{0,8}",
    ]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(prop_oneof![option(), value()], 0..10)
}

/// TOML that is nearly a plan.
fn toml() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "(rate|pattern|requests|duration|seed|streams|warm-up|steps|url|status|timeout) = [0-9\"\\[{a-z:,.\\]}-]{0,12}",
        "(url|data|header|cookie|user|xtract|pattern) = \"[^\"\\\\\\x00-\\x1f]{0,12}\"",
        "\\[\\[steps\\]\\]",
        "\\[steps.variable\\]",
        "variable.[a-z]{1,2} = (\"[a-z\\[\\],0-9]{0,8}\"|\\[[0-9,\"a-z]{0,6}\\])",
        "\\PC{0,12}",
    ];
    proptest::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_command_line_has_an_answer(words in words()) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let manifest = Manifest::from_toml(include_str!("../../plugin.toml")).unwrap();
        let given = Arguments::parse(&manifest, &words).unwrap_or_default();
        let content = |name: &str| match name {
            "text" => b"a=#{a}".to_vec(),
            "bytes" => b"\xff".to_vec(),
            "plan" => b"rate = 5\n".to_vec(),
            _ => Vec::new(),
        };
        let host = given.inputs().into_iter().fold(host(), |host, name| host.input(name, content(name)));
        check(&testing::run!(Rush, words, host));
    }

    #[test]
    fn any_plan_has_an_answer(toml in toml()) {
        check(&testing::run!(Rush, ["--plan", "p"], host().input("p", toml)));
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&testing::run!(Rush, ["--plan", "p"], host().input("p", bytes)));
    }
}
