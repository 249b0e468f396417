//! What a selector in normal form says of single fields: which must be there, and in what range.
//!
//! Source: `mango_idx_view.erl` and `mango_selector.erl` of CouchDB 3.5.

use super::normal::only;
use crate::selector::collation::Texts;
use serde_json::Value;
use std::cmp::Ordering;

/// One end of a range of values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bound {
    /// Before or after every value.
    Open,
    /// With this value.
    At(Value),
    /// Up to this value without it.
    Beside(Value),
}

/// The values that a field may have.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: Bound,
    pub(crate) high: Bound,
}

/// The fields that the selector limits, with their ranges, in the order of their names. A field that
/// can have no value at all ends the list with None.
pub(crate) fn ranges(selector: &Value) -> Vec<(String, Option<Range>)> {
    let mut fields = indexable(selector);
    fields.sort();
    fields.dedup();
    let mut found = Vec::new();
    for field in fields {
        let texts = if field == "_id" { Texts::Raw } else { Texts::Unicode };
        let all = Range { low: Bound::Open, high: Bound::Open };
        let range = narrow(selector, &field, Some(all), texts);
        let empty = range.is_none();
        if empty {
            return vec![(field, None)];
        }
        found.push((field, range));
    }
    found
}

/// The fields that a range of an index can serve.
pub(crate) fn indexable(selector: &Value) -> Vec<String> {
    match only(selector) {
        Some(("$and", list)) => list.as_array().into_iter().flatten().flat_map(indexable).collect(),
        Some((name, _)) if name.starts_with('$') => Vec::new(),
        Some((field, condition)) => {
            let served = ["$lt", "$lte", "$eq", "$gt", "$gte", "$beginsWith", "$exists"];
            let served = only(condition).is_some_and(|(name, _)| served.contains(&name));
            if served { vec![field.to_owned()] } else { Vec::new() }
        }
        None => Vec::new(),
    }
}

fn narrow(selector: &Value, field: &str, range: Option<Range>, texts: Texts) -> Option<Range> {
    match only(selector) {
        Some(("$and", list)) => {
            let list = list.as_array().into_iter().flatten();
            list.fold(range, |range, one| narrow(one, field, range, texts))
        }
        Some((name, condition)) if name == field => match only(condition) {
            Some((operator, value)) => cut(range?, operator, value, texts),
            None => range,
        },
        _ => range,
    }
}

/// The range with one condition more; None when nothing is left.
fn cut(mut range: Range, operator: &str, value: &Value, texts: Texts) -> Option<Range> {
    let bound = match operator {
        "$lt" | "$gt" => Bound::Beside(value.clone()),
        _ => Bound::At(value.clone()),
    };
    match operator {
        "$eq" => {
            range.low = higher(range.low, bound.clone(), texts);
            range.high = lower(range.high, bound, texts);
        }
        "$lt" | "$lte" => range.high = lower(range.high, bound, texts),
        "$gt" | "$gte" => range.low = higher(range.low, bound, texts),
        "$beginsWith" => {
            // The greatest character of the collation ends what begins with a text.
            let end = format!("{}\u{ffff}", value.as_str().unwrap_or(""));
            range.low = higher(range.low, bound, texts);
            range.high = lower(range.high, Bound::At(Value::from(end)), texts);
        }
        _ => {}
    }
    let empty = match (&range.low, &range.high) {
        (Bound::Open, _) | (_, Bound::Open) => false,
        (Bound::At(low), Bound::At(high)) => texts.order(low, high) == Ordering::Greater,
        (Bound::At(low) | Bound::Beside(low), Bound::At(high) | Bound::Beside(high)) => {
            texts.order(low, high) != Ordering::Less
        }
    };
    (!empty).then_some(range)
}

/// The greater of two lower ends.
fn higher(a: Bound, b: Bound, texts: Texts) -> Bound {
    choose(a, b, Ordering::Greater, texts)
}

/// The smaller of two upper ends.
fn lower(a: Bound, b: Bound, texts: Texts) -> Bound {
    choose(a, b, Ordering::Less, texts)
}

