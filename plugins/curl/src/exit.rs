//! What went wrong, in curl's numbers and words.

use blitz_plugin::HostError;
use blitz_plugin::web::{Failure, FailureKind};

/// The exit codes: curl's, and blitz's own for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Not `http` or `https`, or the peer does not speak HTTP.
    UnsupportedProtocol = 1,
    /// The command line cannot be carried out.
    Usage = 2,
    /// The URL is not one.
    UrlMalformed = 3,
    /// The engine cannot do what was asked for.
    NotBuiltIn = 4,
    /// The name has no address.
    CouldNotResolve = 6,
    /// No address accepted a connection.
    CouldNotConnect = 7,
    /// The answer is HTTP, but broken.
    WeirdServerReply = 8,
    /// The connection was closed before the body was whole.
    PartialFile = 18,
    /// With `-f`: a status of 400 and above.
    HttpReturnedError = 22,
    /// The output could not be written.
    WriteError = 23,
    /// A file of the command line could not be read.
    ReadError = 26,
    /// A time limit passed.
    TimedOut = 28,
    /// The TLS handshake failed.
    TlsConnect = 35,
    /// More redirects than allowed.
    TooManyRedirects = 47,
    /// A value of an option has no meaning.
    BadOption = 49,
    /// The server closed without an answer.
    GotNothing = 52,
    /// Sending failed.
    SendError = 55,
    /// Receiving failed.
    ReceiveError = 56,
    /// The certificate was not trusted.
    Certificate = 60,
    /// The body is not what its `Content-Encoding` says.
    BadEncoding = 61,
    /// The body is larger than `--max-filesize`.
    FileTooLarge = 63,
    /// The file of `--cacert` has no certificates.
    BadRoots = 77,
    /// A limit of the host was reached.
    TooLarge = 100,
    /// Blitz's own: the target policy or a missing grant stood against it.
    Refused = 122,
}

impl Code {
    /// The exit status.
    pub(crate) fn status(self) -> u8 {
        self as u8
    }
}

/// Why the transfer ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    /// As behind `curl: (N) `.
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// An input file of the command line.
    pub(crate) fn reading(name: &str, error: &HostError) -> Self {
        Self::new(Code::ReadError, format!("Failed to open/read local data from {name}: {error}"))
    }

    /// Standard output or an output file.
    pub(crate) fn writing(error: &impl std::fmt::Display) -> Self {
        Self::new(Code::WriteError, format!("Failure writing output to destination: {error}"))
    }
}

/// Takes the host's failure over: its texts are in curl's words already.
pub(crate) fn from_failure(failure: Failure, region: &str) -> Problem {
    let code = match failure.kind {
        // The one failure that is about blitz: say who refused.
        FailureKind::Denied => {
            return Problem::new(Code::Refused, format!("refused by {region}: {}", failure.text));
        }
        FailureKind::Limit => Code::TooLarge,
        FailureKind::Unsupported => Code::NotBuiltIn,
        FailureKind::Url => Code::UrlMalformed,
        FailureKind::Resolve => Code::CouldNotResolve,
        FailureKind::Connect => Code::CouldNotConnect,
        FailureKind::Timeout => Code::TimedOut,
        FailureKind::Tls => Code::TlsConnect,
        FailureKind::Certificate => Code::Certificate,
        FailureKind::EmptyReply => Code::GotNothing,
        FailureKind::Send => Code::SendError,
        FailureKind::Receive => Code::ReceiveError,
        FailureKind::Partial => Code::PartialFile,
        FailureKind::Protocol => Code::UnsupportedProtocol,
        FailureKind::Malformed => Code::WeirdServerReply,
    };
    Problem::new(code, failure.text)
}
