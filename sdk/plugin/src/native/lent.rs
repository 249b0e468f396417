//! The host's table as a [`Host`].

use std::io::{self, LineWriter, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::time::Duration;

use blitz_contract::native::wire::ask;
use blitz_contract::native::{Bytes, Connect, HostTable, OK, STDERR, STDOUT, TwoTexts};

use super::load::LentTest;
use super::{borrow, paths, words};
use crate::dns;
use crate::host::{Host, HostError};
use crate::load::{LoadTest, Plan};
use crate::probes::{Network, Session, Target};
use crate::web;

/// How long a UDP socket may take to be made: its name is looked up.
const UDP_TIMEOUT_MS: u64 = 10_000;

/// The host of one run.
pub(super) struct Lent {
    host: &'static HostTable,
    stdout: LineWriter<Printed>,
    stderr: LineWriter<Printed>,
}

impl Lent {
    pub(super) fn new(host: &'static HostTable) -> Self {
        let printed = |stream| LineWriter::new(Printed { host, stream });
        Self { host, stdout: printed(STDOUT), stderr: printed(STDERR) }
    }

    /// The answer of one host function, or its refusal.
    fn ask(&self, call: impl FnOnce(*mut Bytes) -> u32) -> Result<Vec<u8>, HostError> {
        paths::heard(call)
    }

    fn two(&self, function: TwoTexts, one: &[u8], two: &[u8]) -> Result<(), HostError> {
        let context = self.host.context;
        // SAFETY: the host's own function, with its context and bytes that live as long as the call.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let answer =
            self.ask(|out| unsafe { function(context, Bytes::of(one), Bytes::of(two), out) });
        answer.map(drop)
    }

    fn socket(
        &self,
        function: Connect,
        host: &str,
        port: u16,
        ms: u64,
    ) -> Result<OwnedFd, HostError> {
        let (context, host) = (self.host.context, Bytes::of(host.as_bytes()));
        let mut descriptor = -1;
        // SAFETY: as above; the descriptor lives here.
        #[expect(unsafe_code, reason = "the tables are of C")]
        self.ask(|out| unsafe { function(context, host, port, ms, &raw mut descriptor, out) })?;
        // SAFETY: the host gives the socket away, to this plugin alone.
        #[expect(unsafe_code, reason = "a descriptor from C")]
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(socket)
    }
}

impl Host for Lent {
    fn stdout(&mut self) -> &mut dyn Write {
        &mut self.stdout
    }

    fn stderr(&mut self) -> &mut dyn Write {
        &mut self.stderr
    }

    fn read_input(
        &mut self,
        name: &str,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Vec<u8>, HostError> {
        let HostTable { context, read_input, .. } = *self.host;
        let name = Bytes::of(name.as_bytes());
        // SAFETY: as in `two`.
        #[expect(unsafe_code, reason = "the tables are of C")]
        self.ask(|out| unsafe { read_input(context, name, offset, bytes_max, out) })
    }

    fn write_output(&mut self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        self.two(self.host.write_output, name.as_bytes(), bytes)
    }

    fn emit(&mut self, kind: &str, body: &str) -> Result<(), HostError> {
        self.two(self.host.emit, kind.as_bytes(), body.as_bytes())
    }

    fn exchange(&mut self, request: &web::Request) -> Result<web::Answer, web::Failure> {
        let json = words::request(request);
        let body = request.body.as_deref().map_or(Bytes::NONE, Bytes::of);
        let HostTable { context, exchange, .. } = *self.host;
        let mut out = Bytes::NONE;
        // SAFETY: as in `two`.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let status = unsafe { exchange(context, Bytes::of(json.as_bytes()), body, &raw mut out) };
        let answer = borrow(out).to_vec();
        if status != OK {
            return Err(words::failure(&answer));
        }
        words::answer(&answer, |handle| Box::new(LentBody { host: self.host, handle }))
    }

    fn connect(
        &mut self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<TcpStream, HostError> {
        self.socket(self.host.connect, host, port, web::milliseconds(timeout)).map(TcpStream::from)
    }

    fn connect_udp(&mut self, host: &str, port: u16) -> Result<UdpSocket, HostError> {
        self.socket(self.host.connect_udp, host, port, UDP_TIMEOUT_MS).map(UdpSocket::from)
    }

    fn lookup(&mut self, question: &dns::Question) -> Result<dns::Answer, HostError> {
        let json = words::question(question);
        let HostTable { context, lookup, .. } = *self.host;
        // SAFETY: as in `two`.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let answer = self.ask(|out| unsafe { lookup(context, Bytes::of(json.as_bytes()), out) })?;
        words::answers(&answer)
    }

    fn dns_exchange(&mut self, message: &dns::Message) -> Result<dns::Reply, HostError> {
        paths::ask(self.host, ask::DNS_EXCHANGE, message)
    }

    fn probes(&mut self, target: &Target) -> Result<Box<dyn Session>, HostError> {
        Ok(Box::new(paths::LentSession::open(self.host, target)?))
    }

    fn networks(&mut self, addresses: &[IpAddr]) -> Result<Vec<Option<Network>>, HostError> {
        paths::ask(self.host, ask::NETWORKS_WHOSE, addresses)
    }

    fn load(&mut self, plan: &Plan) -> Result<Box<dyn LoadTest>, HostError> {
        Ok(Box::new(LentTest::start(self.host, plan)?))
    }

    fn count(&mut self, name: &str, by: u64) -> Result<(), HostError> {
        let HostTable { context, count, .. } = *self.host;
        let name = Bytes::of(name.as_bytes());
        // SAFETY: as in `two`.
        #[expect(unsafe_code, reason = "the tables are of C")]
        self.ask(|out| unsafe { count(context, name, by, out) }).map(drop)
    }

    fn observe(&mut self, name: &str, values: &[u64]) -> Result<(), HostError> {
        let HostTable { context, observe, .. } = *self.host;
        let name = Bytes::of(name.as_bytes());
        let (first, length) = (values.as_ptr(), values.len());
        // SAFETY: as in `two`.
        #[expect(unsafe_code, reason = "the tables are of C")]
        self.ask(|out| unsafe { observe(context, name, first, length, out) }).map(drop)
    }

    fn time_left(&mut self) -> Duration {
        let HostTable { context, time_left_ms, .. } = *self.host;
        // SAFETY: the host's own function with its context.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let left = unsafe { time_left_ms(context) };
        Duration::from_millis(left)
    }

    fn is_cancelled(&mut self) -> bool {
        let HostTable { context, is_cancelled, .. } = *self.host;
        // SAFETY: the host's own function with its context.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let cancelled = unsafe { is_cancelled(context) };
        cancelled != 0
    }

    fn pause(&mut self, time: Duration) -> bool {
        let HostTable { context, pause, .. } = *self.host;
        // SAFETY: the host's own function with its context.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let early = unsafe { pause(context, web::milliseconds(time)) };
        early != 0
    }
}

/// stdout or stderr.
struct Printed {
    host: &'static HostTable,
    stream: u32,
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let HostTable { context, write, .. } = *self.host;
        // SAFETY: the host's own function with its context and bytes that live as long as the call.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let status = unsafe { write(context, self.stream, Bytes::of(bytes)) };
        if status == OK { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of an answer, with the connection behind it.
struct LentBody {
    host: &'static HostTable,
    handle: u64,
}

impl std::fmt::Debug for LentBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LentBody").field(&self.handle).finish()
    }
}

impl web::Body for LentBody {
    fn read(&mut self, bytes_max: u32) -> Result<Vec<u8>, web::Failure> {
        let HostTable { context, body_read, .. } = *self.host;
        let mut out = Bytes::NONE;
        // SAFETY: the host's own function with its context, and a handle that it gave.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let status = unsafe { body_read(context, self.handle, bytes_max, &raw mut out) };
        let answer = borrow(out).to_vec();
        if status == OK { Ok(answer) } else { Err(words::failure(&answer)) }
    }

    fn total_us(&self) -> u64 {
        let HostTable { context, body_total_us, .. } = *self.host;
        // SAFETY: as in `read`.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let total = unsafe { body_total_us(context, self.handle) };
        total
    }
}

impl Drop for LentBody {
    fn drop(&mut self) {
        let HostTable { context, body_close, .. } = *self.host;
        // SAFETY: as in `read`; nobody has the handle any more.
        #[expect(unsafe_code, reason = "the tables are of C")]
        unsafe {
            body_close(context, self.handle);
        }
    }
}
