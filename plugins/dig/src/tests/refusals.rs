//! Servers that do not answer, and command lines that cannot be meant.

use blitz_plugin::HostError;
use blitz_plugin::testing::{self, FakeHost};
use blitz_plugin::web::Family;

use super::{assert_is_sent, reply, run, www};
use crate::Dig;

fn fails(errors: &[&str]) -> FakeHost {
    errors.iter().fold(FakeHost::default(), |host, error| {
        host.dns_reply(Err(HostError::Failed((*error).to_owned())))
    })
}

const GREETING: &str = "\n; <<>> DiG blitz 0.1.0 <<>>";

#[test]
fn a_server_that_does_not_answer_is_asked_three_times() {
    let silent = "192.0.2.1:53 gave no answer in 5 s";
    let ran = testing::run!(Dig, ["@192.0.2.1", "x"], fails(&[silent; 4]));
    let error = ";; communications error to 192.0.2.1#53: timed out\n";
    let end = "; (1 server found)\n;; global options: +cmd\n;; no servers could be reached\n";
    assert_eq!(ran.stdout(), format!("{error}{error}{error}{GREETING} @192.0.2.1 x\n{end}"));
    assert_eq!((ran.status, ran.stderr().as_str()), (9, ""));
    assert_eq!(ran.host.messages.len(), 3);
    let ran = testing::run!(Dig, ["x", "+tries=1", "+time=1"], fails(&["connection refused"]));
    let error = ";; communications error to the engine's resolver#53: connection refused\n";
    assert!(ran.stdout().starts_with(error), "{}", ran.stdout());
    assert_eq!((ran.status, ran.host.messages[0].timeout_ms), (9, Some(1000)));
}

#[test]
fn a_lost_datagram_costs_a_try() {
    let host = fails(&["no answer"]).dns_reply(Ok(reply(www())));
    let ran = testing::run!(Dig, ["@127.0.0.1", "www.example", "+short"], host);
    assert_eq!(ran.status, 0);
    let error = ";; communications error to 127.0.0.1#53: timed out\n";
    assert_eq!(ran.stdout(), format!("{error}192.0.2.1\n192.0.2.2\n"));
}

#[test]
fn a_connection_that_fails_is_told_in_digs_words() {
    let ran = testing::run!(
        Dig,
        ["@127.0.0.1", "x", "+tcp"],
        fails(&["Connection refused (os error 111)"; 3])
    );
    let error = ";; Connection to 127.0.0.1#53(127.0.0.1) for x failed: connection refused.\n\
                 ;; no servers could be reached\n";
    assert_eq!(ran.stdout(), error.repeat(3));
    assert_eq!(ran.status, 9);
}

#[test]
fn the_other_names_of_a_command_line_are_asked_all_the_same() {
    let host = fails(&["no answer"]).dns_reply(Ok(reply(www())));
    let ran = testing::run!(Dig, ["+tries=1", "nowhere", "www.example", "+short"], host);
    assert_eq!(ran.status, 9);
    assert!(ran.stdout().ends_with("192.0.2.1\n192.0.2.2\n"), "{}", ran.stdout());
}

#[test]
fn what_servers_ask_for_is_done_once() {
    // BADCOOKIE is 23: the low four bits are 7, the others are in the OPT record, with a cookie of 16 bytes.
    let mut bad =
        b"\0\0\x80\x07\0\0\0\0\0\0\0\x01\0\0\x29\x04\xd0\x01\0\0\0\0\x14\0\x0a\0\x10".to_vec();
    bad.extend(*b"clientcoservercoo");
    bad.truncate(bad.len() - 1);
    let ran = run(&["x", "+nocmd"], vec![bad.clone(), bad]);
    assert!(ran.stdout().starts_with(";; BADCOOKIE, retrying.\n;; Got answer:\n"));
    ran.host.messages.iter().for_each(|message| drop(assert_is_sent(message)));
    let again = &ran.host.messages[1].bytes;
    assert!(again.ends_with(b"clientcoserverco"), "{again:?}");
    assert_eq!((ran.status, ran.host.messages.len()), (0, 2));
}

#[test]
fn a_refusal_of_the_engine_is_told_as_one() {
    let denied = HostError::Denied("192.168.0.1 is private (policy public-only)".to_owned());
    let host = FakeHost::default().dns_reply(Err(denied));
    let ran = testing::run!(Dig, ["@192.168.0.1", "x"], host);
    assert_eq!(ran.status, 122);
    assert_eq!(
        ran.stderr(),
        "dig: refused by testing: 192.168.0.1 is private (policy public-only)\n"
    );
}

