//! The Unix command `whois` (RFC 3912), as an ordinary program that knows nothing of blitz: built to WASM and packed
//! with a `plugin.toml`, it runs in every region.

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

/// The one that knows who knows more.
const ROOT: &str = "whois.iana.org";
const PORT: u16 = 43;
/// Servers of registries are slow, and some never answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// IANA, the registry, the registrar.
const REFERRALS_MAX: usize = 3;
/// More than any record, so that a server cannot fill the memory.
const ANSWER_MAX_BYTES: u64 = 1024 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match whois(&args) {
        Ok(answer) => match io::stdout().write_all(answer.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(problem) => {
            eprintln!("whois: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The answer of the last server that knows something.
fn whois(args: &[String]) -> Result<String, Box<dyn Error>> {
    let (server, name) = parse(args)?;
    if let Some(server) = server {
        return ask(server, name);
    }
    let mut server = ROOT.to_owned();
    let mut answer = ask(&server, name)?;
    for _ in 0..REFERRALS_MAX {
        let Some(next) = referral(&answer).filter(|next| *next != server) else { break };
        server = next;
        match ask(&server, name) {
            Ok(more) => answer = more,
            Err(problem) => {
                eprintln!("whois: {problem}");
                break;
            }
        }
    }
    Ok(answer)
}

fn parse(args: &[String]) -> Result<(Option<&str>, &str), Box<dyn Error>> {
    let (mut server, mut name) = (None, None);
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "-h" || word == "--server" {
            server = Some(words.next().ok_or("which server?")?);
        } else if let Some(value) = word.strip_prefix("--server=") {
            server = Some(value);
        } else if let Some(value) = word.strip_prefix("-h") {
            server = Some(value);
        } else if word != "--" {
            name = Some(word);
        }
    }
    let name = name.ok_or("which domain, address or AS number?")?;
    // A line break would be a second question.
    if name.contains(char::is_control) {
        return Err("a name has no control characters".into());
    }
    Ok((server, name))
}

fn ask(server: &str, name: &str) -> Result<String, Box<dyn Error>> {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse()?),
        _ => (server, PORT),
    };
    let named = |error: io::Error| format!("{server}: {error}");
    let address = (host, port).to_socket_addrs().map_err(named)?.next();
    let address = address.ok_or_else(|| format!("{server} has no address"))?;
    let mut stream = connect(address).map_err(named)?;
    stream.write_all(format!("{name}\r\n").as_bytes()).map_err(named)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).map_err(named)?;
    // Old servers speak Latin-1.
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Built for WASI, `connect_timeout` alone gives a refused connection out as a success: only the socket knows how it
/// ended.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => stream.peer_addr().map(|_| stream),
    }
}

/// The server that an answer sends us to.
fn referral(answer: &str) -> Option<String> {
    const KEYS: [&str; 3] = ["refer:", "whois:", "registrar whois server:"];
    answer.lines().find_map(|line| {
        let line = line.trim().to_ascii_lowercase();
        let server = KEYS.iter().find_map(|key| line.strip_prefix(key))?.trim();
        (!server.is_empty()).then(|| server.trim_start_matches("whois://").to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn referrals_are_found() {
        for (answer, wanted) in [
            (
                "refer:        whois.verisign-grs.com\n\ndomain: COM\n",
                Some("whois.verisign-grs.com"),
            ),
            ("   Registrar WHOIS Server: Whois.Example.NET\n", Some("whois.example.net")),
            ("domain: example.org\nwhois:\n", None),
            ("", None),
        ] {
            assert_eq!(referral(answer).as_deref(), wanted, "{answer:?}");
        }
    }

    #[test]
    fn arguments_are_those_of_the_command() -> Result<(), Box<dyn Error>> {
        for line in ["-h host example.com", "example.com --server=host", "-hhost -- example.com"] {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(parse(&args)?, (Some("host"), "example.com"), "{line}");
        }
        assert!(parse(&["a\r\nb".to_owned()]).is_err());
        assert!(parse(&[]).is_err());
        Ok(())
    }
}
