//! The command line as items: those of the whole test from anywhere, those of a step in front of its URL.

use blitz_plugin::{Arguments, Failure, Given};

use crate::item::{GLOBALS, Item, OF_STEPS, Value, known};
use crate::text::Text;

/// The words behind `-x:` and `--xtract:`, as in 2011.
const COOKIE: [&str; 2] = ["c", "cookie"];

/// What a command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) globals: Vec<Item>,
    pub(crate) steps: Vec<Asked>,
    /// `--plan`
    pub(crate) plan: Option<String>,
}

/// A URL with what stands before it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) items: Vec<Item>,
    pub(crate) url: Text,
}

impl Line {
    /// Sorts the options.
    ///
    /// # Errors
    ///
    /// For options of a step that no URL follows.
    pub(crate) fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let mut line = Self::default();
        let mut waiting = Vec::new();
        for given in arguments.occurrences() {
            if let Some(key) = known(given.name, GLOBALS) {
                line.globals.push(item(key, given));
            } else if let Some(key) = known(given.name, OF_STEPS) {
                waiting.push(named(item(key, given), given)?);
            } else if given.name == "plan" {
                line.plan = Some(given.value.to_owned());
            } else {
                let items = std::mem::take(&mut waiting);
                line.steps.push(Asked { items, url: Text::of_line("URL", given.value) });
            }
        }
        match waiting.first() {
            None => Ok(line),
            Some(item) => Err(item.text().refuse(match line.steps.is_empty() {
                true => "no URL follows it",
                false => "no URL follows it: the options of a step stand before its URL",
            })),
        }
    }
}

fn item(key: &'static str, given: Given<'_>) -> Item {
    let what = match given.key {
        // The long name alone is blitz's own: who meant this one typed the letter.
        "" if key == "timeout" => "-T".to_owned(),
        "" => format!("--{key}"),
        name => format!("--{key}:{name}"),
    };
    let item = Item::new(key, Text::of_line(what, given.value));
    match given.value.strip_prefix('@').filter(|_| key == "data") {
        Some(name) => {
            let text = item.text().clone();
            Item { value: Value::File { name: name.to_owned(), text }, ..item }
        }
        None => item,
    }
}

/// With the name that the user gave it.
fn named(item: Item, given: Given<'_>) -> Result<Item, Failure> {
    if given.name == "xtract" && !COOKIE.contains(&given.key) {
        let wrong = "only cookies are extracted: -x:c NAME or --xtract:cookie NAME";
        return Err(Text::of_line("--xtract", given.key).refuse(wrong));
    }
    Ok(Item { name: given.key.to_owned(), ..item })
}
