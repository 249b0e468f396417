//! Cookies of answers that become variables.

use super::Script;

/// Longest value that is kept: what browsers keep. Source: RFC 6265, section 6.1.
pub(super) const COOKIE_BYTES_MAX: usize = 4096;
/// Cookies that came that are named where one is missing: enough to see a name that was spelled in another way.
const NAMED_MAX: usize = 8;

/// The cookies that one transaction has taken so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    cookies: Vec<(u16, Box<[u8]>)>,
    /// What is to be said of those that did not come.
    missing: Option<String>,
}

impl Kept {
    pub(super) fn get(&self, number: u16) -> Option<&[u8]> {
        self.cookies.iter().find(|(known, _)| *known == number).map(|(_, value)| &**value)
    }

    /// What did not come of the last answer that had not all, in words.
    pub(crate) fn take_missing(&mut self) -> Option<String> {
        self.missing.take()
    }

    fn keep(&mut self, number: u16, value: &[u8]) {
        self.cookies.retain(|(known, _)| *known != number);
        self.cookies.push((number, value.into()));
    }
}

impl Script {
    /// Takes the cookies that a step wants from the head of its answer. False when one of them did not come, or was longer
    /// than 4 KiB.
    pub(crate) fn extract(
        &self,
        step: usize,
        headers: &[httparse::Header<'_>],
        kept: &mut Option<Box<Kept>>,
    ) -> bool {
        let values = headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("set-cookie"))
            .map(|header| header.value);
        self.extract_values(step, values, kept)
    }

    /// The same from the values of `set-cookie`. The last one of a name counts.
    pub(crate) fn extract_values<'a>(
        &self,
        step: usize,
        values: impl Iterator<Item = &'a [u8]>,
        kept: &mut Option<Box<Kept>>,
    ) -> bool {
        let Some(step) = self.steps.get(step).filter(|step| step.extracts) else { return true };
        let mut came = vec![false; step.wanted.len()];
        let mut names = Vec::new();
        for (name, value) in values.filter_map(pair) {
            names.push((name, value.len() > COOKIE_BYTES_MAX));
            for ((wanted, number), came) in step.wanted.iter().zip(&mut came) {
                if **wanted == *name && value.len() <= COOKIE_BYTES_MAX {
                    kept.get_or_insert_default().keep(*number, value);
                    *came = true;
                }
            }
        }
        let missing = step.wanted.iter().zip(&came).find(|(_, came)| !**came);
        if let Some(((wanted, _), _)) = missing {
            kept.get_or_insert_default().missing = Some(words(wanted, &names));
        }
        missing.is_none()
    }
}

/// That a cookie is missing among those that came, each with whether it is too long.
fn words(wanted: &[u8], names: &[(&[u8], bool)]) -> String {
    let cookie = wanted.escape_ascii();
    if names.contains(&(wanted, true)) {
        return format!("cookie {cookie} has more than {COOKIE_BYTES_MAX} bytes, and is not taken");
    }
    let named: Vec<String> =
        names.iter().take(NAMED_MAX).map(|(name, _)| name.escape_ascii().to_string()).collect();
    let more = match names.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let set = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
    format!("cookie {cookie} did not come; the answer set {set}{more}")
}

/// Name and value of a cookie, without what is said about it.
fn pair(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let pair = header.split(|byte| *byte == b';').next()?;
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at(at);
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}
