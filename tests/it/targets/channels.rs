//! The ways by which an address comes to an engine, each for addresses that must be refused and for some that
//! must be reached: a channel that never works would refuse everything.

use std::net::{IpAddr, SocketAddr};

use blitz_tests::net::dns::name_of;
use blitz_tests::net::{NAME_SERVER_V4, NAME_SERVER_V6, STORE};

use super::addresses::{KEY, PUBLIC, SPECIAL_V4, SPECIAL_V6, SPELLED, class, ip, spellings};
use super::case::{Case, Want};

/// The public addresses that are tried by every channel.
const PUBLIC_KEY: &[&str] = &["8.8.8.8", "172.32.0.0", "2606:4700::1111"];

/// A server in the world that redirects.
const PUBLIC_SERVER: &str = "93.184.216.34";

pub(super) fn refused(address: &str) -> Want {
    Want::Refused { address: ip(address), class: class(address) }
}

pub(super) fn url(address: IpAddr) -> String {
    format!("http://{}/", SocketAddr::new(address, 80))
}

/// A URL in the world that redirects there.
pub(super) fn redirect(location: &str) -> String {
    redirect_by(302, location)
}

fn redirect_by(status: u16, location: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:/@".contains(&byte);
    let encoded: String = location
        .bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02x}") })
        .collect();
    format!("http://{PUBLIC_SERVER}/{status}?{encoded}")
}

/// The addresses of a channel: what is to be refused, and what is to be reached.
fn all() -> impl Iterator<Item = (&'static str, Want)> {
    let special = SPECIAL_V4.iter().chain(SPECIAL_V6).map(|(a, _)| (*a, refused(a)));
    special.chain(PUBLIC_KEY.iter().map(|a| (*a, Want::Reached(ip(a)))))
}

fn key() -> impl Iterator<Item = (&'static str, Want)> {
    let special = KEY.iter().map(|a| (*a, refused(a)));
    special.chain(PUBLIC_KEY.iter().map(|a| (*a, Want::Reached(ip(a)))))
}

/// Addresses and spellings in the URL itself.
pub(crate) fn literals(cases: &mut Vec<Case>) {
    for (address, want) in all() {
        cases.push(Case::new("literal", [url(ip(address))], want));
    }
    for address in PUBLIC {
        cases.push(Case::new("literal", [url(ip(address))], Want::Reached(ip(address))));
    }
    for address in KEY {
        let IpAddr::V4(v4) = ip(address) else { continue };
        for (spelling, must) in spellings(v4) {
            let want = match must {
                true => refused(address),
                false => Want::RefusedOrMalformed { address: v4.into() },
            };
            cases.push(Case::new("spelling", [format!("http://{spelling}/")], want));
        }
    }
    for (spelling, must) in spellings([8, 8, 8, 8].into()) {
        let want = match must {
            true => Want::Reached(ip("8.8.8.8")),
            false => Want::Harmless { public: vec![ip("8.8.8.8")] },
        };
        cases.push(Case::new("spelling", [format!("http://{spelling}/")], want));
    }
    for (spelling, address) in SPELLED {
        cases.push(Case::new("spelling", [format!("http://{spelling}/")], refused(address)));
    }
    for (address, want) in key() {
        let url = url(ip(address)).replacen("http:", "https:", 1).replacen(":80/", ":443/", 1);
        cases.push(Case::new("https", ["-k".to_owned(), url.clone()], want));
        // Over UDP, where this is built in.
        if !PUBLIC_KEY.contains(&address) {
            let want = Want::RefusedOrMalformed { address: ip(address) };
            cases.push(Case::new("http3", ["-k".to_owned(), "--http3".to_owned(), url], want));
        }
    }
}

