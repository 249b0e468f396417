//! `NAME@VERSION` and `NAME@VERSION#SHA256` on the command line.

use crate::blitz::Blitz;
use crate::gateway::{Gateway, Stream};

/// The digest in the scripted gateway's answer.
fn digest() -> String {
    "0123456789abcdef".repeat(4)
}

fn gateway() -> Gateway {
    let info = format!(
        r#"{{"name":"probe","version":"0.1.0","sha256":"{}","manifest":{{
            "name":"probe","version":"0.1.0","summary":"for tests","contract":"0.1.0",
            "arguments":[{{"name":"URL","positional":true}}]}}}}"#,
        digest()
    );
    let end = "event: end\ndata: {\"state\":\"done\",\"exit\":{\"status\":0}}\n\n";
    Gateway::new(&["japan"])
        .answer("GET /v1/plugins/probe?version=0.1.0", 200, &info)
        .events("japan", [Stream::Cut(end.to_owned())])
}

#[test]
fn a_pin_goes_with_the_job() {
    for (line, sha256) in [
        ("probe@0.1.0 x".to_owned(), None),
        (format!("run probe@0.1.0#{} x", digest()), Some(digest())),
    ] {
        let gateway = gateway();
        let ran = Blitz::new().run(&gateway, &line);
        assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
        let [submission] = &gateway.submissions()[..] else { panic!("{line}: one job") };
        assert_eq!(submission["plugin"], "probe");
        assert_eq!(submission["version"], "0.1.0");
        assert_eq!(submission.get("sha256").and_then(|s| s.as_str()), sha256.as_deref(), "{line}");
    }
}

#[test]
fn another_file_makes_no_job() {
    let gateway = gateway();
    let wanted = "f".repeat(64);
    Blitz::new().run(&gateway, &format!("probe@0.1.0#{wanted} x")).check(
        2,
        "",
        &format!(
            "blitz probe: probe@0.1.0 has the SHA-256 {}, not {wanted}; no job was made\n",
            digest()
        ),
    );
    assert!(gateway.submissions().is_empty());
}

#[test]
fn a_malformed_pin_names_the_form() {
    let gateway = gateway();
    for (line, says) in [
        ("probe@1 x", "a version is three numbers with dots"),
        ("probe@0.1.0#12 x", "a SHA-256 has 64 hexadecimal digits"),
        ("help probe@x", "a version is three numbers with dots"),
    ] {
        let ran = Blitz::new().run(&gateway, line);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(says), "{line}: {ran:?}");
        assert!(
            ran.stderr.ends_with("the form is NAME, NAME@1.2.3 or NAME@1.2.3#SHA256\n"),
            "{ran:?}"
        );
    }
    let help = Blitz::new().run(&gateway, "help probe@0.1.0");
    assert!(help.stdout.starts_with("probe: for tests\n"), "{help:?}");
}
