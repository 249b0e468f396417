//! What a view is asked for: parameters of the URL and members of a body, read as CouchDB reads them.
//!
//! Source: `parse_params` of `couch_mrview_http.erl`, `validate_args` and `check_range` of
//! `couch_mrview_util.erl`; the texts are CouchDB's.

use crate::{
    document::{
        check,
        object::{Members, elements, members},
    },
    http::{
        query::{Parameter, Query},
        refusal::Refusal,
    },
    view::{
        collation::Collation,
        range::{Edge, Range},
    },
};
use serde_json::value::RawValue;

/// Whether the index is brought up to date before it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Update {
    #[default]
    Before,
    /// The answer has what is there; then it is brought up to date.
    After,
    Never,
}

/// How rows are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// All in one.
    All,
    /// By the first elements of their keys.
    Elements(usize),
    /// By their keys.
    Exact,
}

/// Parameters as they were given; later ones replace earlier ones.
#[derive(Clone, Debug)]
pub(super) struct Options {
    reduce: Option<bool>,
    start: Option<Box<str>>,
    end: Option<Box<str>>,
    start_id: Option<String>,
    end_id: Option<String>,
    keys: Keys,
    descending: bool,
    limit: u64,
    skip: u64,
    group: Option<bool>,
    group_level: Option<u64>,
    inclusive_end: bool,
    include_docs: bool,
    attachments: bool,
    conflicts: Option<bool>,
    update_seq: bool,
    update: Update,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    None,
    These(Vec<Box<str>>),
    /// Something that is no list.
    Wrong,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            reduce: None,
            start: None,
            end: None,
            start_id: None,
            end_id: None,
            keys: Keys::None,
            descending: false,
            limit: LIMIT_MAX,
            skip: 0,
            group: None,
            group_level: None,
            inclusive_end: true,
            include_docs: false,
            attachments: false,
            conflicts: None,
            update_seq: false,
            update: Update::Before,
        }
    }
}

/// CouchDB's own: a limit above it is no other than it.
const LIMIT_MAX: u64 = 1 << 28;

/// What was asked, found sound.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) spans: Vec<Range>,
    /// The spans are keys.
    pub(super) by_keys: bool,
    /// None for rows as they are.
    pub(super) level: Option<Level>,
    pub(super) limit: u64,
    pub(super) skip: u64,
    pub(super) include_docs: bool,
    pub(super) attachments: bool,
    pub(super) conflicts: bool,
    pub(super) update_seq: bool,
}

