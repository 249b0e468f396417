//! A small load worker, for tests of the runtime: what it does stands in the header `x-do` of the plan's first step.

#![expect(clippy::unwrap_used, reason = "a worker that cannot go on fails its test")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use blitz_contract::load::work::{Order, Said, Work};
use blitz_contract::load::{Closing, ErrorKind, First, StepTick, Tick, Verdict};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, connect, connect_unspec, listen,
    sendto, socket_with,
};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(50);

/// The life of a worker.
pub(crate) fn worker(mut line: UnixStream) -> ExitCode {
    let Some(Order::Work(work)) = read(&mut line) else { return ExitCode::FAILURE };
    let what = header(&work, "x-do");
    if what == "refuse" {
        say(&mut line, &Said::Refused("this worker cannot do that".to_owned()));
        return ExitCode::FAILURE;
    }
    say(&mut line, &Said::Ready);
    let Some(Order::Go { in_us }) = read(&mut line) else { return ExitCode::FAILURE };
    wait(&line, Duration::from_micros(in_us));
    match what.as_str() {
        "escape" => close(&mut line, &work, 0, Verdict::Ended, &escapes(&work)),
        "connects" => {
            let took = connects(work.targets[0].addresses[0], 1000);
            close(&mut line, &work, 0, Verdict::Ended, &took.as_nanos().to_string());
        }
        "hang" => loop {
            wait(&line, Duration::from_secs(1));
            if !is_open(&line) {
                return ExitCode::FAILURE;
            }
            // The word to stop stays unread.
        },
        // As one that was taken over may, until it is killed.
        "flood" => {
            let step =
                StepTick { errors: [(ErrorKind::Connect, u64::MAX)].into(), ..StepTick::default() };
            let tick = Tick { asked: u64::MAX, steps: vec![step], ..Tick::default() };
            let frame = frame(&Said::Tick(Box::new(tick))).repeat(1000);
            while line.write_all(&frame).is_ok() {}
            return ExitCode::FAILURE;
        }
        "die" if work.share.index > 0 => {
            say(&mut line, &Said::Tick(Box::new(Tick { sent: 100, ..Tick::default() })));
            panic!("asked to die");
        }
        _ => send(&mut line, &work),
    }
    ExitCode::SUCCESS
}

/// One request after the other, until the plan's end or the word to stop.
fn send(line: &mut UnixStream, work: &Work) {
    let begun = Instant::now();
    let (mut second, mut sent) = (0, 0);
    let over = begun + work.plan.shape.duration();
    loop {
        request(work);
        sent += 1;
        let now = begun.elapsed().as_secs().try_into().unwrap();
        if now > second {
            say(line, &Said::Tick(Box::new(Tick { second, sent, users: 1, ..Tick::default() })));
            (second, sent) = (now, 0);
        }
        let stops = wait(line, PAUSE);
        if stops || Instant::now() >= over {
            let verdict = if stops { Verdict::Stopped } else { Verdict::Ended };
            let closing = Closing { share: work.share, verdict, text: String::new(), at_us: None };
            let last = Tick { second, sent, closing: Some(closing), ..Tick::default() };
            return say(line, &Said::Tick(Box::new(last)));
        }
    }
}

fn request(work: &Work) {
    let socket = socket(SocketType::STREAM, SocketFlags::NONBLOCK).unwrap();
    let address = work.targets[0].addresses[0];
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => panic!("connect to {address}: {error}"),
    }
    ready(&socket, PollFlags::OUT);
    let mut file = File::from(socket);
    let agent = header(work, "user-agent");
    file.write_all(format!("GET / HTTP/1.1\r\nuser-agent: {agent}\r\n\r\n").as_bytes()).unwrap();
    ready(&file, PollFlags::IN);
    assert!(file.read(&mut [0; 1024]).unwrap() > 0);
}

