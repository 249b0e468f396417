//! Messages to DNS servers of the tests, good ones and hostile ones, over each of the ways.

mod datagrams;
mod https;
mod own;
mod server;
mod streams;

use std::time::Duration;

use crate::bindings::blitz::plugin::dns::{Error, Message, Reply, Transport};
use crate::bindings::blitz::plugin::web::Family;
use crate::dns::exchange::exchange;
use crate::egress::{Egress, TargetPolicy};
use crate::http::Client;

/// A question for `host.example`, type A, with this id.
fn question(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(b"\x04host\x07example\0\0\x01\0\x01");
    bytes
}

/// Its answer, with one address.
fn answer_to(question: &[u8]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80;
    bytes[7] = 1;
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    bytes
}

/// The same with a change.
fn changed(question: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = answer_to(question);
    change(&mut bytes);
    bytes
}

fn message(transport: Transport, server: &str) -> Message {
    Message {
        bytes: question(0x1234),
        transport,
        server: Some(server.to_owned()),
        family: Family::Any,
        verify: true,
        timeout_ms: None,
    }
}

fn client() -> Client {
    Client::new(Egress::new(TargetPolicy::any(), Vec::new()))
}

async fn ask(message: Message) -> Result<Reply, Error> {
    exchange(&client(), message).await
}

fn failed(result: Result<Reply, Error>) -> String {
    match result {
        Err(Error::Failed(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn microseconds(reply: &Reply) -> Duration {
    Duration::from_micros(reply.connect_us + reply.elapsed_us)
}