/// A parameter of a URL, or a member of a body.
#[derive(Clone, Copy)]
enum Given<'a> {
    Text(&'a Parameter),
    Json(&'a RawValue),
}

impl Given<'_> {
    /// As JSON.
    fn json(self) -> Result<Box<str>, Refusal> {
        match self {
            Given::Text(parameter) => Ok(parameter.json_text()?.into()),
            Given::Json(value) => Ok(value.get().into()),
        }
    }

    /// As text; what is none in a body is taken as it is written there.
    fn text(self) -> String {
        match self {
            Given::Text(parameter) => parameter.value.clone(),
            Given::Json(value) => {
                serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
            }
        }
    }

    /// As Erlang prints it in a reason.
    fn shown(self) -> String {
        match self {
            Given::Text(parameter) => format!("{:?}", parameter.value),
            Given::Json(value) if value.get().starts_with('"') => format!("<<{}>>", value.get()),
            Given::Json(value) => value.get().to_owned(),
        }
    }

    fn boolean(self) -> Result<bool, Refusal> {
        let text = self.text();
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Refusal::query(format!("Invalid boolean parameter: {text:?}"))),
        }
    }

    fn number(self) -> Result<u64, Refusal> {
        let is_number = match self {
            Given::Text(_) => true,
            Given::Json(value) => !value.get().starts_with('"'),
        };
        let number = self.text().parse::<i128>().ok().filter(|_| is_number);
        let number = number.ok_or_else(|| {
            Refusal::query(format!("Invalid value for integer: {}", self.shown()))
        })?;
        if number < 0 {
            let shown = self.shown();
            return Err(Refusal::query(format!("Invalid value for positive integer: {shown}")));
        }
        Ok(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl Options {
    /// Reads a GET.
    pub(super) fn of_url(query: &Query) -> Result<Options, Refusal> {
        let mut options = Options::default();
        options.take_url(query)?;
        Ok(options)
    }

    /// Reads a POST: its body, then the URL over it.
    pub(super) fn of_body(body: &str, query: &Query) -> Result<Options, Refusal> {
        let members = object(body)?;
        if let Some(queries) = members.get("queries") {
            list(queries, "`queries` member must be an array.")?;
            return Err(Refusal::bad_request(
                "The `queries` parameter is no longer supported at this endpoint",
            ));
        }
        if let Some(keys) = members.get("keys") {
            list(keys, "`keys` member must be an array.")?;
        }
        let mut options = Options::default();
        options.take_members(&members)?;
        options.take_url(query)?;
        Ok(options)
    }

    /// Reads the body of `queries`: the URL, then each over it.
    pub(super) fn of_queries(body: &str, query: &Query) -> Result<Vec<Options>, Refusal> {
        let members = object(body)?;
        let queries = members
            .get("queries")
            .ok_or_else(|| Refusal::bad_request("POST body must include `queries` parameter."))?;
        let queries = list(queries, "`queries` member must be an array.")?;
        let base = Options::of_url(query)?;
        let one = |query: &RawValue| {
            // What the URL says of groups and keys is not for them.
            let mut options =
                Options { keys: Keys::None, group: None, group_level: None, ..base.clone() };
            options.take_members(&object(query.get())?)?;
            Ok(options)
        };
        queries.into_iter().map(one).collect()
    }

    fn take_url(&mut self, query: &Query) -> Result<(), Refusal> {
        for parameter in query.parameters() {
            self.take(&parameter.name, Given::Text(parameter))?;
        }
        Ok(())
    }

    fn take_members(&mut self, members: &Members<'_>) -> Result<(), Refusal> {
        for (name, value) in &members.0 {
            self.take(name, Given::Json(value))?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: Given<'_>) -> Result<(), Refusal> {
        match name {
            "reduce" => self.reduce = Some(value.boolean()?),
            "key" => self.take_key(&value.json()?),
            "keys" => {
                let keys = value.json()?;
                let keys: Option<Vec<&RawValue>> = serde_json::from_str(&keys).ok();
                match keys.as_deref() {
                    None => self.keys = Keys::Wrong,
                    Some([key]) => self.take_key(key.get()),
                    Some(keys) => {
                        self.keys = Keys::These(keys.iter().map(|key| key.get().into()).collect());
                    }
                }
            }
            "startkey" | "start_key" => self.start = Some(value.json()?),
            "endkey" | "end_key" => self.end = Some(value.json()?),
            "startkey_docid" | "start_key_doc_id" => self.start_id = Some(value.text()),
            "endkey_docid" | "end_key_doc_id" => self.end_id = Some(value.text()),
            "limit" => self.limit = value.number()?,
            "skip" => self.skip = value.number()?,
            "descending" => self.descending = value.boolean()?,
            "group" => self.group = Some(value.boolean()?),
            "group_level" => self.group_level = Some(value.number()?),
            "inclusive_end" => self.inclusive_end = value.boolean()?,
            "include_docs" => self.include_docs = value.boolean()?,
            "attachments" => self.attachments |= value.boolean()?,
            "att_encoding_info" | "sorted" => drop(value.boolean()?),
            "update_seq" => self.update_seq = value.boolean()?,
            "conflicts" => self.conflicts = Some(value.boolean()?),
            "stale" => {
                self.update = match value.text().as_str() {
                    "ok" => Update::Never,
                    "update_after" => Update::After,
                    _ => return Err(Refusal::query("Invalid value for `stale`.")),
                }
            }
            // There is one copy: every answer is from the same one.
            "stable" if matches!(value.text().as_str(), "true" | "false") => {}
            "stable" => return Err(Refusal::query("Invalid value for `stable`.")),
            "update" => {
                self.update = match value.text().as_str() {
                    "true" => Update::Before,
                    "false" => Update::Never,
                    "lazy" => Update::After,
                    _ => return Err(Refusal::query("Invalid value for `update`.")),
                }
            }
            "partition" => {
                return Err(Refusal::query(
                    "`partition` parameter is not supported in this design doc",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_key(&mut self, key: &str) {
        self.start = Some(key.into());
        self.end = Some(key.into());
    }

    pub(super) fn update(&self) -> Update {
        self.update
    }

    /// Whether a view that has a reduction is to be reduced.
    pub(super) fn reduces(&self) -> bool {
        self.reduce != Some(false)
    }

    /// Looks at everything together, for a view that is reduced or not.
    pub(super) fn check(&self, reduced: bool, collation: Collation) -> Result<Asked, Refusal> {
        let level = match (self.group, self.group_level) {
            (None | Some(false), None | Some(0)) | (Some(true), Some(0)) => Level::All,
            (Some(false), Some(_)) => {
                return Err(Refusal::query(
                    "Can't specify group=false and group_level>0 at the same time",
                ));
            }
            (Some(true), None) => Level::Exact,
            (_, Some(level)) => Level::Elements(usize::try_from(level).unwrap_or(usize::MAX)),
        };
        if !reduced && self.reduce == Some(true) {
            return Err(Refusal::query("Reduce is invalid for map-only views."));
        }
        if reduced && level != Level::Exact && matches!(self.keys, Keys::These(_)) {
            return Err(Refusal::query("Multi-key fetches for reduce views must use `group=true`"));
        }
        if self.keys == Keys::Wrong {
            return Err(Refusal::query("`keys` must be an array of strings."));
        }
        let ends = self.start.is_some() || self.end.is_some();
        if ends && matches!(&self.keys, Keys::These(keys) if !keys.is_empty()) {
            return Err(Refusal::query(
                "`keys` is incompatible with `key`, `start_key` and `end_key`",
            ));
        }
        if !reduced && level != Level::All {
            return Err(Refusal::query("Invalid use of grouping on a map view."));
        }
        if reduced && self.include_docs {
            return Err(Refusal::query("`include_docs` is invalid for reduce"));
        }
        if reduced && self.conflicts.is_some() {
            return Err(Refusal::query("`conflicts` is invalid for reduce views."));
        }
        let spans = match &self.keys {
            Keys::These(keys) => {
                let one = |key: &str| self.span(Some(key), Some(key), collation);
                let mut spans = keys.iter().map(|key| one(key)).collect::<Result<Vec<_>, _>>()?;
                if self.descending && !reduced {
                    spans.reverse();
                }
                spans
            }
            _ => vec![self.span(self.start.as_deref(), self.end.as_deref(), collation)?],
        };
        Ok(Asked {
            spans,
            by_keys: self.keys != Keys::None,
            level: reduced.then_some(level),
            limit: self.limit,
            skip: self.skip,
            include_docs: self.include_docs,
            attachments: self.attachments,
            conflicts: self.conflicts.unwrap_or(false),
            update_seq: self.update_seq,
        })
    }

    /// Refuses a range whose ends are the wrong way round; CouchDB looks at it after everything else.
    pub(super) fn check_range(&self, collation: Collation) -> Result<(), Refusal> {
        let (Some(start), Some(end)) = (&self.start, &self.end) else { return Ok(()) };
        if start == end {
            return Ok(());
        }
        let (start, end) = (collation.encode(start)?, collation.encode(end)?);
        // Before every id, this one, after every id.
        let place = |id: &Option<String>, last: bool| match id {
            Some(id) => (1, id.clone()),
            None => (if last { 2 } else { 0 }, String::new()),
        };
        let first = (start, place(&self.start_id, self.descending));
        let last = (end, place(&self.end_id, !self.descending));
        if self.descending == (first < last) {
            let other = !self.descending;
            return Err(Refusal::query(format!(
                "No rows can match your key range, reverse your start_key and end_key or set \
                 descending={other}"
            )));
        }
        Ok(())
    }

    fn span(
        &self,
        start: Option<&str>,
        end: Option<&str>,
        collation: Collation,
    ) -> Result<Range, Refusal> {
        let edge = |key: Option<&str>, id: &Option<String>, inclusive| {
            let Some(key) = key else { return Ok(Edge::Open) };
            let key = collation.encode(key)?;
            Ok::<_, check::NotJson>(match id {
                None => Edge::Key { key, inclusive },
                Some(id) => Edge::Document { key, id: id.clone(), inclusive },
            })
        };
        let start = edge(start, &self.start_id, true)?;
        let end = edge(end, &self.end_id, self.inclusive_end)?;
        let (low, high) = if self.descending { (end, start) } else { (start, end) };
        Ok(Range { low, high, descending: self.descending })
    }
}

fn object(text: &str) -> Result<Members<'_>, Refusal> {
    members(text)?.ok_or_else(|| Refusal::bad_request("Request body must be a JSON object"))
}

fn list<'a>(value: &'a RawValue, reason: &'static str) -> Result<Vec<&'a RawValue>, Refusal> {
    elements(value).ok_or_else(|| Refusal::bad_request(reason))
}
