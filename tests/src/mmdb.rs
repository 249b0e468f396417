//! Writes small databases in MaxMind's format, version 2.0: a binary tree over the bits of an address, and records behind
//! it. Source: the MaxMind DB file format specification.

use std::net::IpAddr;

use serde_json::Value;

/// What a database says of networks, as `192.0.2.0/24`; records are JSON objects of texts, whole numbers and objects.
///
/// # Panics
///
/// For a network that is none, and for a record that the format cannot hold: a test that writes one is wrong.
#[must_use]
pub fn database(kind: &str, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut tree = vec![[None; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let offset = data.len();
        encode(record, &mut data);
        let (bits, length) = bits_of(network);
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                tree[node][side] = Some(Side::Record(offset));
            } else {
                node = match tree[node][side] {
                    Some(Side::Node(next)) => next,
                    _ => {
                        let next = tree.len();
                        tree.push([None; 2]);
                        tree[node][side] = Some(Side::Node(next));
                        next
                    }
                };
            }
        }
    }
    let nodes = tree.len();
    let mut file = Vec::new();
    for side in tree.iter().flatten() {
        let number = match side {
            None => nodes,
            Some(Side::Node(node)) => *node,
            Some(Side::Record(offset)) => nodes + SEPARATOR.len() + offset,
        };
        file.extend(u32::try_from(number).expect("a small database").to_be_bytes());
    }
    file.extend(SEPARATOR);
    file.extend(data);
    file.extend(MARKER);
    metadata(kind, nodes, &mut file);
    file
}

/// Between tree and records.
const SEPARATOR: [u8; 16] = [0; 16];
/// Before the metadata.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// What a branch of the tree leads to.
#[derive(Debug, Clone, Copy)]
enum Side {
    Node(usize),
    Record(usize),
}

/// The bits of a network from the top, and how many count. IPv4 stands in the first of IPv6's 2^96 networks.
fn bits_of(network: &str) -> (u128, u32) {
    let (address, length) = network.split_once('/').expect("ADDRESS/LENGTH");
    let length: u32 = length.parse().expect("a length");
    match address.parse().expect("an address") {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), length + 96),
        IpAddr::V6(v6) => (v6.to_bits(), length),
    }
}

const TEXT: u8 = 2;
const NUMBER_16: u8 = 5;
const NUMBER_32: u8 = 6;
const MAP: u8 = 7;
const NUMBER_64: u8 = 9;
const ARRAY: u8 = 11;

/// What a reader asks first; each number has the width that the format names.
fn metadata(kind: &str, nodes: usize, file: &mut Vec<u8>) {
    control(MAP, 9, file);
    for (key, number) in [
        ("binary_format_major_version", 2),
        ("binary_format_minor_version", 0),
        ("ip_version", 6),
        ("record_size", 32_u16),
    ] {
        text(key, file);
        control(NUMBER_16, 2, file);
        file.extend(number.to_be_bytes());
    }
    text("node_count", file);
    encode(&nodes.into(), file);
    text("build_epoch", file);
    control(NUMBER_64, 8, file);
    file.extend(1_700_000_000_u64.to_be_bytes());
    text("database_type", file);
    text(kind, file);
    text("description", file);
    control(MAP, 0, file);
    text("languages", file);
    control(ARRAY, 0, file);
}

fn encode(value: &Value, data: &mut Vec<u8>) {
    match value {
        Value::String(words) => text(words, data),
        Value::Number(number) => {
            let number = number.as_u64().and_then(|n| u32::try_from(n).ok()).expect("32 bits");
            control(NUMBER_32, 4, data);
            data.extend(number.to_be_bytes());
        }
        Value::Object(map) => {
            control(MAP, map.len(), data);
            for (key, value) in map {
                text(key, data);
                encode(value, data);
            }
        }
        other => panic!("{other} has no place in these databases"),
    }
}

fn text(words: &str, data: &mut Vec<u8>) {
    control(TEXT, words.len(), data);
    data.extend(words.as_bytes());
}

/// Type and size; types beyond 7 have a byte of their own.
fn control(kind: u8, size: usize, data: &mut Vec<u8>) {
    let (inline, more) = match u8::try_from(size) {
        Ok(size @ 0..29) => (size, None),
        Ok(size) => (29, Some(size - 29)),
        Err(_) => panic!("texts of these databases have at most 255 bytes"),
    };
    match kind {
        1..=7 => data.push(kind << 5 | inline),
        _ => data.extend([inline, kind - 7]),
    }
    data.extend(more);
}
