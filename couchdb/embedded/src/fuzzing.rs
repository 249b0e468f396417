//! What the fuzzers of `fuzz/` call: each takes any bytes, and panics when something that must hold
//! does not. Only built with the feature `fuzzing`; no part of the interface.

use crate::{
    document::{draft::Draft, render::Render},
    http::multipart,
    revision::{Revision, codec, tree::Tree},
    selector::Selector,
};
use bytes::Bytes;
use serde_json::Value;

/// The longest attachment of the multipart fuzzer, in bytes: small, so that unpacking is bounded.
const ATTACHMENT_BYTES_MAX: usize = 1 << 20;

/// How many merges one input makes: a path is walked for each node, so a run stays short.
const MERGES_MAX: usize = 64;

/// A selector and documents, as a JSON array. Matching is a pure function of the two.
pub fn selector(data: &[u8]) {
    let Ok(Value::Array(values)) = serde_json::from_slice(data) else { return };
    let Some((first, documents)) = values.split_first() else { return };
    let Ok(selector) = Selector::parse(first) else { return };
    for document in documents {
        assert_eq!(selector.matches(document), selector.matches(document));
    }
}

/// The bytes of a stored tree, then merges: what is read can be written, what is merged stays sound.
pub fn tree(data: &[u8]) {
    let (stored, merges) = match data.split_first() {
        Some((length, rest)) => rest.split_at(usize::from(*length).min(rest.len())),
        None => return,
    };
    let mut tree = codec::decode(stored).unwrap_or_default();
    assert_eq!(codec::decode(&codec::encode(&tree)), Ok(tree.clone()), "a tree that was read");
    walk(&tree);
    let mut key = 1_000_000;
    for merge in merges.chunks_exact(4).take(MERGES_MAX) {
        let [generation, length, name, flags] = [merge[0], merge[1], merge[2], merge[3]];
        let newest = u64::from(generation % 16) + 1;
        let path: Vec<Revision> = (0..u64::from(length % 8) + 1)
            .take_while(|age| *age < newest)
            .filter_map(|age| {
                let name = u64::from(name % 4) + age / 2;
                format!("{}-{name:x}", newest - age).parse().ok()
            })
            .collect();
        if path.first().is_none_or(|newest| tree.has(newest)) {
            continue;
        }
        key += 1;
        let limit = usize::from(flags >> 1) % 12 + 1;
        drop(tree.graft(&path, flags & 1 == 1, key, limit));
        walk(&tree);
        assert_eq!(codec::decode(&codec::encode(&tree)), Ok(tree.clone()), "a merged tree");
    }
}

/// Looks at all that a tree can be asked.
fn walk(tree: &Tree) {
    let leaves = tree.leaves();
    assert_eq!(leaves.first().copied(), tree.winner());
    for leaf in &leaves {
        assert!(tree.path(&leaf.revision).len() <= tree.nodes().len(), "a path is no circle");
    }
    let alive = leaves.iter().filter(|leaf| !leaf.deleted).count();
    let conflicts = tree.conflicts(false).len() + tree.conflicts(true).len();
    assert_eq!(conflicts, leaves.len().saturating_sub(1));
    assert!(alive == 0 || tree.winner().is_some_and(|winner| !winner.deleted));
}

/// A boundary up to the first line end, and a body.
pub fn multipart(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (content_type, body) = data.split_at(end);
    let Ok(content_type) = str::from_utf8(content_type) else { return };
    let Some(boundary) = multipart::boundary(content_type, "multipart/related") else { return };
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    drop(multipart::read_related(&body, &boundary, ATTACHMENT_BYTES_MAX));
}

/// A document: the user's members come back as they went in.
pub fn draft(data: &[u8]) {
    for id_matters in [false, true] {
        let Ok(draft) = Draft::read(data, id_matters) else { continue };
        let id = draft.id.as_deref().unwrap_or("id");
        let revision = draft.revision.clone().unwrap_or_else(|| {
            "1-967a00dff5e02add41819138abb3284d".parse().expect("a revision of CouchDB")
        });
        let text = Render::new(id, &revision).body(&draft.body).deleted(draft.deleted).finish();
        let again = Draft::read(&text, true).expect("what was written can be read");
        assert_eq!(again.body, draft.body);
        assert_eq!(again.id.as_deref(), Some(id));
        assert_eq!(again.revision, Some(revision));
        assert_eq!(again.deleted, draft.deleted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// What the fuzzers found interesting stays sound in every test run.
    #[test]
    fn the_kept_inputs_pass() {
        for (name, target) in [
            ("selector", selector as fn(&[u8])),
            ("tree", tree),
            ("multipart", multipart),
            ("draft", draft),
        ] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let mut count = 0;
            for input in std::fs::read_dir(directory).unwrap() {
                target(&std::fs::read(input.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count > 0, "{name} has no inputs");
        }
    }
}
