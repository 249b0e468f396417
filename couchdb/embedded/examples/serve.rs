//! Serves a store: `cargo run -p blitz-embedded --example serve -- ADDR DIRECTORY|memory [NAME:PASSWORD]`.
//!
//! Prints the address once it listens (port 0 lets the system choose one), and ends on ^C.

use blitz_embedded::{Admin, Options, Storage, Store, serve};
use std::io::Write as _;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: serve ADDR DIRECTORY|memory [NAME:PASSWORD]";
    let address = arguments.next().ok_or(usage)?;
    let storage = match arguments.next().ok_or(usage)?.as_str() {
        "memory" => Storage::Memory,
        directory => Storage::Directory(directory.into()),
    };
    let admin = arguments.next().and_then(|pair| {
        let (name, password) = pair.split_once(':')?;
        Some(Admin { name: name.to_owned(), password: password.to_owned() })
    });
    let store = Store::open(storage, Options { admin, ..Options::default() })?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let stop = CancellationToken::new();
    let on_interrupt = stop.clone();
    let interrupt = async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
    };
    let (served, ()) = tokio::join!(serve(store, listener, stop), interrupt);
    Ok(served?)
}
