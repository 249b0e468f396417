//! `_explain`: the plan of a query in CouchDB's shape.

use super::{
    bounds::{self, Bound, Range},
    index::Index,
    normal,
    plan::{Candidate, Plan, Standing},
    query::Query,
};
use serde_json::{Value, json};

/// Whether the index has all fields that the query speaks of, so that no document must be read.
pub(super) fn covers(index: &Index, query: &Query) -> bool {
    let columns = index.columns();
    let has = |field: &str| field == "_id" || columns.contains(&field);
    !index.is_special()
        && !query.fields.is_empty()
        && query.fields.iter().all(|field| has(field))
        && bounds::fields(&query.normal).iter().all(|field| has(field))
}

/// Tells how the query would be answered.
pub(crate) fn explain(database: &str, query: &Query, plan: &Plan) -> Value {
    let sort = query.sort.fields.iter();
    let sort: serde_json::Map<String, Value> =
        sort.map(|field| (field.clone(), Value::from(query.sort.direction()))).collect();
    let bookmark = query.bookmark.as_ref();
    let bookmark = bookmark.map_or_else(|| String::from("nil"), super::bookmark::Bookmark::text);
    let stale = if query.stale { json!("ok") } else { json!(false) };
    let all = bounds::fields(&query.normal);
    let (mut indexable, mut others) = (bounds::indexable(&query.normal), Vec::new());
    indexable.sort();
    indexable.dedup();
    for field in all {
        if !indexable.contains(&field) && !others.contains(&field) {
            others.push(field);
        }
    }
    others.sort();
    let mut told = json!({
        "dbname": database,
        "index": plan.chosen.as_ref().map(Index::to_json),
        "partitioned": false,
        "selector": query.normal,
        "opts": {
            "use_index": query.use_index,
            "bookmark": bookmark,
            "limit": query.limit,
            "skip": query.skip,
            "sort": sort,
            "fields": query.fields,
            "partition": "",
            "r": query.r,
            "conflicts": query.conflicts,
            "stale": stale,
            "update": query.update,
            "stable": query.stable,
            "execution_stats": query.execution_stats,
            "allow_fallback": query.allow_fallback,
        },
        "limit": query.limit,
        "skip": query.skip,
        "fields": query.fields,
        "index_candidates": candidates(query, plan),
        "selector_hints": [{
            "type": "json",
            "indexable_fields": indexable,
            "unindexable_fields": others,
        }],
    });
    if let Some(index) = &plan.chosen {
        told["mrargs"] = arguments(index, query, plan);
        told["covering"] = Value::from(covers(index, query));
    }
    told
}

/// The arguments of the view that CouchDB would read.
fn arguments(index: &Index, query: &Query, plan: &Plan) -> Value {
    let (start, end) = if plan.empty {
        (Value::Null, Value::Null)
    } else if index.is_special() {
        let text = |bound: &Bound, open: &str| match bound {
            Bound::At(value) | Bound::Beside(value) => value.clone(),
            Bound::Open => Value::from(open),
        };
        match plan.ranges.first() {
            Some(Range { low, high }) => (text(low, ""), text(high, MAX)),
            None => (Value::Null, Value::from(MAX)),
        }
    } else {
        let mut end = ends(&plan.ranges, |range| &range.high);
        end.push(Value::from(MAX));
        (Value::from(ends(&plan.ranges, |range| &range.low)), Value::from(end))
    };
    let (start, end) = if query.sort.descending { (end, start) } else { (start, end) };
    let direction = if query.sort.descending { "rev" } else { "fwd" };
    json!({
        "include_docs": query.r == 1 && !covers(index, query),
        "view_type": "map",
        "reduce": false,
        "partition": null,
        "start_key": start,
        "end_key": end,
        "direction": direction,
        "stable": query.stable || query.stale,
        "update": query.update && !query.stale,
        "conflicts": if query.conflicts { json!(true) } else { json!("undefined") },
    })
}

/// What CouchDB writes for the end of all keys.
const MAX: &str = "<MAX>";

fn ends(ranges: &[Range], end: fn(&Range) -> &Bound) -> Vec<Value> {
    let ends = ranges.iter().map_while(|range| match end(range) {
        Bound::Open => None,
        Bound::At(value) | Bound::Beside(value) => Some(value.clone()),
    });
    ends.collect()
}

/// The indexes that were not chosen, each with the reason.
fn candidates(query: &Query, plan: &Plan) -> Vec<Value> {
    let mut usable: Vec<&Candidate> =
        plan.others.iter().filter(|one| matches!(one.standing, Standing::Usable { .. })).collect();
    usable.sort_by_key(|one| one.standing);
    let is_there = |wanted: fn(&Standing) -> bool| {
        usize::from(plan.others.iter().any(|one| wanted(&one.standing)))
    };
    // Each kind that there is comes one rank after the kind before it.
    let chosen = usize::from(plan.chosen.is_some());
    let unfavored = (usable.len() + chosen).max(1);
    let excluded = unfavored + is_there(|one| *one == Standing::Unfavored);
    let unusable = excluded + is_there(|one| *one == Standing::Excluded);
    let partial = unusable + is_there(|one| matches!(one, Standing::Unusable(_)));
    let width = plan.chosen.as_ref().map_or(0, |index| index.fields.len());
    let told = |one: &Candidate| {
        let (is_usable, reason, rank) = match one.standing {
            Standing::Usable { distance, width: own } => {
                let reason = if distance > 0 {
                    "less_overlap"
                } else if own > width {
                    "too_many_fields"
                } else {
                    "alphabetically_comes_after"
                };
                let rank = usable.iter().position(|other| std::ptr::eq(*other, one));
                (true, reason, rank.map_or(0, |rank| rank + 1))
            }
            Standing::Unfavored => (true, "unfavored_type", unfavored),
            Standing::Excluded => (true, "excluded_by_user", excluded),
            Standing::Unusable(reason) => (false, reason, unusable),
            Standing::Partial => (false, "is_partial", partial),
        };
        // One with a filter that the query names is told of twice, and CouchDB adds up the ranks.
        let (is_usable, reason, rank) = match &one.index.filter {
            Some(_) if one.standing != Standing::Partial => (false, "is_partial", partial + rank),
            _ => (is_usable, reason, rank),
        };
        let covering =
            if one.index.is_special() { Value::Null } else { covers_fields(&one.index, query) };
        json!({
            "index": one.index.to_json(),
            "analysis": {
                "usable": is_usable,
                "reasons": [normal::one("name", Value::from(reason))],
                "ranking": rank,
                "covering": covering,
            },
        })
    };
    plan.others.iter().rev().map(told).collect()
}

fn covers_fields(index: &Index, query: &Query) -> Value {
    let columns = index.columns();
    let has = |field: &String| field == "_id" || columns.contains(&field.as_str());
    Value::from(!query.fields.is_empty() && query.fields.iter().all(has))
}
