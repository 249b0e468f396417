//! Command lines that curl takes and we refuse, or the reverse, each with its reason.

use super::Known;
use super::These;

pub(super) const TABLE: &[Known] = &[
    Known {
        cases: These(&[
            "--create-dirs -o made/out {url}/ok",
            "--ignore-content-length {url}/close",
            "--path-as-is {url}/a/../ok",
            "--raw -i {url}/chunked",
            "--request-target /other {url}/ok",
            "-H Expect: -T . {url}/ok",
            "-OJ {url}/ok",
            "-j {url}/ok",
            "-n {url}/ok",
            "-u me:secret --anyauth {url}/ok",
            "-u me:secret --digest {url}/ok",
            "-y 1 -Y 1000 -m 5 {url}/silent-in-body",
            "-z 'Mon, 01 Jan 2024 00:00:00 GMT' {url}/304",
            "tls: -k --tlsv1.2 --tls-max 1.2 {url}/ok",
            "tls: -k --tlsv1.3 {url}/ok",
            "--http1.0 {url}/ok",
            "--url-query a=1 {url}/ok",
            "--url-query 'a=b c' --url-query +d=e {url}/ok?x=y",
            "-0 {url}/ok",
        ]),
        aspects: &["refused"],
        why: "an option that is not supported is refused by name",
    },
    Known {
        cases: These(&[
            "-O {url}/ok",
            "-O {url}/a/page.html?q=1",
            "-O {url}/",
            "-w '%{filename_effective}' -O {url}/ok",
        ]),
        aspects: &["refused"],
        why: "a remote job writes only files that the command line names",
    },
    Known {
        cases: These(&["{url}/ok {url}/ok", "{url}/{a,b}", "{url}/[1-2]"]),
        aspects: &["refused"],
        why: "one job is one transfer",
    },
    Known {
        cases: These(&[
            "-F a=@text,page.html {url}/ok",
            "-F 'a=@\"text\"' {url}/ok",
            "-F 'a=1;headers=\"X-A: 1\"' {url}/ok",
        ]),
        aspects: &["refused"],
        why: "of the words of -F there are type and filename, and one file a part",
    },
    Known {
        cases: These(&["--data-urlencode n@text {url}/ok", "--data-urlencode n@- {url}/ok"]),
        aspects: &["refused"],
        why: "a file is told by @ in front; --data-urlencode @FILE does the rest",
    },
    Known {
        cases: These(&[
            "-H '' {url}/ok",
            "-H ': x' {url}/ok",
            "-H 'X A: 1' {url}/ok",
            "-H 'X-A' {url}/ok",
            "-H @- {url}/ok",
            "-X '' {url}/ok",
        ]),
        aspects: &["refused"],
        why: "what cannot be a header or a method is refused; curl sends it or leaves it out without a word",
    },
    Known {
        cases: These(&["-b '' {url}/ok"]),
        aspects: &["refused"],
        why: "no cookie files and no cookie engine: a job leaves nothing for the next",
    },
    Known {
        cases: These(&[
            "-d @absent {url}/ok",
            "-H @absent {url}/ok",
            "-w @absent {url}/ok",
            "-F a=@absent {url}/ok",
            "-H Expect: -T absent {url}/ok",
            "tls: --cacert absent {url}/ok",
        ]),
        aspects: &["refused"],
        why: "files are read on this machine before there is a job; 7.88 goes on without some of them",
    },
    Known {
        cases: These(&["--output=out {url}/ok"]),
        aspects: &["refused"],
        why: "all commands of blitz take --name=value",
    },
];