/// Names with A and AAAA records, aliases, entries of `/etc/hosts`, and names with good and bad addresses.
pub(crate) fn names(cases: &mut Vec<Case>) {
    for (address, want) in all() {
        let url = format!("http://{}/", name_of(&[ip(address)]));
        cases.push(Case::new("DNS", [url], want));
    }
    for address in PUBLIC {
        // No system's resolver gives a mapped address for an AAAA question as anything but IPv6.
        let url = format!("http://{}/", name_of(&[ip(address)]));
        cases.push(Case::new("DNS", [url], Want::Reached(ip(address))));
    }
    for (address, want) in key() {
        let url = format!("http://c3.{}/", name_of(&[ip(address)]));
        cases.push(Case::new("CNAME", [url], want));
    }
    for (name, want) in [
        ("localhost", None),
        ("LOCALHOST", None),
        ("hosted-private", Some(refused("10.0.0.1"))),
        ("hosted-metadata", Some(refused("169.254.169.254"))),
        ("hosted-metadata6", Some(refused("fd00:ec2::254"))),
        ("hosted-public", Some(Want::Reached(ip("8.8.8.8")))),
    ] {
        // Either family of loopback may be named.
        let want = want.unwrap_or(Want::Harmless { public: Vec::new() });
        cases.push(Case::new("/etc/hosts", [format!("http://{name}/")], want));
    }
    // The addresses that are not public are left out; the others are as good as alone.
    for (addresses, reached) in [
        (&["8.8.8.8", "10.0.0.1"][..], "8.8.8.8"),
        (&["10.0.0.1", "8.8.8.8"], "8.8.8.8"),
        (&["169.254.169.254", "fd00:ec2::254", "8.8.8.8"], "8.8.8.8"),
        (&["fd00:ec2::254", "8.8.8.8"], "8.8.8.8"),
        (&["2606:4700::1111", "169.254.169.254"], "2606:4700::1111"),
        (&["::1", "2606:4700::1111"], "2606:4700::1111"),
        (&["::ffff:10.0.0.1", "8.8.8.8"], "8.8.8.8"),
    ] {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| ip(a)).collect();
        let url = format!("http://{}/", name_of(&addresses));
        cases.push(Case::new("mixed answers", [url], Want::Reached(ip(reached))));
    }
    for addresses in [&["10.0.0.1", "169.254.169.254"][..], &["::1", "127.0.0.1"]] {
        let all: Vec<IpAddr> = addresses.iter().map(|a| ip(a)).collect();
        let url = format!("http://{}/", name_of(&all));
        cases.push(Case::new("mixed answers", [url], Want::Harmless { public: Vec::new() }));
    }
}

/// Names whose address is another one at each question.
pub(crate) fn rebinding(cases: &mut Vec<Case>) {
    let special =
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "5.5.5.2", "192.168.0.1"];
    let v4 = special.map(|address| ("8.8.8.8", address));
    let special = ["::1", "fd00:ec2::254", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe"];
    let v6 = special.map(|address| ("2606:4700::1111", address));
    for (n, (public, special)) in v4.into_iter().chain(v6).enumerate() {
        let name = |word: &str, first: &str, then: &str| {
            format!("r.{word}{n}.{}", name_of(&[ip(first), ip(then)]))
        };
        let once = |name: String, want: Want| Case {
            asked_once: Some(name.clone()),
            ..Case::new("rebinding", [format!("http://{name}/")], want)
        };
        // One lookup, whose answer is held: what the name says later is not heard.
        cases.push(once(name("good", public, special), Want::Reached(ip(public))));
        cases.push(once(name("bad", special, public), refused(special)));
        // A second exchange looks up again, and its answer is judged again.
        let name = name("again", public, special);
        let to = redirect(&format!("http://{name}/")).replacen(PUBLIC_SERVER, &name, 1);
        cases.push(Case::new("rebinding", ["-L".to_owned(), to], refused(special)));
    }
}

