//! A plan as TOML: the long names of the options are its keys, and each of `[[steps]]` is a URL with its options.
//!
//! ```toml
//! rate = "10-1000:60"
//! warm-up = 5
//!
//! [[steps]]
//! url = "http://shop.example/login"
//! data = "user=#{name}"
//! xtract = "session"
//! variable = { name = ["ada", "grace"] }
//!
//! [[steps]]
//! url = "/cart/#{item}"
//! header = ["cookie: session=#{session}", "accept: text/html"]
//! status = 200
//! timeout = "500ms"
//! variable = { item = "number[1,1000]" }
//! ```
//!
//! Its data are text as it stands: a plan names no file, since only what the command line names comes along with a job.

use std::ops::Range;
use std::rc::Rc;

use blitz_plugin::Failure;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::EXIT_USAGE;
use crate::item::{FLAGS, GLOBALS, Item, OF_STEPS, Value, known};
use crate::line::Asked;
use crate::nearest::hint;
use crate::text::{PlanFile, Text};

/// Of a plan's file: what a host takes of a plan is 16 MiB, and the parser needs memory of its own.
const FILE_BYTES_MAX: usize = 2 << 20;

/// Keys that may have a list of texts.
const LISTS: &[&str] = &["header", "data", "cookie", "xtract"];
/// Keys that may have a bare number.
const NUMBERS: &[&str] = &[
    "rate",
    "requests",
    "duration",
    "think",
    "warm-up",
    "connections",
    "seed",
    "streams",
    "status",
    "timeout",
];

/// What a file asks for.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) globals: Vec<Item>,
    pub(crate) steps: Vec<Asked>,
}

/// A key with its value, and where they stand.
struct Entry<'a> {
    key: &'a str,
    key_at: usize,
    value: &'a DeValue<'a>,
    span: Range<usize>,
}

struct Reader {
    file: Rc<PlanFile>,
}

