//! One thing that is asked for: an option of a command line, or a key of a plan, which has the option's long name.

use crate::text::Text;

/// What belongs to the whole test.
pub(crate) const GLOBALS: &[&str] = &[
    "pattern",
    "rate",
    "requests",
    "duration",
    "think",
    "warm-up",
    "connections",
    "poisson",
    "seed",
    "http2",
    "streams",
    "no-keepalive",
    "insecure",
    "no-resume",
];

/// What belongs to one step.
pub(crate) const OF_STEPS: &[&str] = &[
    "request",
    "header",
    "data",
    "cookie",
    "user",
    "user-agent",
    "referer",
    "status",
    "timeout",
    "xtract",
    "variable",
];

/// Those of both that have no value.
pub(crate) const FLAGS: &[&str] = &["poisson", "http2", "no-keepalive", "insecure", "no-resume"];

/// Those that nobody should read over a shoulder.
const SECRETS: &[&str] = &["cookie", "user"];

/// One of [`GLOBALS`] or of [`OF_STEPS`], with its value.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) key: &'static str,
    /// Of a variable its name, of an extraction from where; else empty.
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// What was given.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Text, or nothing of a flag.
    Text(Text),
    /// The content of this file of the user's machine.
    File { name: String, text: Text },
    /// Of a plan: values of a variable, one by one.
    List { values: Vec<String>, text: Text },
}

impl Item {
    pub(crate) fn new(key: &'static str, text: Text) -> Self {
        let text = if SECRETS.contains(&key) { text.hidden() } else { text };
        Self { key, name: String::new(), value: Value::Text(text) }
    }

    /// What was written.
    pub(crate) fn text(&self) -> &Text {
        match &self.value {
            Value::Text(text) | Value::File { text, .. } | Value::List { text, .. } => text,
        }
    }
}

/// The word itself, if it is one of these.
pub(crate) fn known(word: &str, among: &[&'static str]) -> Option<&'static str> {
    among.iter().copied().find(|known| *known == word)
}

/// The text of the last one of a key: later ones override earlier ones.
pub(crate) fn last<'a>(items: &'a [Item], key: &str) -> Option<&'a Text> {
    items.iter().rfind(|item| item.key == key).map(Item::text)
}

/// All of a key, in their order.
pub(crate) fn all<'a>(items: &'a [Item], key: &'a str) -> impl Iterator<Item = &'a Item> {
    items.iter().filter(move |item| item.key == key)
}