/// `Location` headers of public servers.
pub(crate) fn redirects(cases: &mut Vec<Case>) {
    let follow = |location: String, want| {
        Case::new("redirect", ["-L".to_owned(), redirect(&location)], want)
    };
    for (address, want) in all() {
        cases.push(follow(url(ip(address)), want));
    }
    for (address, want) in key() {
        let name = name_of(&[ip(address)]);
        cases.push(follow(format!("http://{name}/"), want.clone()));
        cases.push(follow(format!("http://c1.{name}/x?y"), want.clone()));
        let secure = format!("https://{}/", SocketAddr::new(ip(address), 443));
        cases.push(Case::new("redirect", ["-kL", &redirect(&secure)], want.clone()));
        // From HTTPS to HTTP, and over two public servers.
        let down = redirect(&url(ip(address))).replacen("http:", "https:", 1);
        cases.push(Case::new("redirect", ["-kL", &down], want.clone()));
        cases.push(follow(redirect_by(307, &redirect_by(301, &url(ip(address)))), want));
    }
    for address in ["127.0.0.1", "169.254.169.254"] {
        for (spelling, must) in spellings(ip(address).to_string().parse().expect("IPv4")) {
            let want = match must {
                true => refused(address),
                false => Want::RefusedOrMalformed { address: ip(address) },
            };
            cases.push(follow(format!("http://{spelling}/"), want));
        }
    }
    let metadata = refused("169.254.169.254");
    for (location, want) in [
        ("//169.254.169.254/latest/meta-data/", metadata.clone()),
        ("HTTP://169.254.169.254/", metadata.clone()),
        ("http:/169.254.169.254/", metadata.clone()),
        (" http://169.254.169.254/", metadata.clone()),
        ("http://8.8.8.8@169.254.169.254/", metadata.clone()),
        ("http://169.254.169.254#@8.8.8.8/", metadata.clone()),
        ("http://169.254.169.254?@8.8.8.8/", metadata),
        ("http://169.254.169.254@8.8.8.8/", Want::Reached(ip("8.8.8.8"))),
    ] {
        cases.push(follow(location.to_owned(), want));
    }
    let public = [ip(PUBLIC_SERVER), ip("8.8.8.8")];
    for location in [
        "\\\\169.254.169.254\\",
        "/\\169.254.169.254/",
        "http:\\\\169.254.169.254\\",
        "http:169.254.169.254",
        "http:///169.254.169.254/",
        "http://8.8.8.8\\@169.254.169.254/",
        "http://169.254.169.254\\@8.8.8.8/",
        "http://169.254.169.254\t/",
        "http://169.254.\t169.254/",
        "ht\ttp://169.254.169.254/",
        "file:///etc/passwd",
        "gopher://169.254.169.254:80/_GET",
        "ftp://169.254.169.254/",
        "dict://169.254.169.254:80/x",
        "javascript:alert(1)",
        "http://[fe80::1%25wire]/",
        "http://[fe80::1%wire]/",
        "http://[::ffff:0x7f.1]/",
    ] {
        let end = "--max-redirs=3".to_owned();
        let args = ["-L".to_owned(), end, redirect(location)];
        cases.push(Case::new("redirect", args, Want::Harmless { public: public.into() }));
    }
}

/// `--resolve`: the address comes with the command.
pub(crate) fn resolve(cases: &mut Vec<Case>) {
    let pinned = |host: &str, value: String, want| {
        Case::new("--resolve", ["--resolve".to_owned(), value, format!("http://{host}/")], want)
    };
    for (address, want) in all() {
        let address = bracketed(ip(address));
        cases.push(pinned("pin.example", format!("pin.example:80:{address}"), want));
    }
    for (address, want) in key() {
        let text = bracketed(ip(address));
        cases.push(pinned("pin.example", format!("*:80:{text}"), want.clone()));
        cases.push(pinned("pin.example", format!("+pin.example:80:{text}"), want.clone()));
        // Also in place of a name that has a good address.
        let public = name_of(&[ip("1.1.1.1")]);
        cases.push(pinned(&public, format!("{public}:80:{text}"), want));
    }
    for (address, want) in key() {
        // A redirect to a pinned name.
        let value = format!("pin.example:80:{}", bracketed(ip(address)));
        let args = ["-L", "--resolve", &value, &redirect("http://pin.example/")];
        cases.push(Case::new("--resolve", args, want));
    }
    for (list, want) in [
        ("8.8.8.8,10.0.0.1", Want::Reached(ip("8.8.8.8"))),
        ("10.0.0.1,8.8.8.8", Want::Reached(ip("8.8.8.8"))),
        ("10.0.0.1,10.0.0.2", refused("10.0.0.1")),
    ] {
        cases.push(pinned("pin.example", format!("pin.example:80:{list}"), want));
    }
    for odd in
        ["127.1", "2130706433", "0x7f000001", "[fe80::1%25wire]", "fe80::1%wire", "localhost"]
    {
        let value = format!("pin.example:80:{odd}");
        cases.push(pinned("pin.example", value, Want::Harmless { public: Vec::new() }));
    }
}

