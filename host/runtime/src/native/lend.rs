//! The functions that a caged plugin is lent: each is one frame to the engine, and its answer.
//!
//! An answer lies here until the plugin's next call.

use std::ffi::c_void;
use std::os::fd::{IntoRawFd as _, OwnedFd};

use blitz_contract::native::{
    Bytes, DENIED, FAILED, HostTable, LIMIT, MAGIC, MAJOR, MINOR, OK, STDERR, STDOUT, wire,
};
use serde::de::DeserializeOwned;

use super::frame::{Ask, BODY_MAX_BYTES, PIECE_MAX_BYTES, Reply, VALUES_MAX};
use super::line::{Line, LineError, Received};

/// What `context` points to.
pub(super) struct Lender<'a> {
    line: &'a mut Line,
    /// What `out` showed last.
    answer: Vec<u8>,
    failed: Option<LineError>,
}

impl<'a> Lender<'a> {
    pub(super) fn new(line: &'a mut Line) -> Self {
        Self { line, answer: Vec::new(), failed: None }
    }

    /// Why the engine cannot be asked any more.
    pub(super) fn failed(self) -> Option<LineError> {
        self.failed
    }

    /// Asks, and keeps what was answered.
    fn ask(&mut self, ask: &Ask, body: &[u8]) -> (Reply, Option<OwnedFd>) {
        match self.exchange(ask, body) {
            Ok(Received { header: reply, body, mut descriptors, is_cut }) => {
                self.answer = body;
                if is_cut {
                    return (
                        self.refuse(
                            LIMIT,
                            "the run's limit of open sockets is reached; close one first",
                        ),
                        None,
                    );
                }
                (reply, descriptors.pop())
            }
            Err(LineError::Frame(error)) => (self.refuse(LIMIT, &error.to_string()), None),
            Err(error) => {
                let reply = self.refuse(FAILED, &error.to_string());
                self.failed = Some(error);
                (reply, None)
            }
        }
    }

    fn exchange(&mut self, ask: &Ask, body: &[u8]) -> Result<Received<Reply>, LineError> {
        self.line.send(ask, body)?;
        self.line.receive()
    }

    fn refuse(&mut self, status: u32, text: &str) -> Reply {
        self.answer = text.as_bytes().to_vec();
        Reply { status, number: 0 }
    }
}

pub(super) fn host_table(lender: &mut Lender<'_>) -> HostTable {
    HostTable {
        magic: MAGIC,
        major: MAJOR,
        minor: MINOR,
        size: size_of::<HostTable>(),
        context: std::ptr::from_mut(lender).cast(),
        write,
        read_input,
        write_output,
        emit,
        count,
        observe,
        lookup,
        exchange,
        body_read,
        body_total_us,
        body_close,
        connect,
        connect_udp,
        time_left_ms,
        is_cancelled,
        pause,
        ask,
    }
}

/// Bytes that the plugin lends for a call.
pub(super) fn borrow<'a>(bytes: Bytes) -> &'a [u8] {
    if bytes.ptr.is_null() || bytes.len == 0 {
        return &[];
    }
    // SAFETY: the contract says that they are there; a plugin that lies harms this process only.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let lent = unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) };
    lent
}

fn text(bytes: Bytes) -> String {
    String::from_utf8_lossy(borrow(bytes)).into_owned()
}

fn lender<'a>(context: *mut c_void) -> &'a mut Lender<'a> {
    // SAFETY: the plugin hands back the pointer of its table, on the one thread that there is, and no call is
    // made within another.
    #[expect(unsafe_code, reason = "the tables are of C")]
    let lender = unsafe { &mut *context.cast::<Lender<'_>>() };
    lender
}

/// Writes an answer where the plugin wants it, if it wants it.
fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: the contract says that it points to a `T` of the plugin.
        #[expect(unsafe_code, reason = "the tables are of C")]
        unsafe {
            place.write_unaligned(value);
        }
    }
}

/// One ask with an answer in bytes.
fn answer(context: *mut c_void, ask: &Ask, body: &[u8], out: *mut Bytes) -> u32 {
    let lender = lender(context);
    let (reply, _) = lender.ask(ask, body);
    put(out, Bytes::of(&lender.answer));
    reply.status
}

fn number(context: *mut c_void, ask: &Ask) -> u64 {
    lender(context).ask(ask, &[]).0.number
}

fn refuse(context: *mut c_void, status: u32, text: &str, out: *mut Bytes) -> u32 {
    let lender = lender(context);
    let reply = lender.refuse(status, text);
    put(out, Bytes::of(&lender.answer));
    reply.status
}

/// Asks once for each piece; an empty text is one piece.
fn pieces(context: *mut c_void, ask: &Ask, whole: &[u8], out: *mut Bytes) -> u32 {
    let mut rest = whole;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(PIECE_MAX_BYTES));
        rest = behind;
        let status = answer(context, ask, piece, out);
        if status != OK || rest.is_empty() {
            return status;
        }
    }
}

fn parse<T: DeserializeOwned>(json: Bytes) -> Result<T, String> {
    serde_json::from_slice(borrow(json)).map_err(|e| e.to_string())
}

extern "C" fn write(context: *mut c_void, stream: u32, bytes: Bytes) -> u32 {
    match (stream, borrow(bytes)) {
        (STDOUT | STDERR, []) => OK,
        (STDOUT | STDERR, bytes) => {
            pieces(context, &Ask::Write { stream }, bytes, std::ptr::null_mut())
        }
        _ => FAILED,
    }
}