impl Plan {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Names the line and the column of what it does not understand.
    pub(crate) fn read(name: &str, bytes: Vec<u8>) -> Result<Self, Failure> {
        let refuse = |wrong: String| Failure::new(EXIT_USAGE, format!("{name}: {wrong}"));
        if bytes.len() > FILE_BYTES_MAX {
            let found = bytes.len();
            return Err(refuse(format!("a plan has at most {FILE_BYTES_MAX} bytes, not {found}")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            refuse(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        let reader = Reader { file: Rc::new(PlanFile { name: name.to_owned(), text }) };
        let file = Rc::clone(&reader.file);
        let table = DeTable::parse(&file.text).map_err(|error| {
            let wrong = error.message().lines().next().unwrap_or("not TOML");
            file.fault(error.span().map_or(0, |span| span.start), wrong)
        })?;
        reader.plan(table.get_ref())
    }
}

impl Reader {
    fn plan(&self, table: &DeTable<'_>) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        for entry in entries(table) {
            if let Some(key) = known(entry.key, GLOBALS) {
                self.items(key, &entry, &mut plan.globals)?;
            } else if entry.key == "steps" {
                plan.steps = self.steps(&entry)?;
            } else {
                let words = || GLOBALS.iter().copied().chain(["steps"]);
                return Err(self.unknown(&entry, words, OF_STEPS, "a key of [[steps]]"));
            }
        }
        Ok(plan)
    }

    fn steps(&self, entry: &Entry<'_>) -> Result<Vec<Asked>, Failure> {
        let wanted = "steps are tables: [[steps]]";
        let DeValue::Array(steps) = entry.value else { return Err(self.wrong(entry, wanted)) };
        let step = |step: &Spanned<DeValue<'_>>| match step.get_ref() {
            DeValue::Table(table) => self.step(table, step.span().start),
            _ => Err(self.file.fault(step.span().start, wanted)),
        };
        steps.into_iter().map(step).collect()
    }

    fn step(&self, table: &DeTable<'_>, at: usize) -> Result<Asked, Failure> {
        let (mut items, mut url) = (Vec::new(), None);
        for entry in entries(table) {
            if entry.key == "url" {
                url = Some(self.text("url", &entry)?);
            } else if entry.key == "variable" {
                self.variables(&entry, &mut items)?;
            } else if let Some(key) = known(entry.key, OF_STEPS) {
                self.items(key, &entry, &mut items)?;
            } else {
                let words = || OF_STEPS.iter().copied().chain(["url"]);
                return Err(self.unknown(
                    &entry,
                    words,
                    GLOBALS,
                    "a key of the whole plan, before its steps",
                ));
            }
        }
        match url {
            Some(url) => Ok(Asked { items, url }),
            None => Err(self.file.fault(at, "a step without a url")),
        }
    }

    fn items(
        &self,
        key: &'static str,
        entry: &Entry<'_>,
        items: &mut Vec<Item>,
    ) -> Result<(), Failure> {
        if FLAGS.contains(&key) {
            let DeValue::Boolean(is_on) = entry.value else {
                return Err(self.wrong(entry, "true or false"));
            };
            if *is_on {
                items.push(Item::new(key, self.at(entry.span.clone(), key, "")));
            }
            return Ok(());
        }
        let DeValue::Array(list) = entry.value else {
            items.push(self.named(Item::new(key, self.text(key, entry)?)));
            return Ok(());
        };
        if !LISTS.contains(&key) {
            return Err(self.wrong(entry, "one value, not a list"));
        }
        for value in list {
            let DeValue::String(text) = value.get_ref() else {
                return Err(self
                    .file
                    .fault(value.span().start, &format!("{key}: a list of texts")));
            };
            items.push(self.named(Item::new(key, self.at(value.span(), key, text))));
        }
        Ok(())
    }

    /// Only cookies are extracted.
    fn named(&self, item: Item) -> Item {
        let name = if item.key == "xtract" { "cookie" } else { "" };
        Item { name: name.to_owned(), ..item }
    }

    fn variables(&self, entry: &Entry<'_>, items: &mut Vec<Item>) -> Result<(), Failure> {
        let DeValue::Table(table) = entry.value else {
            return Err(self.wrong(entry, "a table of names: [steps.variable]"));
        };
        for variable in entries(table) {
            let what = format!("variable.{}", variable.key);
            let text = |value: &str| self.at(variable.span.clone(), what.clone(), value);
            let value = match variable.value {
                DeValue::String(spec) => Value::Text(text(spec)),
                DeValue::Array(list) => {
                    let values: Option<Vec<String>> =
                        list.into_iter().map(|v| plain(v.get_ref())).collect();
                    let wrong = || self.wrong(&variable, "a list of texts and numbers");
                    Value::List { values: values.ok_or_else(wrong)?, text: text("") }
                }
                _ => {
                    let wrong = "a list, or a text: \"alpha[8,12]\", \"number[1,1000]\", \"udid\"";
                    return Err(self.wrong(&variable, wrong));
                }
            };
            items.push(Item { key: "variable", name: variable.key.to_owned(), value });
        }
        Ok(())
    }

    /// A text, or a number as one.
    fn text(&self, key: &'static str, entry: &Entry<'_>) -> Result<Text, Failure> {
        let found = match entry.value {
            DeValue::String(text) => Some(text.to_string()),
            value if NUMBERS.contains(&key) => plain(value),
            _ => None,
        };
        let wanted = if NUMBERS.contains(&key) { "a number or a text" } else { "a text" };
        let found = found.ok_or_else(|| self.wrong(entry, wanted))?;
        Ok(self.at(entry.span.clone(), key, &found))
    }

    fn at(&self, span: Range<usize>, what: impl Into<String>, value: &str) -> Text {
        Text::of_file(&self.file, span, what, value)
    }

    fn wrong(&self, entry: &Entry<'_>, wanted: &str) -> Failure {
        self.file.fault(entry.span.start, &format!("{}: {wanted}", entry.key))
    }

    /// A key that is not one, or stands in the wrong place.
    fn unknown<'w, I: Iterator<Item = &'w str>>(
        &self,
        entry: &Entry<'_>,
        words: impl Fn() -> I,
        elsewhere: &[&str],
        place: &str,
    ) -> Failure {
        let key = entry.key;
        let wrong = match elsewhere.contains(&key) {
            true => format!("{key} is {place}"),
            false => match hint(key, words()) {
                hint if hint.is_empty() => {
                    let words: Vec<&str> = words().collect();
                    format!("unknown key {key:?}; known are {}", words.join(", "))
                }
                hint => format!("unknown key {key:?}{hint}"),
            },
        };
        self.file.fault(entry.key_at, &wrong)
    }
}

/// The entries of a table in the order of the file.
fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref(),
            key_at: key.span().start,
            value: value.get_ref(),
            span: value.span(),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_at);
    entries
}

/// A text or a number as the command line would have it.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

fn integer(number: &DeInteger<'_>) -> Option<String> {
    match number.radix() {
        10 => Some(number.as_str().to_owned()),
        radix => i64::from_str_radix(number.as_str(), radix).ok().map(|number| number.to_string()),
    }
}
