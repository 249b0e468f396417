//! Domains whose answers are canned.

use blitz_plugin::HostError;
use blitz_plugin::dns::Answer;
use blitz_plugin::testing::{self, FakeHost};

use super::*;

#[test]
fn servers_are_told_in_their_order() {
    let host = FakeHost::default()
        .resolves(&["20 b.example.", "10 a.example."])
        .resolves(&["192.0.2.1", "192.0.2.2"])
        .resolves(&[]);
    let ran = testing::run!(Mx, ["example.com", "--addresses=ipv4"], host);
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ""));
    assert_eq!(ran.stdout(), "   10 a.example. 192.0.2.1 192.0.2.2\n   20 b.example. \n");
    let record = ran.records("mail")[0];
    assert_eq!(record["servers_count"], 2);
    assert_eq!(record["servers"][0]["addresses"][1], "192.0.2.2");
    assert_eq!(record["lookup_us"], 3000);
    assert_eq!(ran.host.observations["lookup_us"], [1000, 1000, 1000]);
}

#[test]
fn the_arguments_reach_the_question() {
    let host = FakeHost::default().resolves(&["10 a.example."]);
    let ran = testing::run!(Mx, ["-anone", "--resolver", "192.0.2.53", "example.com"], host);
    assert_eq!(ran.status, 0);
    let [question] = &ran.host.questions[..] else { panic!("{:?}", ran.host.questions) };
    assert_eq!(question.resolver.as_deref(), Some("192.0.2.53"));
    assert_eq!(question.timeout, Some(Duration::from_secs(5)), "the default of plugin.toml");
}

#[test]
fn what_does_not_work_is_told() {
    let nothing = Answer {
        server: "192.0.2.53:53".to_owned(),
        code: code::NXDOMAIN,
        answers: Vec::new(),
        authorities: Vec::new(),
        elapsed: Duration::from_millis(1),
    };
    let timeout = HostError::Failed("no answer within 5s".to_owned());
    let refused = Answer { code: code::REFUSED, ..nothing.clone() };
    for (host, status, stderr) in [
        (FakeHost::default().dns(Ok(nothing)), 3, "mx: example.com does not exist\n"),
        (FakeHost::default().resolves(&["0 ."]), 3, "mx: example.com has no mail servers\n"),
        (FakeHost::default().resolves(&["mail"]), 1, "mx: MX \"mail\"\n"),
        (FakeHost::default().dns(Ok(refused)), 1, "mx: 192.0.2.53:53 answered with code 5\n"),
        (FakeHost::default().dns(Err(timeout)), 1, "mx: no answer within 5s\n"),
    ] {
        let ran = testing::run!(Mx, ["example.com"], host);
        assert_eq!((ran.status, ran.stderr().as_str()), (status, stderr));
    }
}

#[test]
fn a_command_line_that_does_not_fit_is_refused() {
    let ran = testing::run!(Mx, ["example.com", "--addresses=all"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.stderr().contains("\"all\" is not one of ipv4, ipv6, both, none"),
        "{}",
        ran.stderr()
    );
}
