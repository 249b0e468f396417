//! Which index answers a query, and what is warned of.
//!
//! Source: `mango_cursor.erl`, `mango_cursor_view.erl` and `mango_idx.erl` of CouchDB 3.5.

use super::{
    bounds::{self, Range},
    error::BadQuery,
    index::Index,
    query::Query,
};

/// An index with what is known of it for this query.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) index: Index,
    pub(crate) standing: Standing,
}

/// Why an index is used or not. The order is that of CouchDB's ranking, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It could be used; one that fits better is. How far it is from the selector, and how many fields
    /// it has.
    Usable { distance: usize, width: usize },
    /// An index of fields goes before that of all documents.
    Unfavored,
    /// The query names others.
    Excluded,
    /// The reason in CouchDB's word.
    Unusable(&'static str),
    /// It has a filter, and the query does not name it.
    Partial,
}

/// What will be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// None: no index can be used, which only `_explain` tells without an error.
    pub(crate) chosen: Option<Index>,
    /// The ranges of the first fields of the index.
    pub(crate) ranges: Vec<Range>,
    /// The selector cannot hold for any document.
    pub(crate) empty: bool,
    /// The other indexes.
    pub(crate) others: Vec<Candidate>,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Find,
    Explain,
}

/// Plans a query over these indexes, which are in the order of their names.
pub(crate) fn plan(query: &Query, indexes: Vec<Index>, purpose: Purpose) -> Result<Plan, BadQuery> {
    let named = |index: &Index| is_named(index, &query.use_index);
    let mut candidates: Vec<Candidate> = indexes
        .into_iter()
        .map(|index| {
            let standing = if index.filter.is_some() && !named(&index) {
                Standing::Partial
            } else {
                let reason = unusable(&index, query);
                reason.map_or(Standing::Unfavored, Standing::Unusable)
            };
            Candidate { index, standing }
        })
        .collect();
    let usable = |one: &&Candidate| one.standing == Standing::Unfavored;
    let usable_count = candidates.iter().filter(usable).count();
    let some_named = candidates.iter().filter(usable).any(|one| named(&one.index));
    if usable_count == 0 && purpose == Purpose::Find {
        return Err(BadQuery::NoIndexForSort);
    }
    if !some_named {
        let fallback = query.allow_fallback || query.use_index.is_empty() && usable_count > 1;
        if !fallback {
            return Err(match query.use_index.as_slice() {
                [] => BadQuery::MustNameIndex,
                names => BadQuery::UnusableIndex(told(names)),
            });
        }
    }
    if some_named {
        for one in candidates.iter_mut().filter(|one| one.standing == Standing::Unfavored) {
            if !named(&one.index) {
                one.standing = Standing::Excluded;
            }
        }
    }
    let ranges = bounds::ranges(&query.normal);
    let favored =
        candidates.iter().any(|one| one.standing == Standing::Unfavored && !one.index.is_special());
    for one in candidates.iter_mut().filter(|one| one.standing == Standing::Unfavored) {
        if favored == one.index.is_special() {
            continue;
        }
        let prefix = prefix(&one.index, &ranges).len();
        let distance = ranges.len().saturating_sub(prefix);
        one.standing = Standing::Usable { distance, width: one.index.fields.len() };
    }
    // The candidates are in the order of their names, which decides between equals.
    let best = candidates.iter().map(|one| one.standing).enumerate();
    let best = best
        .filter(|(_, standing)| matches!(standing, Standing::Usable { .. }))
        .min_by_key(|(at, standing)| (*standing, *at));
    let Some((at, _)) = best else {
        return Ok(Plan { chosen: None, ranges: Vec::new(), empty: false, others: candidates });
    };
    let chosen = candidates.remove(at).index;
    let prefix = prefix(&chosen, &ranges);
    let empty = is_nothing(&query.normal) || prefix.iter().any(Option::is_none);
    let ranges = prefix.into_iter().flatten().collect();
    Ok(Plan { chosen: Some(chosen), ranges, empty, others: candidates })
}

/// CouchDB does not run a selector that is only an empty list of conditions.
fn is_nothing(selector: &serde_json::Value) -> bool {
    super::normal::only(selector).is_some_and(|(name, list)| {
        ["$all", "$and", "$or", "$in"].contains(&name) && list.as_array().is_some_and(Vec::is_empty)
    })
}

/// The ranges of the first fields of an index; None in it is an empty one.
fn prefix(index: &Index, ranges: &[(String, Option<Range>)]) -> Vec<Option<Range>> {
    let range = |name: &&str| ranges.iter().find(|(field, _)| field == name);
    index.columns().iter().map_while(|name| range(name).map(|(_, range)| range.clone())).collect()
}

fn is_named(index: &Index, names: &[String]) -> bool {
    let design = index.design.as_deref().and_then(|id| id.strip_prefix("_design/"));
    match names {
        [] => false,
        [first] => design == Some(first),
        [first, view, ..] => design == Some(first) && index.name == *view,
    }
}

/// Why the index cannot answer the query, in CouchDB's word.
fn unusable(index: &Index, query: &Query) -> Option<&'static str> {
    let sort: Vec<&str> = query.sort.fields.iter().map(String::as_str).collect();
    let columns = index.columns();
    if index.is_special() {
        let by_id = bounds::indexable(&query.normal).iter().any(|field| field == "_id");
        return match sort.as_slice() {
            [] => None,
            _ if !by_id => Some("field_mismatch"),
            _ if !columns.starts_with(&sort) => Some("sort_order_mismatch"),
            _ => None,
        };
    }
    // What is sorted by must be there, and these are in every document.
    let implied = |name: &&str| sort.contains(name) || ["_id", "_rev"].contains(name);
    let required: Vec<&str> = columns.iter().copied().filter(|name| !implied(name)).collect();
    if !bounds::requires(&query.normal, &required) {
        return Some("field_mismatch");
    }
    (!can_sort(&columns, &sort, query)).then_some("sort_order_mismatch")
}

/// Whether the rows of an index of these fields are in the order of the sort. Fields with one value
/// may stand before it.
fn can_sort(columns: &[&str], sort: &[&str], query: &Query) -> bool {
    match (columns, sort) {
        (_, []) => true,
        ([], _) => false,
        ([column, ..], [first, ..]) if column == first => columns.starts_with(sort),
        ([column, rest @ ..], _) => {
            bounds::is_constant(&query.normal, column) && can_sort(rest, sort, query)
        }
    }
}

fn told(names: &[String]) -> String {
    format!("_design/{}", names.join(", "))
}

/// Above this many documents read for each that is given, a query is warned of; CouchDB's own.
const SCAN_WARNING: u64 = 10;

impl Plan {
    /// What the client is told to think about; None if nothing.
    pub(crate) fn warning(&self, query: &Query, examined: u64, returned: u64) -> Option<String> {
        let index = self.chosen.as_ref()?;
        let mut warnings = Vec::new();
        if !query.use_index.is_empty() && !is_named(index, &query.use_index) {
            let why = if query.use_index.len() == 1 {
                "it does not contain a valid index for this query"
            } else {
                "it is not a valid index for this query"
            };
            warnings.push(format!("{} was not used because {why}.", told(&query.use_index)));
        }
        if index.is_special() {
            warnings.push(String::from(
                "No matching index found, create an index to optimize query time.",
            ));
        }
        if examined > SCAN_WARNING.saturating_mul(returned.max(1)) {
            warnings.push(String::from(
                "The number of documents examined is high in proportion to the number of results \
                 returned. Consider adding a more specific index to improve this.",
            ));
        }
        (!warnings.is_empty()).then(|| warnings.join("\n"))
    }
}
