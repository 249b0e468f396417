//! An HTTP answer as a test writes it.

use std::collections::VecDeque;

use crate::web::{Answer, Body, Connection, Failure, Headers, Phases, Tls, Version};

/// An answer as a test writes it.
#[derive(Debug, Clone)]
pub struct CannedAnswer {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The protocol.
    pub version: Version,
    /// The headers.
    pub headers: Headers,
    /// The body, in the pieces in which it arrives.
    pub pieces: VecDeque<Vec<u8>>,
    /// How the body ends; `None` is well.
    pub failure: Option<Failure>,
    /// Where the time went.
    pub phases: Phases,
    /// The instant of the body's end.
    pub total_us: u64,
    /// The handshake.
    pub tls: Option<Tls>,
}

impl CannedAnswer {
    /// An empty HTTP/1.1 answer whose phases pass at 1, 2, 3, 4, 5 and 6 ms.
    #[must_use]
    pub fn new(status: u16, reason: &str) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            version: Version::Http11,
            headers: Vec::new(),
            pieces: VecDeque::new(),
            failure: None,
            phases: Phases {
                dns_us: 1000,
                connect_us: 2000,
                tls_us: 3000,
                sent_us: 4000,
                first_byte_us: 5000,
            },
            total_us: 6000,
            tls: None,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// Adds a piece of the body.
    #[must_use]
    pub fn piece(mut self, piece: impl Into<Vec<u8>>) -> Self {
        self.pieces.push_back(piece.into());
        self
    }

    /// Ends the body with a failure, behind its pieces.
    #[must_use]
    pub fn then_fails(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }

    pub(super) fn into_answer(self) -> Answer {
        Answer {
            status: self.status,
            reason: self.reason.into_bytes(),
            version: self.version,
            headers: self.headers,
            phases: self.phases,
            connection: Connection {
                resolver: Some("system".to_owned()),
                addresses: vec!["192.0.2.1".to_owned()],
                remote: Some("192.0.2.1:80".to_owned()),
                local: Some("198.51.100.7:40000".to_owned()),
                tls: self.tls,
            },
            body: Box::new(CannedBody {
                pieces: self.pieces,
                failure: self.failure,
                total_us: self.total_us,
            }),
        }
    }
}

#[derive(Debug)]
struct CannedBody {
    pieces: VecDeque<Vec<u8>>,
    failure: Option<Failure>,
    total_us: u64,
}

impl Body for CannedBody {
    fn read(&mut self, bytes_max: u32) -> Result<Vec<u8>, Failure> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let Some(mut piece) = self.pieces.pop_front() else {
            return self.failure.take().map_or_else(|| Ok(Vec::new()), Err);
        };
        if piece.len() > bytes_max {
            self.pieces.push_front(piece.split_off(bytes_max));
        }
        Ok(piece)
    }

    fn total_us(&self) -> u64 {
        self.total_us
    }
}
