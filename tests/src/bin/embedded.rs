//! The embedded store as a process, for clients that are processes, too.
//!
//! In memory, with the administrator `admin:pw`, on a port that the system chooses: its address is the
//! first line on standard output. It ends when its standard input does, so that it never outlives a test.

use std::io::{Read as _, Write as _};

use blitz_embedded::{Admin, Options, Storage, Store, serve};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let admins = vec![Admin { name: "admin".to_owned(), password: "pw".to_owned() }];
    let store = Store::open(Storage::Memory, Options { admins, ..Options::default() })?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://admin:pw@{}", listener.local_addr()?)?;
    let stop = CancellationToken::new();
    let ended = stop.clone();
    std::thread::spawn(move || {
        // Whatever ends the reading ends the server.
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        ended.cancel();
    });
    serve(store, listener, stop).await?;
    Ok(())
}
