//! What is refused before a job exists, and what help says.

use crate::blitz::Blitz;
use crate::gateway::{Gateway, TOKEN};

#[test]
fn wrong_words_are_named() {
    let gateway = Gateway::new(&["japan"]);
    let blitz = Blitz::new();
    for (line, stderr) in [
        (
            "probe --nope x",
            "blitz probe: option --nope is not supported; 'blitz help probe' lists what is\n",
        ),
        ("probe -d", "blitz probe: option -d requires a value; see 'blitz help probe'\n"),
        ("probe -d @gone x", "blitz probe: cannot read 'gone': No such file or directory\n"),
        (
            "probe -r japan, x",
            "blitz: --region 'japan,' has an empty name; use -r virginia,japan\n",
        ),
        (
            "-x probe",
            "blitz: no flag -x here; a plugin's own flags go behind its name, 'blitz --help' lists ours\n",
        ),
        ("run", "blitz: run: which plugin? 'blitz plugins' lists them\n"),
        ("job", ""),
    ] {
        let ran = blitz.run(&gateway, line);
        assert_eq!(ran.code, Some(2), "blitz {line}: {ran:?}");
        assert!(stderr.is_empty() || ran.stderr == stderr, "blitz {line}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "blitz {line}");
    }
    assert!(gateway.submissions().is_empty(), "no job was made");
}

#[test]
fn formats_exclude_each_other() {
    let gateway = Gateway::new(&["japan"]);
    for (line, one, other) in [
        ("probe --table --json x", "--table", "--json"),
        ("--json probe x --table", "--json", "--table"),
        ("probe --ndjson --table x", "--ndjson", "--table"),
        ("probe --table --group x", "--table", "--group"),
        ("probe --table --buffer x", "--table", "--buffer"),
        ("probe --table --detach x", "--table", "--detach"),
        ("probe --group --json x", "--group", "--json"),
        ("probe --group --ndjson x", "--group", "--ndjson"),
        ("probe --group --detach x", "--group", "--detach"),
        ("probe --json --ndjson x", "--json", "--ndjson"),
    ] {
        let ran = Blitz::new().run(&gateway, line);
        let says = format!("error: the argument '{one}' cannot be used with '{other}'\n");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "blitz {line}: {ran:?}");
        assert!(ran.stderr.starts_with(&says), "blitz {line}: {}", ran.stderr);
    }
    assert!(gateway.submissions().is_empty(), "no job was made");
}

#[test]
fn unknown_names_get_a_suggestion() {
    let plugin = |reason: &str| {
        format!(r#"{{"error":"unknown_plugin","reason":"{reason}","known":["probe"]}}"#)
    };
    let gateway = Gateway::new(&["japan"])
        .answer("GET /v1/plugins/regoins", 404, &plugin("no plugin 'regoins'"))
        .answer("GET /v1/plugins/zzz", 404, &plugin("no plugin 'zzz'"))
        .answer("GET /v1/plugins/prboe", 404, &plugin("no plugin 'prboe'"))
        .answer(
            "POST /v1/jobs",
            404,
            r#"{"error":"unknown_region","reason":"no region 'jpan'","suggestion":"japan","known":["japan"]}"#,
        );
    let blitz = Blitz::new();
    blitz.run(&gateway, "regoins").check(
        2,
        "",
        "blitz: no plugin 'regoins'; did you mean regions?\n",
    );
    blitz.run(&gateway, "zzz").check(2, "", "blitz: no plugin 'zzz'; known: probe\n");
    blitz.run(&gateway, "probe -r jpan x").check(
        2,
        "",
        "blitz: no region 'jpan'; did you mean japan?\n",
    );
    blitz.run(&gateway, "help prboe").check(
        2,
        "",
        "blitz: no command or plugin 'prboe'; did you mean probe?\n",
    );
}

#[test]
fn a_gateway_that_is_not_there_is_named() {
    let blitz = Blitz::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = |token: &str| {
        let mut command = blitz.command(None, "probe x");
        command.env("BLITZ_HOST", format!("http://{closed}")).env("BLITZ_TOKEN", token);
        crate::blitz::Ran::from(command.output().unwrap())
    };
    ran(TOKEN).check(
        125,
        "",
        &format!("blitz: cannot reach the gateway http://{closed}: Connection refused\n"),
    );
    let gateway = Gateway::new(&["japan"]);
    let mut command = blitz.command(Some(&gateway), "probe x");
    let wrong = crate::blitz::Ran::from(command.env("BLITZ_TOKEN", "wrong").output().unwrap());
    wrong.check(
        122,
        "",
        &format!(
            "blitz: the gateway {0} does not accept the token in BLITZ_TOKEN: no; set another one, or unset it and 'blitz \
             login --host {0}'\n",
            gateway.url
        ),
    );
    let mut command = blitz.command(None, "probe x");
    let none = crate::blitz::Ran::from(command.env("BLITZ_HOST", &gateway.url).output().unwrap());
    none.check(
        2,
        "",
        &format!(
            "blitz: no token for the gateway {0}: set BLITZ_TOKEN, or 'blitz login --host {0}'\n",
            gateway.url
        ),
    );
    let broken = Gateway::new(&[]).answer(
        "POST /v1/jobs",
        503,
        r#"{"error":"store_unreachable","reason":"the store does not answer"}"#,
    );
    blitz.run(&broken, "probe x").check(125, "", "blitz: the store does not answer\n");
}

#[test]
fn lists_of_a_gateway_need_one() {
    for line in ["jobs", "engines", "job japan-1-01", "job abort japan-1-01"] {
        let ran = Blitz::new().run_alone(line);
        assert_eq!(ran.code, Some(125), "blitz {line}: {ran:?}");
        assert!(ran.stderr.contains("start one with 'blitz up'"), "blitz {line}: {}", ran.stderr);
    }
}

#[test]
fn help_is_where_people_look_for_it() {
    let gateway = Gateway::new(&["japan"]);
    let blitz = Blitz::new();
    let plugin = blitz.run(&gateway, "help probe").stdout;
    assert!(plugin.starts_with("probe: for tests\n"), "{plugin}");
    for line in ["probe --help", "probe:help", "probe -h", "run probe --help"] {
        blitz.run(&gateway, line).check(0, &plugin, "");
    }
    let ours = blitz.run_alone("--help").stdout;
    for line in ["-h", "help"] {
        blitz.run_alone(line).check(0, &ours, "");
    }
    blitz.run_alone("").check(2, "", &ours);
    insta::assert_snapshot!(ours);
    insta::assert_snapshot!(blitz.run_alone("help up").stdout);
    assert_eq!(blitz.run_alone("up --help").code, Some(0));
    blitz.run_alone("version").check(0, &blitz.run_alone("--version").stdout, "");
}
