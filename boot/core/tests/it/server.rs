//! A small web server on loopback: a bucket and instance metadata, as far as a machine at its first boot asks for them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What it has been asked: method, path, and headers with names in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A status and a body.
pub(crate) type Answer = (u16, Vec<u8>);

/// The status of an answer that breaks off before its last byte.
pub(crate) const CUT_OFF: u16 = 599;

/// Runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Request>>>,
    sent_bytes: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// A request that does not come is none.
const READ_MAX: Duration = Duration::from_secs(10);

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ends, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (its_end, its_requests) = (Arc::clone(&ends), Arc::clone(&asked));
        let sent_bytes = Arc::new(AtomicU64::new(0));
        let its_bytes = Arc::clone(&sent_bytes);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if its_end.load(Ordering::SeqCst) {
                    return;
                }
                // curl makes one connection for each of its requests here.
                if let Some(request) = serve(stream.unwrap(), &answer, &its_bytes) {
                    its_requests.lock().unwrap().push(request);
                }
            }
        });
        Self { address, ends, asked, sent_bytes, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes of bodies that were taken from it, or lie in sockets.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // It waits for a connection, and this is one.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

fn serve(
    stream: TcpStream,
    answer: &impl Fn(&Request) -> Answer,
    sent_bytes: &AtomicU64,
) -> Option<Request> {
    stream.set_read_timeout(Some(READ_MAX)).unwrap();
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    let request = Request { method, path, headers: headers.collect() };
    let (status, body) = answer(&request);
    let (status, length) = match status {
        CUT_OFF => (200, body.len() + 1),
        status => (status, body.len()),
    };
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let mut stream = &stream;
    let mut is_there = stream.write_all(head.as_bytes()).is_ok();
    for part in body.chunks(1 << 16) {
        // Who has enough of a body that is too long hangs up.
        is_there = is_there && stream.write_all(part).is_ok();
        let bytes = if is_there { part.len() } else { 0 };
        sent_bytes.fetch_add(u64::try_from(bytes).unwrap(), Ordering::SeqCst);
    }
    Some(request)
}
