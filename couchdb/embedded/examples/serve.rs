//! Serves a store: `cargo run -p blitz-embedded --example serve -- ADDR DIRECTORY|memory [NAME:PASSWORD] [KEY..]`.
//!
//! A `KEY` checks bearer tokens: `hmac:KID=SECRET`, or `hmac:KID=@FILE`, `rsa:KID=@FILE`, `ec:KID=@FILE`
//! with the key in a file. Prints the address once it listens (port 0 lets the system choose one), and
//! ends on ^C.

use blitz_embedded::{Admin, Options, Storage, Store, TokenAlgorithm, TokenKey, serve};
use std::io::Write as _;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage =
        "usage: serve ADDR DIRECTORY|memory [NAME:PASSWORD] [hmac|rsa|ec:KID=SECRET|@FILE..]";
    let address = arguments.next().ok_or(usage)?;
    let storage = match arguments.next().ok_or(usage)?.as_str() {
        "memory" => Storage::Memory,
        directory => Storage::Directory(directory.into()),
    };
    let admins = arguments.next().and_then(|pair| {
        let (name, password) = pair.split_once(':')?;
        Some(Admin { name: name.to_owned(), password: password.to_owned() })
    });
    let admins = admins.into_iter().collect();
    let token_keys = arguments.map(|text| token_key(&text)).collect::<Result<_, _>>()?;
    let store = Store::open(storage, Options { admins, token_keys, ..Options::default() })?;
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

fn token_key(text: &str) -> Result<TokenKey, Box<dyn std::error::Error>> {
    let wrong = || format!("{text:?} is no token key: give hmac:KID=SECRET or rsa:KID=@FILE");
    let (algorithm, rest) = text.split_once(':').ok_or_else(wrong)?;
    let (id, key) = rest.split_once('=').ok_or_else(wrong)?;
    let algorithm = match algorithm {
        "hmac" => TokenAlgorithm::Hmac,
        "rsa" => TokenAlgorithm::Rsa,
        "ec" => TokenAlgorithm::Ec,
        _ => return Err(wrong().into()),
    };
    let key = match key.strip_prefix('@') {
        Some(file) => std::fs::read(file)?,
        None => key.as_bytes().to_vec(),
    };
    Ok(TokenKey { id: id.to_owned(), algorithm, key })
}
