//! Texts that mean one host to one reader and another to the next: `Host` headers, user names, marks, control
//! characters, zone ids. And the environment of the engine, which means nothing.

use blitz_tests::net::dns::name_of;

use super::addresses::ip;
use super::case::{Case, Want};
use super::channels::{redirect, refused};

/// What a `Host` header says is not where the connection goes.
pub(crate) fn hosts(cases: &mut Vec<Case>) {
    for host in [
        "169.254.169.254",
        "169.254.169.254:80",
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.0.0.1",
        "metadata.google.internal",
        "5.5.5.9:5984",
    ] {
        let header = format!("Host: {host}");
        let args = ["-H".to_owned(), header.clone(), "http://8.8.8.8/".to_owned()];
        cases.push(Case::new("Host", args, Want::ReachedAs(ip("8.8.8.8"), host)));
        let url = format!("http://{}/", name_of(&[ip("2606:4700::1111")]));
        let args = ["-H".to_owned(), header, url];
        cases.push(Case::new("Host", args, Want::ReachedAs(ip("2606:4700::1111"), host)));
    }
    for (host, url) in [
        ("8.8.8.8", "http://169.254.169.254/"),
        ("example.com", "http://169.254.169.254/latest/meta-data/"),
    ] {
        let args = ["-H".to_owned(), format!("Host: {host}"), url.to_owned()];
        cases.push(Case::new("Host", args, refused("169.254.169.254")));
    }
    for header in ["X-Forwarded-Host: 169.254.169.254", "Forwarded: host=10.0.0.1"] {
        let args = ["-H", header, "http://8.8.8.8/"];
        cases.push(Case::new("Host", args, Want::Reached(ip("8.8.8.8"))));
    }
}

/// URLs that two parsers may read in two ways.
pub(crate) fn urls(cases: &mut Vec<Case>) {
    let metadata = || refused("169.254.169.254");
    let public = || Want::Reached(ip("8.8.8.8"));
    for (url, want) in [
        ("http://8.8.8.8@169.254.169.254/", metadata()),
        ("http://8.8.8.8:80@169.254.169.254/", metadata()),
        ("http://user:8.8.8.8@169.254.169.254:80/", metadata()),
        ("http://8.8.8.8%2f@169.254.169.254/", metadata()),
        ("http://8.8.8.8%00@169.254.169.254/", metadata()),
        ("http://169.254.169.254#@8.8.8.8/", metadata()),
        ("http://169.254.169.254?@8.8.8.8/", metadata()),
        ("http://169.254.169.254/@8.8.8.8/", metadata()),
        ("169.254.169.254", metadata()),
        ("169.254.169.254:80/latest", metadata()),
        ("http:/169.254.169.254/", metadata()),
        ("HTTP://169.254.169.254/", metadata()),
        ("http://169.254.169.254@8.8.8.8/", public()),
        ("http://169.254.169.254%2f@8.8.8.8/", public()),
        ("http://8.8.8.8#@169.254.169.254/", public()),
        ("http://8.8.8.8?@169.254.169.254/", public()),
        ("http://8.8.8.8/@169.254.169.254/", public()),
        ("http://8.8.8.8/../../169.254.169.254", public()),
        ("http://8.8.8.8//169.254.169.254/", public()),
    ] {
        cases.push(Case::new("URL games", [url], want));
    }
    for url in [
        "http://8.8.8.8\\@169.254.169.254/",
        "http://169.254.169.254\\@8.8.8.8/",
        "http://8.8.8.8\\.169.254.169.254/",
        "http:\\\\169.254.169.254\\",
        "http:169.254.169.254",
        "http:///169.254.169.254/",
        "//169.254.169.254/",
        "http://8.8.8.8\t@169.254.169.254/",
        "http://8.8.8.8\n@169.254.169.254/",
        "http://8.8.8.8\r\nHost:169.254.169.254/",
        "http://169.254.\t169.254/",
        "http://169.254.169.254\n.example/",
        " http://169.254.169.254/",
        "http://8.8.8.8 @169.254.169.254/",
        "http://a@8.8.8.8@169.254.169.254/",
        "http://169.254.169.254%00.8.8.8.8/",
        "http://169.254.169.254%00/",
        "http://169.254.169.254%0a/",
        "http://169.254.169.254:80:80/",
        "http://169.254.169.254:080/",
        "http://169.254.169.254:65616/",
        "http://169.254.169.254..",
        "http://.169.254.169.254/",
        "http://169.254.169.254.5/",
        "http://169.254.169.0x1fe/",
        "http://0x7f.0.0.0x100/",
        "http://256.256.256.256/",
        "http://[169.254.169.254]/",
        "http://[::1/",
        "http://::1/",
        "http://[[::1]]/",
        "http://[::ffff:0x7f.1]/",
        "http://[v1.169.254.169.254]/",
        "http://\u{2460}\u{2461}\u{2466}.1/",
        "http://\u{ff4c}\u{ff4f}\u{ff43}\u{ff41}\u{ff4c}\u{ff48}\u{ff4f}\u{ff53}\u{ff54}/",
        "http://loc\u{ad}alhost/",
        "gopher://169.254.169.254:80/",
        "file:///etc/passwd",
        "ftp://169.254.169.254/",
        "ws://169.254.169.254/",
    ] {
        let public = vec![ip("8.8.8.8")];
        cases.push(Case::new("URL games", ["-g", url], Want::Harmless { public }));
    }
}