/// `--connect-to`: the host and port come with the command, as an address or as a name.
pub(crate) fn connect_to(cases: &mut Vec<Case>) {
    let led = |value: String, want| {
        let url = "http://8.8.4.4/".to_owned();
        Case::new("--connect-to", ["--connect-to".to_owned(), value, url], want)
    };
    for (address, want) in key() {
        let text = bracketed(ip(address));
        cases.push(led(format!("::{text}:80"), want.clone()));
        cases.push(led(format!("8.8.4.4:80:{}:80", name_of(&[ip(address)])), want.clone()));
        let value = format!("1.1.1.1:80:{text}:80");
        let args = ["-L", "--connect-to", &value, &redirect("http://1.1.1.1/")];
        cases.push(Case::new("--connect-to", args, want));
    }
    // A rule for another host is none.
    cases.push(led("1.1.1.1:80:10.0.0.1:80".to_owned(), Want::Reached(ip("8.8.4.4"))));
    for odd in [
        "::localhost:80",
        "::127.1:80",
        "::2130706433:80",
        "::[fe80::1%25wire]:80",
        "::fe80::1%wire:80",
    ] {
        cases.push(led(odd.to_owned(), Want::Harmless { public: Vec::new() }));
    }
}

/// `--resolver`: a name server is a target as well, and what it answers is judged like any answer.
pub(crate) fn resolver(cases: &mut Vec<Case>) {
    let asking = |server: &str, name: String, want| {
        let url = format!("http://{name}/");
        Case::new("--resolver", ["--resolver".to_owned(), server.to_owned(), url], want)
    };
    let public = name_of(&[ip("8.8.8.8")]);
    let private_servers = ["10.0.0.53", "169.254.169.253", "fd00:ec2::253", "127.0.0.53"];
    for server in private_servers.into_iter().chain(KEY.iter().copied()) {
        let want = refused(server);
        cases.push(asking(server, public.clone(), want.clone()));
        let with_port = SocketAddr::new(ip(server), 5353).to_string();
        cases.push(asking(&with_port, public.clone(), want));
    }
    for (address, want) in key() {
        let name = name_of(&[ip(address)]);
        cases.push(asking(NAME_SERVER_V4, name.clone(), want.clone()));
        cases.push(asking(NAME_SERVER_V6, format!("c2.{name}"), want));
    }
    cases.push(asking(NAME_SERVER_V4, format!("t.{public}"), Want::Reached(ip("8.8.8.8"))));
    let name = |word: &str, first, then| format!("r.{word}.{}", name_of(&[ip(first), ip(then)]));
    for (name, want) in [
        (name("resolver-good", "8.8.8.8", "10.0.0.1"), Want::Reached(ip("8.8.8.8"))),
        (name("resolver-bad", "10.0.0.1", "8.8.8.8"), refused("10.0.0.1")),
    ] {
        let asked_once = Some(name.clone());
        cases.push(Case { asked_once, ..asking(NAME_SERVER_V4, name, want) });
    }
    for odd in ["fe80::1%wire", "[fe80::1%25wire]:53", "localhost", "127.1", "2130706433"] {
        cases.push(asking(odd, public.clone(), Want::Harmless { public: Vec::new() }));
    }
}

/// The store of the engine, at an address that looks public, by all ways: it is the operator's.
pub(crate) fn store(cases: &mut Vec<Case>) {
    let (address, port) = STORE.split_once(':').expect("an address with a port");
    let name = name_of(&[ip(address)]);
    let refused = |address| Want::Refused { address: ip(address), class: "never a target" };
    for url in [
        format!("http://{STORE}/"),
        format!("http://{address}/"),
        format!("http://84215049:{port}/_all_dbs"),
        format!("http://{name}:{port}/"),
        format!("http://c2.{name}:{port}/"),
    ] {
        cases.push(Case::new("store", ["-L".to_owned(), redirect(&url)], refused(address)));
        cases.push(Case::new("store", [url], refused(address)));
    }
    for mapped in ["::ffff:5.5.5.9", "64:ff9b::505:509", "2002:505:509::1"] {
        cases.push(Case::new("store", [format!("http://[{mapped}]:{port}/")], refused(mapped)));
    }
    for (option, value, host) in [
        ("--resolve", format!("pin.example:{port}:{address}"), "pin.example"),
        ("--connect-to", format!("::{STORE}"), "8.8.8.8"),
    ] {
        let args = [option.to_owned(), value, format!("http://{host}:{port}/")];
        cases.push(Case::new("store", args, refused(address)));
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
