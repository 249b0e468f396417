//! The answer to a query: documents in the order of its index.
//!
//! Documents come from the store in the order of their ids. Where the index has that order they are
//! given as they come; otherwise as many as the answer needs are kept and sorted.

use super::{
    bookmark::Bookmark,
    bounds::{self, Bound, Range},
    error::BadQuery,
    fields,
    index::Index,
    plan::Plan,
    query::Query,
};
use crate::{
    error::StoreError,
    selector::collation::Texts,
    store::{
        Store,
        database::Database,
        list::{self, Detail, End, Listed},
    },
};
use serde_json::{Value, json};
use std::{cmp::Ordering, sync::Arc};

/// How many bytes of documents and keys a sorted answer may hold in memory. A query for more is refused.
pub(crate) const SORTED_BYTES_MAX: usize = 32 << 20;

/// Why an answer could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Query(#[from] BadQuery),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The documents of an answer, a page at a time.
#[derive(Debug)]
pub(crate) struct Rows {
    store: Arc<Store>,
    database: Arc<Database>,
    query: Query,
    plan: Plan,
    index: Index,
    scan: list::Range,
    skip: u64,
    limit: u64,
    keys_examined: u64,
    /// Those after the last row that was chosen.
    keys_pending: u64,
    returned: u64,
    last: Option<Bookmark>,
    is_done: bool,
}

/// A document that is in the index.
struct Row {
    key: Vec<Value>,
    id: String,
    /// What is given of it; None when the selector does not choose it.
    text: Option<String>,
}

impl Row {
    fn bytes(&self) -> usize {
        let key: usize = self.key.iter().map(|value| value.to_string().len()).sum();
        size_of::<Row>() + key + self.id.len() + self.text.as_ref().map_or(0, String::len)
    }
}

impl Rows {
    /// # Errors
    ///
    /// No index can be used.
    pub(crate) fn new(
        store: Arc<Store>,
        database: Arc<Database>,
        query: Query,
        plan: Plan,
    ) -> Result<Rows, BadQuery> {
        let index = plan.chosen.clone().ok_or(BadQuery::NoIndexForSort)?;
        let mut scan = scan_of(&query);
        if is_by_id(&index)
            && let Some(bookmark) = &query.bookmark
        {
            let after = End::Beside(bookmark.id.clone());
            *(if scan.descending { &mut scan.high } else { &mut scan.low }) = after;
        }
        Ok(Rows {
            store,
            database,
            skip: query.skip,
            limit: query.limit,
            is_done: plan.empty,
            query,
            plan,
            index,
            scan,
            keys_examined: 0,
            keys_pending: 0,
            returned: 0,
            last: None,
        })
    }