#[test]
fn command_lines_that_cannot_be_meant_are_refused() {
    let label = "a".repeat(64);
    for (args, status, says) in [
        (&["+foo", "x"][..], 1, "dig: Invalid option: +foo\n"),
        (&["+", "x"], 1, "dig: Invalid option: +\n"),
        (&["+no", "x"], 1, "dig: Invalid option: +no\n"),
        (&["+multiline", "x"], 1, "dig: Invalid option: +multiline\n"),
        (&["+time=", "x"], 10, "dig: Couldn't parse timeout: \"\" is not 0 to 300\n"),
        (&["+bufsize=99999", "x"], 10, "dig: Couldn't parse buffer size: \"99999\" is not 0 to"),
        (&["+subnet=1.2.3.4/33", "x"], 10, "dig: Couldn't parse client: \"1.2.3.4/33\"\n"),
        (&["+cookie=zz", "x"], 10, "dig: +cookie: \"zz\" is not 8 to 40 bytes in hex\n"),
        (&["-p", "65536", "x"], 10, "dig: Couldn't parse port number"),
        (&["-x", "www"], 1, "dig: Invalid IP address www\n"),
        (&["example.com", "AXFR"], 1, "dig: zone transfers are not supported"),
        (&[&label], 10, "is not a legal name (label too long)\n"),
        (&["a..b"], 10, "dig: 'a..b' is not a legal name (empty label)\n"),
        (&["bücher.example"], 10, "is not a legal name (not ASCII: give its xn-- form)\n"),
        (&["a\\300b"], 10, "is not a legal name (bad escape)\n"),
        (&["@", "x"], 1, "dig: @ needs a server behind it: @ADDRESS or @NAME\n"),
        (
            &["-p", "5353", "x"],
            1,
            "dig: -p needs @SERVER: the engine's own resolver is asked at its",
        ),
        (&["one", "@::1", "two", "-p53"], 1, "dig: -p needs @SERVER: the engine's own resolver is"),
        (
            &["+tls", "x"],
            1,
            "dig: +tls needs @SERVER: the engine's own resolver is asked by UDP and",
        ),
        (&["x", "+https"], 1, "dig: +https needs @SERVER: the engine's own resolver is asked by"),
        (&["-4", "@::1", "x"], 1, "dig: couldn't get address for '::1': address family not supp"),
        (&["-4", "@[::1]:53", "x"], 1, "dig: couldn't get address for '[::1]:53': address family"),
        (&["-4", "@fe80::1%eth0", "x"], 1, "dig: couldn't get address for 'fe80::1%eth0': addr"),
        (&["x", "@127.0.0.1", "-6"], 1, "dig: couldn't get address for '127.0.0.1': address fam"),
        (&["-6", "@::ffff:127.0.0.1", "x"], 1, "dig: couldn't get address for '::ffff:127.0.0.1'"),
        (&["-6", "+trace", "@192.0.2.1", "x"], 1, "dig: couldn't get address for '192.0.2.1'"),
        (&["-k", "file"], 2, "dig: option -k is not supported\n"),
    ] {
        let ran = run(args, vec![]);
        assert_eq!(ran.status, status, "{args:?}");
        assert!(ran.stderr().contains(says), "{args:?}: {}", ran.stderr());
        assert!(ran.host.messages.is_empty());
    }
    let ran = run(&["-t", "foo", "x", "+short"], vec![www()]);
    assert_eq!((ran.status, ran.stderr().as_str()), (0, ";; Warning, ignoring invalid type foo\n"));
}

#[test]
fn a_server_of_the_right_family_is_asked() {
    for (args, family) in [
        (["-4", "@127.0.0.1", "x"], Family::Ipv4),
        (["-6", "@::1", "x"], Family::Ipv6),
        (["-4", "@ns.example", "x"], Family::Ipv4),
        (["-6", "@ns.example", "x"], Family::Ipv6),
    ] {
        let ran = run(&args, vec![www()]);
        assert_eq!((ran.status, ran.host.messages[0].family), (0, family), "{args:?}");
    }
}

#[test]
fn an_answer_too_large_for_a_record_is_told_in_part() {
    let mut bytes = b"\0\0\x80\0\0\0\0\xff\0\0\0\0".to_vec();
    for _ in 0..255 {
        bytes.extend(b"\x01x\0\0\x10\0\x01\0\0\0\0\0\xfb\xfa");
        bytes.extend([b'y'; 250]);
    }
    let ran = run(&["x", "TXT", "+tcp", "+noall"], vec![bytes]);
    assert_eq!(ran.status, 0);
    let record = ran.records("answer")[0];
    assert_eq!((&record["records_count"], &record["is_cut"]), (&255.into(), &true.into()));
    assert_eq!(record["records"].as_array().unwrap().len(), 50);
}
