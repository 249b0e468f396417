//! Tells whether a TCP port answers: an ordinary program, which knows nothing of blitz.
//!
//! It is checked against plugin.toml before it starts, and gets its arguments behind its name as any command does.
//! `std::net` works through the host, which looks at every address first; files and threads are not there.

use std::env;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A port that says nothing for so long is as good as closed.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match check(&args) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{{name}}: {problem}");
            // A command's status is 0 or 1: WASI 0.2 has no more. A plugin with the SDK has all of them.
            ExitCode::FAILURE
        }
    }
}

fn check(args: &[String]) -> Result<String, Box<dyn Error>> {
    let [host, port] = args else {
        return Err("which HOST and PORT?".into());
    };
    let port: u16 = port.parse()?;
    let address = (host.as_str(), port)
        .to_socket_addrs()?
        .next()
        .ok_or("the name has no address")?;
    let started = Instant::now();
    connect(address)?;
    Ok(format!(
        "{address} answers after {} ms",
        started.elapsed().as_millis()
    ))
}

/// Built for WASI, `connect_timeout` alone calls a port open that is not: only the socket knows how it ended.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => stream.peer_addr().map(|_| stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_listens_answers() -> Result<(), Box<dyn Error>> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port().to_string();
        let line = check(&["127.0.0.1".to_owned(), port.clone()])?;
        assert!(
            line.starts_with(&format!("127.0.0.1:{port} answers after ")),
            "{line}"
        );
        drop(listener);
        assert!(check(&["127.0.0.1".to_owned(), port]).is_err());
        Ok(())
    }
}