/// Zone ids: an address with one is never a target, also when it would be a public one.
pub(crate) fn zones(cases: &mut Vec<Case>) {
    for host in [
        "fe80::1%25wire",
        "fe80::1%wire",
        "fe80::1%251",
        "fe80::1%1",
        "fe80::1%25",
        "fe80::1%25lo",
        "fe80::a9fe:a9fe%25wire",
        "fe80::1%2525wire",
        "::1%25lo",
        "::1%lo",
        "ff02::1%25wire",
        "fd00:ec2::254%25wire",
        "::ffff:169.254.169.254%25wire",
        "2606:4700::1111%25wire",
    ] {
        let public = vec![ip("2606:4700::1111")];
        let url = format!("http://[{host}]/");
        cases.push(Case::new("zone id", ["-g".to_owned(), url], Want::Harmless { public }));
    }
}

/// Options by which a connection could be led elsewhere; most are not supported, and have to stay so.
pub(crate) fn options(cases: &mut Vec<Case>) {
    let metadata = || refused("169.254.169.254");
    cases.push(Case::new("options", ["--url", "http://169.254.169.254/"], metadata()));
    for words in [
        "-x http://169.254.169.254:80",
        "-x 10.0.0.1:80",
        "--proxy socks5://127.0.0.1:80",
        "--proxy1.0 10.0.0.1:80",
        "--preproxy socks5://127.0.0.1:80",
        "--socks4 10.0.0.1:80",
        "--socks4a 10.0.0.1:80",
        "--socks5 10.0.0.1:80",
        "--socks5-hostname 10.0.0.1:80",
        "--dns-servers 10.0.0.53",
        "--dns-interface lo",
        "--dns-ipv4-addr 127.0.0.1",
        "--doh-url http://10.0.0.1/",
        "--interface lo",
        "--interface host!127.0.0.1",
        "--unix-socket /run/docker.sock",
        "--abstract-unix-socket x",
        "--haproxy-clientip 10.0.0.1",
        "--alt-svc x",
        "--hsts x",
        "--ipfs-gateway http://127.0.0.1/",
        "--proto-default gopher",
        "--next http://169.254.169.254/",
        "--request-target http://169.254.169.254/",
        "-X CONNECT",
        "-K /dev/stdin",
    ] {
        let args = words.split(' ').chain(["http://8.8.8.8/"]);
        let want = Want::Harmless { public: vec![ip("8.8.8.8")] };
        cases.push(Case::new("options", args, want));
    }
    // A request line inside of the method.
    let smuggled = "GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\nGET";
    cases.push(Case::new(
        "options",
        ["-X", smuggled, "http://8.8.8.8/"],
        Want::Harmless { public: vec![ip("8.8.8.8")] },
    ));
}

/// What the environment of the engine names as proxies, and what is reached in spite of them.
pub(crate) const PROXIES: &[(&str, &str)] = &[
    ("http_proxy", "http://169.254.169.254:80"),
    ("HTTP_PROXY", "http://169.254.169.254:80"),
    ("https_proxy", "http://10.0.0.1:80"),
    ("HTTPS_PROXY", "http://10.0.0.1:80"),
    ("all_proxy", "socks5://127.0.0.1:80"),
    ("ALL_PROXY", "socks5://127.0.0.1:80"),
    ("no_proxy", ""),
    ("LOCALDOMAIN", "lab"),
    ("RES_OPTIONS", "use-vc"),
];

/// All cases run under [`PROXIES`]; these say so.
pub(crate) fn proxies(cases: &mut Vec<Case>) {
    for address in ["8.8.8.8", "2606:4700::1111"] {
        let name = name_of(&[ip(address)]);
        let want = Want::Reached(ip(address));
        for args in [
            vec![format!("http://{name}/proxied")],
            vec!["-k".to_owned(), format!("https://{name}/proxied")],
            vec!["-L".to_owned(), redirect(&format!("http://{name}/proxied"))],
        ] {
            cases.push(Case::new("environment proxies", args, want.clone()));
        }
    }
}