/// What a worker that was taken over would try, each with the number of its error.
fn escapes(work: &Work) -> String {
    let target = work.targets[0].addresses[0];
    let other: SocketAddr = header(work, "x-other").parse().unwrap();
    let tcp = || socket(SocketType::STREAM, SocketFlags::NONBLOCK).unwrap();
    let io = |e: std::io::Error| e.raw_os_error().unwrap_or(-1);
    let os = |e: Errno| e.raw_os_error();
    let tries = [
        ("process", File::open("/proc/self/schedstat").map(drop).map_err(io)),
        ("thread", File::open("/proc/thread-self/schedstat").map(drop).map_err(io)),
        ("target", connect(tcp(), &target).map_err(os)),
        ("elsewhere", connect(tcp(), &other).map_err(os)),
        ("unspecified", connect_unspec(tcp()).map_err(os)),
        (
            "blocking",
            connect(socket(SocketType::STREAM, SocketFlags::empty()).unwrap(), &target).map_err(os),
        ),
        ("read", File::open("/etc/passwd").map(drop).map_err(io)),
        ("memory", File::open("/proc/self/mem").map(drop).map_err(io)),
        ("write", File::create("/tmp/blitz-escape").map(drop).map_err(io)),
        ("udp", socket(SocketType::DGRAM, SocketFlags::NONBLOCK).map(drop).map_err(os)),
        ("raw", socket(SocketType::RAW, SocketFlags::NONBLOCK).map(drop).map_err(os)),
        ("unix", UnixStream::pair().map(drop).map_err(io)),
        ("sendto", sendto(tcp(), b"x", SendFlags::empty(), &other).map(drop).map_err(os)),
        ("sendmsg", sendmsg(&tcp(), other).map_err(os)),
        ("bind", bind(tcp(), &SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).map_err(os)),
        ("port", bind(tcp(), &SocketAddr::from((Ipv4Addr::LOCALHOST, 9))).map_err(os)),
        ("source", bind(tcp(), &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(os)),
        ("listen", listen(tcp(), 1).map_err(os)),
        ("fork", Command::new("/bin/true").spawn().map(drop).map_err(io)),
        ("another", std::thread::Builder::new().spawn(|| {}).map(drop).map_err(io)),
        ("execve", Err(io(Command::new("/bin/true").exec()))),
        ("signal", rustix::process::test_kill_process(rustix::process::Pid::INIT).map_err(os)),
    ];
    let words = tries.map(|(name, tried)| format!("{name}={}", tried.err().unwrap_or(0)));
    words.join(" ")
}

fn sendmsg(to: &OwnedFd, address: SocketAddr) -> Result<(), Errno> {
    let mut control = rustix::net::SendAncillaryBuffer::default();
    let bytes = [std::io::IoSlice::new(b"x")];
    rustix::net::sendmsg_addr(to, &address, &bytes, &mut control, SendFlags::empty()).map(drop)
}

/// Time of so many connects, of the calls alone.
pub(crate) fn connects(address: SocketAddr, count: u32) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..count {
        let socket = socket(SocketType::STREAM, SocketFlags::NONBLOCK).unwrap();
        let begun = Instant::now();
        let connected = connect(&socket, &address);
        took += begun.elapsed();
        assert!(matches!(connected, Ok(()) | Err(Errno::INPROGRESS)), "{connected:?}");
    }
    took / count
}

fn close(line: &mut UnixStream, work: &Work, second: u32, verdict: Verdict, text: &str) {
    let first = First { kind: ErrorKind::Connect, at_ms: 0, users: 1, text: text.to_owned() };
    let closing = Some(Closing { share: work.share, verdict, text: String::new(), at_us: None });
    say(
        line,
        &Said::Tick(Box::new(Tick { second, firsts: vec![first], closing, ..Tick::default() })),
    );
}

fn socket(kind: SocketType, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::INET, kind, flags | SocketFlags::CLOEXEC, None)
}

fn header(work: &Work, name: &str) -> String {
    let mut headers = work.plan.steps[0].headers.iter();
    headers.find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn ready(of: impl std::os::fd::AsFd, what: PollFlags) {
    poll(&mut [PollFd::new(&of, what)], None).unwrap();
}

/// Waits; true when the engine said something meanwhile.
fn wait(line: &UnixStream, time: Duration) -> bool {
    let time = Timespec {
        tv_sec: time.as_secs().try_into().unwrap(),
        tv_nsec: time.subsec_nanos().into(),
    };
    poll(&mut [PollFd::new(line, PollFlags::IN)], Some(&time)).unwrap() > 0
}

fn is_open(line: &UnixStream) -> bool {
    let mut seen = [PollFd::new(line, PollFlags::IN)];
    poll(&mut seen, Some(&Timespec::default())).unwrap();
    !seen[0].revents().contains(PollFlags::HUP)
}

fn read(line: &mut UnixStream) -> Option<Order> {
    let mut length = [0; 4];
    line.read_exact(&mut length).ok()?;
    let mut json = vec![0; u32::from_le_bytes(length).try_into().ok()?];
    line.read_exact(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

fn say(line: &mut UnixStream, said: &Said) {
    // An engine that is gone is seen by the next read.
    line.write_all(&frame(said)).ok();
}

fn frame(said: &Said) -> Vec<u8> {
    let json = serde_json::to_vec(said).unwrap();
    let mut frame = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(json);
    frame
}