    /// The next documents, as JSON; None after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<String>>, Failed> {
        if self.is_done {
            return Ok(None);
        }
        if is_by_id(&self.index) {
            self.next_by_id().await.map_err(Failed::from)
        } else {
            self.sorted().await
        }
    }

    async fn next_by_id(&mut self) -> Result<Option<Vec<String>>, StoreError> {
        let Some(page) = self.page().await? else { return Ok(None) };
        let mut given = Vec::new();
        let mut is_stopped = false;
        for listed in page {
            let is_design = listed.id.starts_with("_design/");
            let Some(row) = self.look(listed) else { continue };
            self.keys_pending += 1;
            if is_design {
                // CouchDB reads these too, and drops the chosen ones with what it had counted before.
                self.keys_pending *= u64::from(row.text.is_none());
                continue;
            }
            if row.text.is_some() {
                self.keys_examined += std::mem::take(&mut self.keys_pending);
            }
            let Some(text) = row.text else { continue };
            if self.skip == 0 && self.limit == 0 {
                // One more than was wanted: CouchDB stops here.
                self.is_done = true;
                is_stopped = true;
                break;
            }
            if self.limit > 0 {
                self.last = Some(Bookmark { key: row.key, id: row.id });
            }
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.limit -= 1;
            self.returned += 1;
            given.push(text);
        }
        if self.is_done && !is_stopped {
            self.keys_examined += std::mem::take(&mut self.keys_pending);
        }
        Ok(Some(given))
    }

    async fn sorted(&mut self) -> Result<Option<Vec<String>>, Failed> {
        let wanted = usize::try_from(self.skip.saturating_add(self.limit)).unwrap_or(usize::MAX);
        let mut kept: Vec<Row> = Vec::new();
        let (mut bytes, mut next_cut) = (0, SPARE);
        while let Some(page) = self.page().await? {
            for listed in page {
                let Some(row) = self.look(listed).filter(|row| self.is_after_bookmark(row)) else {
                    continue;
                };
                if row.text.is_none() && !is_within(&row.key, &self.plan.ranges) {
                    continue;
                }
                bytes += row.bytes();
                kept.push(row);
                if bytes > SORTED_BYTES_MAX || kept.len() >= next_cut {
                    self.cut(&mut kept, wanted);
                    bytes = kept.iter().map(Row::bytes).sum();
                    next_cut = kept.len().saturating_mul(2).max(SPARE);
                }
                if bytes > SORTED_BYTES_MAX {
                    // The others are only there to be counted at the right place.
                    let all = kept.len();
                    kept.retain(|row| row.text.is_some());
                    self.keys_examined += u64::try_from(all - kept.len()).unwrap_or(u64::MAX);
                    bytes = kept.iter().map(Row::bytes).sum();
                }
                if bytes > SORTED_BYTES_MAX {
                    return Err(BadQuery::SortTooLarge { limit: SORTED_BYTES_MAX }.into());
                }
            }
        }
        self.cut(&mut kept, wanted);
        self.is_done = true;
        self.keys_examined += u64::try_from(kept.len()).unwrap_or(u64::MAX);
        kept.retain(|row| row.text.is_some());
        kept.truncate(wanted);
        if self.limit > 0
            && let Some(last) = kept.last()
        {
            self.last = Some(Bookmark { key: last.key.clone(), id: last.id.clone() });
        }
        let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let given: Vec<String> = kept.into_iter().skip(skip).filter_map(|row| row.text).collect();
        self.returned = u64::try_from(given.len()).unwrap_or(u64::MAX);
        Ok(Some(given))
    }

    /// Sorts the rows and drops what comes after the first one that is too many: there CouchDB stops.
    fn cut(&self, rows: &mut Vec<Row>, wanted: usize) {
        rows.sort_by(|a, b| self.order((&a.key, &a.id), (&b.key, &b.id)));
        let chosen = rows.iter().enumerate().filter(|(_, row)| row.text.is_some());
        if let Some(stop) = chosen.map(|(at, _)| at).nth(wanted) {
            rows.truncate(stop + 1);
        }
    }

    /// The order of two rows in the answer.
    fn order(&self, a: (&[Value], &str), b: (&[Value], &str)) -> Ordering {
        let order =
            keys(a.0, b.0).then_with(|| a.0.len().cmp(&b.0.len())).then_with(|| a.1.cmp(b.1));
        if self.query.sort.descending { order.reverse() } else { order }
    }

    fn is_after_bookmark(&self, row: &Row) -> bool {
        self.query.bookmark.as_ref().is_none_or(|bookmark| {
            self.order((&row.key, &row.id), (&bookmark.key, &bookmark.id)).is_gt()
        })
    }

    /// The next documents of the store.
    async fn page(&mut self) -> Result<Option<Vec<Listed>>, StoreError> {
        if self.is_done {
            return Ok(None);
        }
        let detail = Detail {
            documents: true,
            conflicts: self.query.conflicts,
            attachments: false,
            leaves: false,
        };
        let read = self.store.range(&self.database, self.scan.clone(), 0, u64::MAX, detail);
        let page = read.await?;
        match page.rows.last() {
            Some(last) if page.more => {
                let next = End::Beside(last.id.clone());
                *(if self.scan.descending { &mut self.scan.high } else { &mut self.scan.low }) =
                    next;
            }
            _ => self.is_done = true,
        }
        Ok(Some(page.rows))
    }

    /// A document as a row of the index, if it is in there.
    fn look(&self, listed: Listed) -> Option<Row> {
        let text = listed.document?;
        if listed.id.starts_with("_design/") && !self.index.is_special() {
            return None;
        }
        let document: Value = serde_json::from_str(&text).ok()?;
        let key = self.index.key(&document)?;
        let chosen = self.query.selector.matches(&document);
        let text = chosen.then(|| match self.query.fields.as_slice() {
            [] => String::from(text),
            wanted => fields::extract(&text, wanted),
        });
        Some(Row { key, id: listed.id, text })
    }

    /// The members after the documents, once all were given.
    pub(crate) fn end(&self, milliseconds: f64) -> Vec<(&'static str, Value)> {
        if self.plan.empty {
            return Vec::new();
        }
        let bookmark = match (&self.last, &self.query.bookmark) {
            (Some(bookmark), _) | (None, Some(bookmark)) => bookmark.text(),
            (None, None) => String::from(super::bookmark::NONE),
        };
        let mut members = vec![("bookmark", Value::from(bookmark))];
        let covered = super::explain::covers(&self.index, &self.query);
        let (read, agreed) = match (covered, self.query.r) {
            (true, _) => (0, 0),
            (false, 1) => (self.keys_examined, 0),
            (false, _) => (0, self.keys_examined),
        };
        if self.query.execution_stats {
            let stats = json!({
                "total_keys_examined": self.keys_examined,
                "total_docs_examined": read,
                "total_quorum_docs_examined": agreed,
                "results_returned": self.returned,
                "execution_time_ms": milliseconds,
            });
            members.push(("execution_stats", stats));
        }
        if let Some(warning) = self.plan.warning(&self.query, read + agreed, self.returned) {
            members.push(("warning", Value::from(warning)));
        }
        members
    }
}

