//! Questions of any type.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{MX, NULL, SOA, TXT};
use hickory_proto::rr::{DNSClass, RData, Record as Sent, RecordType};
use proptest::prelude::*;
use tokio::net::UdpSocket;

use super::server::{Server as DnsServer, a, alias, name_of, reply};
use super::*;
use crate::egress::dns::message::{Ask as _, Reply};
use crate::egress::dns::transport;
use crate::egress::{Found, Query, TargetPolicy};

const MX_TYPE: u16 = 15;

fn query<'a>(name: &'a str, record_type: u16, resolver: &'a str) -> Query<'a> {
    Query { name, record_type, resolver: Some(resolver), timeout: None }
}

async fn ask(server: &DnsServer, name: &str, record_type: u16) -> Result<Found, EgressError> {
    let egress = Egress::new(TargetPolicy::any(), Vec::new());
    egress.query(query(name, record_type, &server.address.to_string())).await
}

fn rows(records: &[Record]) -> Vec<String> {
    let row = |r: &Record| format!("{} {} {} {}", r.name, r.ttl_s, r.record_type, r.text);
    records.iter().map(row).collect()
}

#[tokio::test]
async fn records_come_as_the_server_has_them() {
    let server = DnsServer::start(|question, _| {
        assert_eq!(question.queries[0].query_type, RecordType::MX);
        let mail = |n, host: &str| RData::MX(MX::new(n, name_of(host)));
        let records = [
            ("Host.example", alias("other.example")),
            ("other.example", mail(10, "one.example")),
            ("other.example", mail(20, ".")),
        ];
        let mut answer = reply(question, &records);
        let soa = SOA::new(name_of("ns.example"), name_of("a\\.b.example"), 1, 2, 3, 4, 5);
        answer.add_authority(Sent::from_rdata(name_of("example"), 7, RData::SOA(soa)));
        let mut other = Sent::from_rdata(name_of("version.bind"), 0, a(1));
        other.dns_class = DNSClass::CH;
        answer.add_answer(other);
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let found = ask(&server, "host.example", MX_TYPE).await.unwrap();
    assert_eq!((found.server, found.records.code), (server.address, 0));
    assert_eq!(
        rows(&found.records.answers),
        [
            "Host.example. 60 5 other.example.",
            "other.example. 60 15 10 one.example.",
            "other.example. 60 15 20 .",
        ]
    );
    assert_eq!(
        rows(&found.records.authorities),
        ["example. 7 6 ns.example. a\\.b.example. 1 2 3 4 5"]
    );
    assert!(!found.elapsed.is_zero());
}

#[tokio::test]
async fn types_and_names_are_whatever_was_asked_for() {
    let server = DnsServer::start(|question, _| {
        let asked = &question.queries[0];
        let data = RData::Unknown { code: asked.query_type, rdata: NULL::with(vec![1, 2]) };
        let mut answer = reply(question, &[]);
        answer.add_answer(Sent::from_rdata(asked.name.clone(), 1, data));
        vec![answer.to_vec().unwrap()]
    })
    .await;
    for (name, shown) in [
        ("_sip._tcp.example", "_sip._tcp.example."),
        ("*.example.", "*.example."),
        (".", "."),
        ("b\u{fc}cher.example", "xn--bcher-kva.example."),
    ] {
        let found = ask(&server, name, 65_280).await.unwrap();
        assert_eq!(rows(&found.records.answers), [format!("{shown} 1 65280 \\# 2 0102")]);
    }
    for name in ["", "a..b", &"a".repeat(64), "\u{fc} x"] {
        let error = ask(&server, name, 1).await.unwrap_err();
        assert!(
            matches!(&error, EgressError::Resolve(text) if text.contains("no such names")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_code_is_an_answer() {
    for code in [ResponseCode::NXDomain, ResponseCode::ServFail, ResponseCode::Refused] {
        let server = DnsServer::start(move |question, _| {
            let mut answer = reply(question, &[]);
            answer.metadata.response_code = code;
            if code == ResponseCode::Refused {
                answer.queries.clear();
            }
            vec![answer.to_vec().unwrap()]
        })
        .await;
        let found = ask(&server, "host.example", MX_TYPE).await.unwrap();
        assert_eq!(found.records.code, u16::from(code));
        assert!(found.records.answers.is_empty());
    }
}

#[tokio::test]
async fn a_long_answer_comes_over_tcp() {
    let server = DnsServer::start(|question, over_tcp| {
        let long = |n: u8| RData::TXT(TXT::from_bytes(vec![&[n; 250]]));
        let records: Vec<_> = (b'a'..=b'z').map(|n| ("host.example", long(n))).collect();
        let mut answer = reply(question, if over_tcp { &records } else { &[] });
        answer.metadata.truncation = !over_tcp;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let found = ask(&server, "host.example", 16).await.unwrap();
    assert_eq!(found.records.answers.len(), 26);
    assert_eq!(found.records.answers[25].text, format!("\"{}\"", "z".repeat(250)));
}

#[tokio::test]
async fn an_answer_that_swells_is_refused() {
    let server = DnsServer::start(|question, over_tcp| {
        let mut answer = reply(question, &[]);
        answer.metadata.truncation = !over_tcp;
        let mut bytes = answer.to_vec().unwrap();
        if over_tcp {
            // 4000 records, each two pointers to a name of 240 bytes.
            let at = u16::try_from(bytes.len()).unwrap();
            let name = format!("\x3f{0}\x3f{0}\x3f{0}\0", "\x01".repeat(63));
            let record = |name: &[u8]| {
                let pointer =
                    (0xc000 | (at + 10 + u16::try_from(name.len()).unwrap())).to_be_bytes();
                [name, &[0, 5, 0, 1, 0, 0, 0, 1, 0, 2], &pointer].concat()
            };
            let first_data = at + 11;
            bytes.extend([&[0u8, 0, 5, 0, 1, 0, 0, 0, 1, 0, 193][..], name.as_bytes()].concat());
            let pointer = (0xc000 | first_data).to_be_bytes();
            for _ in 0..4000 {
                bytes.extend([&pointer[..], &record(&[])[..10], &pointer].concat());
            }
            bytes[6..8].copy_from_slice(&4001u16.to_be_bytes());
        }
        vec![bytes]
    })
    .await;
    let error = ask(&server, "host.example", 255).await.unwrap_err().to_string();
    assert!(error.ends_with("gave an answer of more than 1048576 bytes of text"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_the_time_that_was_given() {
    let server = DnsServer::start(|_, _| Vec::new()).await;
    let egress = Egress::new(TargetPolicy::any(), Vec::new());
    let resolver = server.address.to_string();
    for (ms, words) in [
        (Some(300), "did not answer 3 questions in 300 ms"),
        (None, "did not answer 3 questions in 6 s"),
        (Some(3_600_000), "did not answer 3 questions in 6 s"),
    ] {
        let timeout = ms.map(Duration::from_millis);
        let begun = tokio::time::Instant::now();
        let error = egress.query(Query { timeout, ..query("host.example", 1, &resolver) }).await;
        let error = error.unwrap_err().to_string();
        let known = ["no answer in 300 ms".to_owned(), format!("{resolver} {words}")];
        assert!(known.iter().any(|known| error.ends_with(known)), "{error}");
        assert!(begun.elapsed() <= Duration::from_secs(6));
    }
}

#[tokio::test]
async fn the_policy_judges_a_server_that_is_named_and_not_the_engines_own() {
    let server = DnsServer::start(|question, _| {
        vec![reply(question, &[("host.example", a(1))]).to_vec().unwrap()]
    })
    .await;
    let egress = Egress::new(TargetPolicy::public_only(), Vec::new());
    let named = server.address.to_string();
    let error = egress.query(query("host.example", 1, &named)).await.unwrap_err();
    assert!(matches!(error, EgressError::Denied(_)), "{error:?}");
    assert!(server.questions().is_empty());
    for (named, words) in [
        ("169.254.169.254", "169.254.169.254 is link-local"),
        ("[::ffff:127.0.0.1]:53", "is IPv4-mapped of 127.0.0.1"),
        ("localhost", "is not a DNS server"),
    ] {
        let error = egress.query(query("host.example", 1, named)).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let transport = Transport {
        egress: &egress,
        server: transport::Server::Own(server.address),
        attempt_time: DNS_ATTEMPT_TIME,
    };
    let own = transport.ask(|id| AnyQuestion::new(id, "host.example", 1)).await.unwrap();
    assert_eq!(rows(&own.answers), ["host.example. 60 1 192.0.2.1"]);
}

#[tokio::test]
async fn a_port_without_a_server_is_told() {
    let address = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let egress = Egress::new(TargetPolicy::any(), Vec::new());
    let error = egress.query(query("host.example", 1, &address.to_string())).await.unwrap_err();
    let wanted =
        format!("the question for \"host.example\" has no answer: {address}: Connection refused");
    assert_eq!(error.to_string(), wanted);
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), record_type in 0..300u16) {
        let question = AnyQuestion::new(0x1234, "host.example", record_type).unwrap();
        let server = SocketAddr::from(([127, 0, 0, 1], 53));
        let _any = question.read(&bytes, server);
        // Behind the question, one record of this type with any data.
        let mut message = question.bytes().to_vec();
        message[2] = 0x80;
        message[6..8].copy_from_slice(&[0, 1]);
        message.extend([0xc0, 12]);
        message.extend(record_type.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 9]);
        message.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        message.extend(&bytes);
        let Reply::Answer(Ok(read)) = question.read(&message, server) else {
            return Err(TestCaseError::fail("not read"));
        };
        prop_assert_eq!(read.answers.len(), 1);
        prop_assert!(read.answers[0].text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        // As the library reads what it was given.
        let _library = Message::from_vec(&message);
    }
}
