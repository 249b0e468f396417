//! The bytes of a revision tree in the store.
//!
//! A version byte, the number of nodes, then each node: its generation, its parent's index plus one
//! (0: none), flags, the body's key plus one (0: none), and the hash. Numbers are LEB128. A document
//! with one revision takes 24 bytes.

use super::{
    Hash, Revision,
    tree::{Node, Tree},
};

const VERSION: u8 = 1;
const DELETED: u8 = 1;
/// The hash is 16 raw bytes; else its length and its text follow.
const DIGEST: u8 = 2;

/// The bytes are no tree: the store is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a revision tree cannot be read")]
pub(crate) struct Damaged;

/// The tree as bytes.
pub(crate) fn encode(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + tree.nodes().len() * 24);
    bytes.push(VERSION);
    write(&mut bytes, count(tree.nodes().len()));
    for node in tree.nodes() {
        let digest = matches!(node.revision.hash, Hash::Digest(_));
        write(&mut bytes, node.revision.generation);
        write(&mut bytes, node.parent.map_or(0, |parent| count(parent) + 1));
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        bytes.push(flag(node.deleted, DELETED) | flag(digest, DIGEST));
        // Keys are SQLite row ids, which start at 1: none is negative.
        write(
            &mut bytes,
            node.body.and_then(|key| u64::try_from(key).ok()).map_or(0, |key| key + 1),
        );
        if !digest {
            write(&mut bytes, count(node.revision.hash.as_bytes().len()));
        }
        bytes.extend_from_slice(node.revision.hash.as_bytes());
    }
    bytes
}

/// The tree of these bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Tree, Damaged> {
    let mut rest = bytes;
    if byte(&mut rest)? != VERSION {
        return Err(Damaged);
    }
    let length = usize::try_from(read(&mut rest)?).map_err(|_| Damaged)?;
    // A node takes five bytes at least: a damaged length must not ask for gigabytes.
    let mut nodes = Vec::with_capacity(length.min(rest.len() / 5));
    for _ in 0..length {
        let generation = read(&mut rest)?;
        let parent = previous(read(&mut rest)?);
        let flags = byte(&mut rest)?;
        let body = previous(read(&mut rest)?);
        let hash = if flags & DIGEST != 0 {
            Hash::Digest(take(&mut rest, 16)?.try_into().map_err(|_| Damaged)?)
        } else {
            let length = usize::try_from(read(&mut rest)?).map_err(|_| Damaged)?;
            Hash::Text(str::from_utf8(take(&mut rest, length)?).map_err(|_| Damaged)?.into())
        };
        nodes.push(Node {
            revision: Revision::new(generation, hash),
            parent: parent.map(usize::try_from).transpose().map_err(|_| Damaged)?,
            deleted: flags & DELETED != 0,
            body: body.map(i64::try_from).transpose().map_err(|_| Damaged)?,
        });
    }
    if !rest.is_empty() {
        return Err(Damaged);
    }
    Tree::from_nodes(nodes).ok_or(Damaged)
}

fn previous(number: u64) -> Option<u64> {
    number.checked_sub(1)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn read(rest: &mut &[u8]) -> Result<u64, Damaged> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = byte(rest)?;
        let low = u64::from(byte & 0x7f);
        if low << shift >> shift != low {
            return Err(Damaged);
        }
        number |= low << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

fn byte(rest: &mut &[u8]) -> Result<u8, Damaged> {
    Ok(take(rest, 1)?[0])
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Damaged> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Damaged)?;
    *rest = left;
    Ok(taken)
}
