//! What a `Range` header asks for.

/// With as many ranges or more, everything is sent; CouchDB's own.
const RANGES_MAX: usize = 10;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything; also for what is no range, which a server may answer so.
    Whole,
    /// One part.
    Part(Part),
    /// Several parts at once, in the order of the request.
    Parts(Vec<Part>),
    /// Something that is not there.
    Outside,
}

/// From here up to but without there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Reads the header for something of this length.
pub(crate) fn read(text: &str, length: u64) -> Asked {
    let Some(list) = text.strip_prefix("bytes=") else { return Asked::Whole };
    let mut parts = Vec::new();
    for one in list.split(',') {
        match part(one.trim(), length) {
            Some(part) if part.from < part.to => parts.push(part),
            Some(_) => return Asked::Outside,
            None => return Asked::Whole,
        }
        if parts.len() >= RANGES_MAX {
            return Asked::Whole;
        }
    }
    match parts[..] {
        [part] => Asked::Part(part),
        _ => Asked::Parts(parts),
    }
}

/// One range, cut to what is there; an empty one lies outside. None: it is no range.
fn part(text: &str, length: u64) -> Option<Part> {
    let (first, last) = text.split_once('-')?;
    let (from, to) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, last.saturating_add(1)),
        (Ok(first), Err(_)) if last.is_empty() => (first, length),
        (Err(_), Ok(count)) if first.is_empty() => (length.saturating_sub(count), length),
        _ => return None,
    };
    Some(Part { from, to: to.min(length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        let part = |from, to| Part { from, to };
        for (text, asked) in [
            ("bytes=2-5", Asked::Part(part(2, 6))),
            ("bytes=-3", Asked::Part(part(7, 10))),
            ("bytes=-100", Asked::Part(part(0, 10))),
            ("bytes=7-", Asked::Part(part(7, 10))),
            ("bytes=5-100", Asked::Part(part(5, 10))),
            ("bytes=5-18446744073709551615", Asked::Part(part(5, 10))),
            ("bytes= 0-1", Asked::Part(part(0, 2))),
            ("bytes=0-1,-1", Asked::Parts(vec![part(0, 2), part(9, 10)])),
            ("bytes=100-200", Asked::Outside),
            ("bytes=-0", Asked::Outside),
            ("bytes=5-2", Asked::Outside),
            ("bytes=0-1,100-200", Asked::Outside),
            ("bytes=0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("rubbish", Asked::Whole),
        ] {
            assert_eq!(read(text, 10), asked, "{text}");
        }
    }
}
