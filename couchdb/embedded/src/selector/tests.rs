//! The operators, one row each; the answers are those of CouchDB 3.5.0.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn documents() -> Vec<Value> {
    vec![
        json!({"_id": "j1", "type": "job", "region": "tokyo", "n": 1, "tags": ["a", "b"], "at": {"dc": {"rack": 3}}}),
        json!({"_id": "j2", "type": "job", "region": "paris", "n": 5, "s": "hello"}),
        json!({"_id": "j3", "type": "job", "n": 10, "region": null, "tags": []}),
        json!({"_id": "k1", "type": "log", "n": "text", "region": "tokyo", "ok": true, "list": [{"x": 1}, {"x": 5}]}),
    ]
}

#[test]
fn operators_choose_what_couchdb_chooses() {
    for (selector, chosen) in [
        (json!({}), "j1 j2 j3 k1"),
        (json!({"type": "job"}), "j1 j2 j3"),
        (json!({"type": "job", "region": "tokyo"}), "j1"),
        (json!({"region": {"$ne": "tokyo"}}), "j2 j3"),
        (json!({"nope": {"$ne": 1}}), ""),
        (json!({"region": {"$in": ["tokyo", "oslo"]}}), "j1 k1"),
        (json!({"tags": {"$in": ["b"]}}), "j1"),
        (json!({"region": {"$nin": ["tokyo"]}}), "j2 j3"),
        (json!({"s": {"$exists": false}}), "j1 j3 k1"),
        (json!({"n": {"$gte": 5, "$lt": 10}}), "j2"),
        (json!({"n": {"$gt": null}}), "j1 j2 j3 k1"),
        (json!({"n": {"$type": "string"}}), "k1"),
        (json!({"$or": [{"n": 1}, {"n": 10}]}), "j1 j3"),
        (json!({"$or": []}), "j1 j2 j3 k1"),
        (json!({"$not": {"type": "job"}}), "k1"),
        (json!({"$not": {"nope": 1}}), ""),
        (json!({"n": {"$not": {"$gt": 4}}}), "j1"),
        (json!({"$nor": [{"n": 1}, {"type": "log"}]}), "j2 j3"),
        (json!({"region": {"$regex": "^to"}}), "j1 k1"),
        (json!({"at.dc.rack": 3}), "j1"),
        (json!({"at": {"dc": {"rack": {"$gt": 2}}}}), "j1"),
        (json!({"at": {}}), ""),
        (json!({"nope": null}), ""),
        (json!({"region": null}), "j3"),
        (json!({"tags": {"$all": ["a", "b"]}}), "j1"),
        (json!({"tags": {"$size": 0}}), "j3"),
        (json!({"tags": ["a", "b"]}), "j1"),
        (json!({"tags.0": "a"}), "j1"),
        (json!({"tags": {"$elemMatch": {"$eq": "b"}}}), "j1"),
        (json!({"list": {"$elemMatch": {"x": {"$gt": 4}}}}), "k1"),
        (json!({"list": {"$allMatch": {"x": {"$gt": 0}}}}), "k1"),
        (json!({"at": {"$keyMapMatch": {"$eq": "dc"}}}), "j1"),
        (json!({"n": {"$mod": [5, 0]}}), "j2 j3"),
        (json!({"n": 1.0}), "j1"),
        (json!({"s": {"$beginsWith": "he"}}), "j2"),
        (json!({"a": {"$type": "nope"}}), ""),
    ] {
        let parsed = Selector::parse(&selector).unwrap();
        let got: Vec<String> = documents()
            .iter()
            .filter(|document| parsed.matches(document))
            .map(|document| document["_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(got.join(" "), chosen, "{selector}");
    }
}

#[test]
fn bad_selectors_are_refused_before_any_document() {
    for (selector, reason) in [
        (json!([]), "Selector error: expected a JSON object"),
        (json!({"n": {"$nope": 1}}), "Invalid operator: $nope"),
        (json!({"$nope": 1}), "Invalid operator: $nope"),
        (json!({"n": {"$in": 5}}), "Bad argument for operator $in: 5"),
        (json!({"s": {"$regex": "("}}), "Bad argument for operator $regex: <<40>>"),
        (json!({"n": {"$mod": [0, 1]}}), "Bad argument for operator $mod: [0,1]"),
        (json!({"$and": 5}), "Bad argument for operator $and: 5"),
        (json!({"a": {"$size": "x"}}), "Bad argument for operator $size: <<120>>"),
    ] {
        assert_eq!(Selector::parse(&selector).unwrap_err().to_string(), reason, "{selector}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c$]{0,3}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        "[a-c]",
        Just(String::from("$not")),
        Just(String::from("$gt")),
        Just(String::from("$or"))
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_a_selector_or_an_error(selector in value(), document in value()) {
        if let Ok(selector) = Selector::parse(&selector) {
            selector.matches(&document);
        }
    }
}