fn choose(a: Bound, b: Bound, wanted: Ordering, texts: Texts) -> Bound {
    let value = |bound: &Bound| match bound {
        Bound::Open => None,
        Bound::At(value) | Bound::Beside(value) => Some(value.clone()),
    };
    match (value(&a), value(&b)) {
        (None, _) => b,
        (_, None) => a,
        (Some(x), Some(y)) => match texts.order(&x, &y) {
            Ordering::Equal if matches!(a, Bound::Beside(_)) => a,
            Ordering::Equal => b,
            order if order == wanted => a,
            _ => b,
        },
    }
}

/// Whether every document that the selector chooses has all these fields.
pub(crate) fn requires(selector: &Value, fields: &[&str]) -> bool {
    not_required(&[selector], fields.to_vec()).is_empty()
}

fn not_required<'a>(selectors: &[&Value], mut left: Vec<&'a str>) -> Vec<&'a str> {
    for selector in selectors {
        if left.is_empty() {
            break;
        }
        match only(selector) {
            Some(("$and", list)) => {
                let list: Vec<&Value> = list.as_array().into_iter().flatten().collect();
                left = not_required(&list, left);
            }
            Some(("$or", list)) => {
                let each = list.as_array().into_iter().flatten();
                let mut all: Vec<&str> =
                    each.flat_map(|one| not_required(&[one], left.clone())).collect();
                all.sort_unstable();
                all.dedup();
                left = all;
            }
            Some((field, condition)) => {
                let absent = only(condition) == Some(("$exists", &Value::from(false)));
                if !absent {
                    left.retain(|name| *name != field);
                }
            }
            None => {}
        }
    }
    left
}

/// Whether the selector lets a field have one value only, so that it does not matter to an order.
pub(crate) fn is_constant(selector: &Value, field: &str) -> bool {
    match only(selector) {
        Some(("$and", list)) => {
            list.as_array().into_iter().flatten().any(|one| is_constant(one, field))
        }
        Some((name, condition)) => {
            name == field && only(condition).is_some_and(|(operator, _)| operator == "$eq")
        }
        None => false,
    }
}

/// The fields that the selector speaks of, in their order.
pub(crate) fn fields(selector: &Value) -> Vec<String> {
    match only(selector) {
        Some((name, Value::Array(list))) if name.starts_with('$') => {
            list.iter().flat_map(fields).collect()
        }
        Some((name, _)) => vec![name.to_owned()],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranges_are_narrowed_by_every_condition() {
        let range = |low, high| Some(Range { low, high });
        let and = |list: Value| json!({"$and": list});
        for (selector, wanted) in [
            (json!({"n": {"$gt": 1}}), range(Bound::Beside(json!(1)), Bound::Open)),
            (
                and(json!([{"n": {"$gt": 1}}, {"n": {"$gte": 1}}, {"n": {"$lt": "x"}}])),
                range(Bound::Beside(json!(1)), Bound::Beside(json!("x"))),
            ),
            (
                and(json!([{"n": {"$eq": 2}}, {"n": {"$lte": 2}}])),
                range(Bound::At(json!(2)), Bound::At(json!(2))),
            ),
            (and(json!([{"n": {"$gt": 5}}, {"n": {"$lt": 2}}])), None),
            (and(json!([{"n": {"$gt": 5}}, {"n": {"$lte": 5}}])), None),
        ] {
            assert_eq!(ranges(&selector), [(String::from("n"), wanted)], "{selector}");
        }
        assert_eq!(ranges(&json!({"n": {"$in": [1]}})), []);
        assert_eq!(ranges(&json!({"$or": [{"n": {"$eq": 1}}]})), []);
    }

    #[test]
    fn required_fields_are_those_of_every_branch() {
        for (selector, fields, required) in [
            (json!({"a": {"$gt": 1}}), &["a"][..], true),
            (json!({"a": {"$exists": false}}), &["a"], false),
            (json!({"$and": [{"a": {"$eq": 1}}, {"b": {"$ne": 1}}]}), &["a", "b"], true),
            (json!({"$or": [{"a": {"$eq": 1}}, {"b": {"$eq": 1}}]}), &["a"], false),
            (json!({"$or": [{"a": {"$eq": 1}}, {"a": {"$eq": 2}}]}), &["a"], true),
            (json!({}), &[], true),
            (json!({}), &["a"], false),
        ] {
            assert_eq!(requires(&selector, fields), required, "{selector}");
        }
    }
}
