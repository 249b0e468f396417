//! The views of a design document: which map functions there are, and what each name asks of them.
//!
//! Views with the same map function and options share their rows, as in CouchDB. A group's signature
//! is a hash of everything that its rows depend on: documents with equal views share an index.

use super::{
    collation::Collation,
    reduce::{Reduction, UnknownReduction},
};
use crate::{revision::hex, script::Design};
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Goes into every signature: an index of another layout is not taken for one of this.
const LAYOUT: u32 = 1;

/// The views of one design document.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Tells this group's index from others of the database.
    pub(crate) signature: String,
    /// The map functions.
    pub(crate) design: Arc<Design>,
    /// One for each map function.
    pub(crate) views: Vec<View>,
    /// `options.include_design`: design documents are indexed too.
    pub(crate) include_design: bool,
    /// `options.local_seq`: documents have `_local_seq`.
    pub(crate) local_sequence: bool,
    names: BTreeMap<String, Named>,
}

/// The rows of one map function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) collation: Collation,
    /// A `_stats` is over it: it takes numbers only.
    pub(crate) has_stats: bool,
    /// A `_sum` is over it: it does not take objects beside numbers.
    pub(crate) has_sum: bool,
}

/// What the name of a view means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The place of its map function.
    pub(crate) view: usize,
    pub(crate) reduce: Option<Reduce>,
}

/// How the rows of a view are reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reduce {
    Builtin(Reduction),
    /// A function in JavaScript.
    Script(Arc<str>),
}

/// Why a design document has no views to ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadGroup {
    /// Its `language` has no interpreter here.
    #[error("{0}")]
    Language(String),
    #[error(transparent)]
    Reduction(#[from] UnknownReduction),
    /// Mango keeps its indexes in such documents.
    #[error("views of the language \"query\"")]
    Query,
}

impl Group {
    /// Reads the body of a design document. What is no view is passed over, as in CouchDB.
    pub(crate) fn read(body: &Value) -> Result<Group, BadGroup> {
        let language = body.get("language").and_then(Value::as_str).unwrap_or("javascript");
        match language {
            "javascript" => {}
            "query" => return Err(BadGroup::Query),
            other => return Err(BadGroup::Language(other.to_owned())),
        }
        let nothing = Map::new();
        let views = body.get("views").and_then(Value::as_object).unwrap_or(&nothing);
        let options = body.get("options").cloned().unwrap_or_else(|| json!({}));
        let mut group = Group {
            signature: String::new(),
            design: Arc::new(Design { library: None, functions: Vec::new() }),
            views: Vec::new(),
            include_design: options.get("include_design") == Some(&Value::Bool(true)),
            local_sequence: options.get("local_seq") == Some(&Value::Bool(true)),
            names: BTreeMap::new(),
        };
        let mut maps: Vec<(&str, Option<&Value>)> = Vec::new();
        let mut names = Vec::new();
        for (name, view) in views {
            let Some(map) = view.get("map").and_then(Value::as_str) else { continue };
            let options = view.get("options");
            let place = maps.iter().position(|known| *known == (map, options));
            let place = place.unwrap_or_else(|| {
                maps.push((map, options));
                let raw = options.and_then(|options| options.get("collation"));
                let raw = raw.and_then(Value::as_str) == Some("raw");
                let collation = if raw { Collation::Raw } else { Collation::Unicode };
                group.views.push(View { collation, ..View::default() });
                maps.len() - 1
            });
            let reduce = match view.get("reduce").and_then(Value::as_str) {
                None => None,
                Some(text) if text.starts_with('_') => {
                    Some(Reduce::Builtin(Reduction::named(text)?))
                }
                Some(text) => Some(Reduce::Script(text.into())),
            };
            if let Some(view) = group.views.get_mut(place) {
                view.has_stats |= reduce == Some(Reduce::Builtin(Reduction::Stats));
                view.has_sum |= reduce == Some(Reduce::Builtin(Reduction::Sum));
            }
            names.push((name, place, view.get("reduce")));
            group.names.insert(name.clone(), Named { view: place, reduce });
        }
        let library = views.get("lib");
        let matters = json!([LAYOUT, maps, names, options, language, library]);
        group.signature = hex(&Md5::digest(matters.to_string()));
        let functions = maps.iter().map(|(map, _)| Arc::from(*map)).collect();
        let library = library.map(|library| {
            let found = json!({"views": {"lib": library}});
            Arc::from(found.to_string())
        });
        group.design = Arc::new(Design { library, functions });
        Ok(group)
    }

    /// What the view of this name is.
    pub(crate) fn named(&self, name: &str) -> Option<&Named> {
        self.names.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(body: &Value) -> Group {
        Group::read(body).unwrap()
    }

    #[test]
    fn equal_map_functions_share_their_rows() {
        let views = json!({"views": {
            "a": {"map": "f", "reduce": "_sum"},
            "b": {"map": "f", "reduce": "_stats"},
            "c": {"map": "f", "options": {"collation": "raw"}},
            "d": {"map": "g", "reduce": "function () {}"},
            "lib": {"x": "exports.a = 1"},
            "nothing": {},
        }});
        let read = group(&views);
        let place = |name: &str| read.named(name).map(|named| named.view);
        assert_eq!([place("a"), place("b"), place("c"), place("d")], [0, 0, 1, 2].map(Some));
        assert_eq!(place("nothing"), None);
        assert_eq!(read.design.functions.len(), 3);
        let first = View { collation: Collation::Unicode, has_stats: true, has_sum: true };
        assert_eq!(read.views[0], first);
        assert_eq!(read.views[1].collation, Collation::Raw);
        assert!(matches!(read.named("d").unwrap().reduce, Some(Reduce::Script(_))));
    }

    #[test]
    fn the_signature_is_of_what_rows_depend_on() {
        let base = json!({"views": {"a": {"map": "f", "reduce": "_sum"}}});
        let signature = |body: &Value| group(body).signature;
        let mut same = base.clone();
        same["_rev"] = json!("2-a");
        same["filters"] = json!({"x": "y"});
        assert_eq!(signature(&base), signature(&same));
        for other in [
            json!({"views": {"a": {"map": "g", "reduce": "_sum"}}}),
            json!({"views": {"a": {"map": "f", "reduce": "_stats"}}}),
            json!({"views": {"a": {"map": "f", "reduce": "_sum"}, "lib": {"x": "1"}}}),
            json!({"options": {"local_seq": true}, "views": base["views"]}),
        ] {
            assert_ne!(signature(&base), signature(&other), "{other}");
        }
    }

    #[test]
    fn other_languages() {
        let read = |language: &str| Group::read(&json!({"language": language})).unwrap_err();
        assert_eq!(read("erlang"), BadGroup::Language(String::from("erlang")));
        assert_eq!(read("query"), BadGroup::Query);
    }
}
