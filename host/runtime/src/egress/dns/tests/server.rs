//! A DNS server on loopback that answers by a script, and short ways to write answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

use crate::egress::dns::{DnsError, lookup};
use crate::egress::{Egress, Family, TargetPolicy};

/// What the server does with one question, which it gives over UDP (`false`) or TCP (`true`): the messages
/// that it sends.
type Script = dyn Fn(&Message, bool) -> Vec<Vec<u8>> + Send + Sync;

/// A server on one port of UDP and TCP; it ends when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Type, id and source port of each question over UDP.
    asked: Arc<Mutex<Vec<(RecordType, u16, u16)>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Server {
    pub(super) async fn start(
        script: impl Fn(&Message, bool) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let script: Arc<Script> = Arc::new(script);
        // The same port for both: the second may be taken, then others are tried.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, over_udp) = (Arc::clone(&asked), Arc::clone(&script));
        let udp = tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let query = &question.queries[0];
                assert!(question.metadata.recursion_desired && question.queries.len() == 1);
                noted.lock().unwrap().push((query.query_type, question.metadata.id, from.port()));
                for answer in over_udp(&question, false) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let tcp = tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut buffer = vec![0; usize::from(length)];
                stream.read_exact(&mut buffer).await.unwrap();
                for answer in script(&Message::from_vec(&buffer).unwrap(), true) {
                    stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
        Self { address, asked, _tasks: [udp, tcp].map(AbortOnDropHandle::new) }
    }

    pub(super) async fn lookup(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, DnsError> {
        let egress = Egress::new(TargetPolicy::any(), Vec::new());
        lookup(&egress, self.address, name, family).await
    }

    pub(super) fn questions(&self) -> Vec<(RecordType, u16, u16)> {
        self.asked.lock().unwrap().clone()
    }
}

/// The answer to a question with these records.
pub(super) fn reply(question: &Message, records: &[(&str, RData)]) -> Message {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.add_query(question.queries[0].clone());
    for (name, data) in records {
        answer.add_answer(Record::from_rdata(name_of(name), 60, data.clone()));
    }
    answer
}

pub(super) fn name_of(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub(super) fn coded(question: &Message, code: ResponseCode) -> Vec<Vec<u8>> {
    let mut answer = reply(question, &[]);
    answer.metadata.response_code = code;
    vec![answer.to_vec().unwrap()]
}

pub(super) fn a(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(192, 0, 2, last)))
}

pub(super) fn aaaa(last: u16) -> RData {
    RData::AAAA(AAAA(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)))
}

pub(super) fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(name_of(target)))
}

pub(super) fn is(question: &Message, wanted: RecordType) -> bool {
    question.queries[0].query_type == wanted
}

pub(super) fn ips(texts: &[&str]) -> Result<Vec<IpAddr>, DnsError> {
    Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
}