extern "C" fn read_input(
    context: *mut c_void,
    name: Bytes,
    offset: u64,
    bytes_max: u32,
    out: *mut Bytes,
) -> u32 {
    answer(context, &Ask::ReadInput { name: text(name), offset, bytes_max }, &[], out)
}

extern "C" fn write_output(
    context: *mut c_void,
    name: Bytes,
    bytes: Bytes,
    out: *mut Bytes,
) -> u32 {
    pieces(context, &Ask::WriteOutput { name: text(name) }, borrow(bytes), out)
}

extern "C" fn emit(context: *mut c_void, kind: Bytes, body: Bytes, out: *mut Bytes) -> u32 {
    answer(context, &Ask::Emit { kind: text(kind) }, borrow(body), out)
}

extern "C" fn count(context: *mut c_void, name: Bytes, by: u64, out: *mut Bytes) -> u32 {
    answer(context, &Ask::Count { name: text(name), by }, &[], out)
}

extern "C" fn observe(
    context: *mut c_void,
    name: Bytes,
    values: *const u64,
    length: usize,
    out: *mut Bytes,
) -> u32 {
    let values: &[u64] = if values.is_null() || length == 0 {
        &[]
    } else {
        // SAFETY: as in `borrow`.
        #[expect(unsafe_code, reason = "the tables are of C")]
        let values = unsafe { std::slice::from_raw_parts(values, length) };
        values
    };
    let ask = Ask::Observe { name: text(name) };
    if values.is_empty() {
        return answer(context, &ask, &[], out);
    }
    for part in values.chunks(VALUES_MAX) {
        let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
        let status = answer(context, &ask, &bytes, out);
        if status != OK {
            return status;
        }
    }
    OK
}

extern "C" fn lookup(context: *mut c_void, question: Bytes, out: *mut Bytes) -> u32 {
    match parse(question) {
        Ok(question) => answer(context, &Ask::Lookup(question), &[], out),
        Err(error) => refuse(context, FAILED, &format!("the question is not one: {error}"), out),
    }
}

extern "C" fn exchange(context: *mut c_void, request: Bytes, body: Bytes, out: *mut Bytes) -> u32 {
    let has_body = !body.ptr.is_null();
    let bytes = borrow(body);
    let asked = match parse(request) {
        Ok(_) if bytes.len() > BODY_MAX_BYTES => Err((
            wire::FailureKind::Limit,
            format!(
                "a native plugin sends at most {BODY_MAX_BYTES} bytes in one request, not {}",
                bytes.len()
            ),
        )),
        Ok(request) => Ok(Ask::Exchange { request, has_body }),
        Err(error) => {
            Err((wire::FailureKind::Protocol, format!("the request is not one: {error}")))
        }
    };
    match asked {
        Ok(ask) => answer(context, &ask, bytes, out),
        Err((kind, text)) => {
            let (phases, connection) = (wire::Phases::default(), wire::Connection::default());
            let failure = wire::Failure { kind, text, phases, connection };
            let json = serde_json::to_string(&failure).unwrap_or_default();
            refuse(context, FAILED, &json, out)
        }
    }
}

extern "C" fn body_read(context: *mut c_void, body: u64, bytes_max: u32, out: *mut Bytes) -> u32 {
    answer(context, &Ask::BodyRead { body, bytes_max }, &[], out)
}

extern "C" fn body_total_us(context: *mut c_void, body: u64) -> u64 {
    number(context, &Ask::BodyTotal { body })
}

extern "C" fn body_close(context: *mut c_void, body: u64) {
    number(context, &Ask::BodyClose { body });
}

fn connects(context: *mut c_void, ask: &Ask, descriptor: *mut i32, out: *mut Bytes) -> u32 {
    let lender = lender(context);
    let (reply, socket) = lender.ask(ask, &[]);
    let reply = match (reply.status, socket) {
        (OK, None) => lender.refuse(DENIED, "the engine sent no socket"),
        (OK, Some(socket)) => {
            // From here on it is the plugin's to close.
            put(descriptor, socket.into_raw_fd());
            reply
        }
        _ => reply,
    };
    put(out, Bytes::of(&lender.answer));
    reply.status
}

extern "C" fn connect(
    context: *mut c_void,
    host: Bytes,
    port: u16,
    timeout_ms: u64,
    descriptor: *mut i32,
    out: *mut Bytes,
) -> u32 {
    let ask = Ask::Connect { udp: false, host: text(host), port, timeout_ms };
    connects(context, &ask, descriptor, out)
}

extern "C" fn connect_udp(
    context: *mut c_void,
    host: Bytes,
    port: u16,
    timeout_ms: u64,
    descriptor: *mut i32,
    out: *mut Bytes,
) -> u32 {
    let ask = Ask::Connect { udp: true, host: text(host), port, timeout_ms };
    connects(context, &ask, descriptor, out)
}

extern "C" fn time_left_ms(context: *mut c_void) -> u64 {
    number(context, &Ask::TimeLeft)
}

extern "C" fn is_cancelled(context: *mut c_void) -> u32 {
    u32::from(number(context, &Ask::IsCancelled) != 0)
}

extern "C" fn pause(context: *mut c_void, ms: u64) -> u32 {
    u32::from(number(context, &Ask::Pause { ms }) != 0)
}

extern "C" fn ask(context: *mut c_void, import: Bytes, question: Bytes, out: *mut Bytes) -> u32 {
    answer(context, &Ask::ByName { import: text(import) }, borrow(question), out)
}