/// How many rows are gathered before they are sorted and cut: sorting for each one would cost more.
const SPARE: usize = 1000;

/// The rows of the index are in the order of the ids.
fn is_by_id(index: &Index) -> bool {
    index.is_special() || index.fields.is_empty()
}

/// The ids that the selector allows.
fn scan_of(query: &Query) -> list::Range {
    let range = bounds::ranges(&query.normal).into_iter().find(|(field, _)| field == "_id");
    let range = range.and_then(|(_, range)| range);
    let range = range.unwrap_or(Range { low: Bound::Open, high: Bound::Open });
    let end = |bound, open| match bound {
        Bound::Open => open,
        Bound::At(Value::String(id)) => End::At(id),
        Bound::Beside(Value::String(id)) => End::Beside(id),
        // What is no text lies before all of them.
        Bound::At(_) | Bound::Beside(_) => End::First,
    };
    list::Range {
        low: end(range.low, End::First),
        high: end(range.high, End::Last),
        descending: query.sort.descending,
    }
}

/// The order of the values that both keys have.
fn keys(a: &[Value], b: &[Value]) -> Ordering {
    let mut orders = a.iter().zip(b).map(|(a, b)| Texts::Unicode.order(a, b));
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Whether CouchDB would read this row: it lies between the keys that the ranges begin and end with.
fn is_within(key: &[Value], ranges: &[Range]) -> bool {
    let ends = |end: fn(&Range) -> &Bound| -> Vec<Value> {
        let ends = ranges.iter().map_while(|range| match end(range) {
            Bound::Open => None,
            Bound::At(value) | Bound::Beside(value) => Some(value.clone()),
        });
        ends.collect()
    };
    keys(key, &ends(|range| &range.low)).is_ge() && keys(key, &ends(|range| &range.high)).is_le()
}
