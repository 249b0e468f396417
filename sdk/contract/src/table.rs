//! The table of a plugin: which figures of its records are worth a row when many regions run it.
//!
//! A command line shows such a table for a plugin that it has never seen. Where a job ran and how it
//! ended is the command line's own to tell: the columns here are the plugin's.

use serde::{Deserialize, Serialize};

use crate::frame::is_event_kind;
use crate::manifest::ManifestError;

/// Columns of one table. With REGION and ENGINE before them, more do not fit on a screen.
pub const COLUMNS_MAX: usize = 16;

/// Characters of a column's title: it must not be wider than the figures under it need.
pub const TITLE_CHARS_MAX: usize = 16;

/// A row for each job, out of the job's last record of one kind.
///
/// In JSON every part may be absent, and text may break the rules of `plugin.toml`: how a result is
/// shown is no reason not to run a plugin. A reader bounds what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// The kind of record: `transfer`.
    pub event: String,
    /// From left to right.
    pub columns: Vec<Column>,
    /// Where the record has the list whose elements are the rows, as a JSON pointer; the pointers of columns then
    /// begin in an element. Empty: the record is one row.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rows: String,
    /// The figure by which rows are sorted, the smallest first, as a JSON pointer; rows without it come last. Empty:
    /// rows stay in the order of regions.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sort: String,
}

/// One figure of the record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Column {
    /// What stands above it: `CERT-DAYS`.
    pub title: String,
    /// Where it is in the record, as a JSON pointer: `/phases/dns_us`. A row has a dash where the record
    /// has nothing there, or null.
    ///
    /// Source: RFC 6901.
    pub value: String,
    /// What it is.
    #[serde(skip_serializing_if = "Unit::is_text")]
    pub unit: Unit,
}

/// What a figure is, so that it can be shown as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A bare number.
    Count,
    /// Microseconds; shown as milliseconds.
    Us,
    /// Any text. In JSON also a unit of a newer version.
    // The last one: serde wants it there.
    #[default]
    #[serde(other)]
    Text,
}

impl Unit {
    /// Shown as it stands in the record.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

impl Table {
    /// Checks the rules of `plugin.toml`.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Rule`] for the first field that breaks one.
    #[cfg_attr(target_family = "wasm", expect(dead_code, reason = "a guest never reads TOML"))]
    pub(crate) fn check(&self, name: &str) -> Result<(), ManifestError> {
        let rule = |field: &str, rule, found: &str| {
            let field = format!("{name}.{field}");
            Err(ManifestError::Rule { field, rule, found: found.to_owned() })
        };
        if !is_event_kind(&self.event) {
            return rule("event", "1 to 40 of a-z, 0-9 and -", &self.event);
        }
        if !(1..=COLUMNS_MAX).contains(&self.columns.len()) {
            return rule("columns", "1 to 16 columns", &self.columns.len().to_string());
        }
        for (field, pointer) in [("rows", &self.rows), ("sort", &self.sort)] {
            if !pointer.is_empty() && !is_pointer(pointer) {
                return rule(field, "a JSON pointer: /hops", pointer);
            }
        }
        for column in &self.columns {
            if !is_title(&column.title) {
                return rule("columns.title", "1 to 16 of ASCII without spaces", &column.title);
            }
            if !is_pointer(&column.value) {
                let field = format!("columns.{}.value", column.title);
                return rule(&field, "a JSON pointer: /phases/dns_us", &column.value);
            }
        }
        Ok(())
    }
}

fn is_title(title: &str) -> bool {
    (1..=TITLE_CHARS_MAX).contains(&title.len()) && title.bytes().all(|b| b.is_ascii_graphic())
}

/// The syntax of RFC 6901, section 3, without the pointer to the whole record, which is no figure.
fn is_pointer(pointer: &str) -> bool {
    pointer.starts_with('/') && pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;
    use crate::frame::EVENT_KIND_BYTES_MAX;

    const PLUGIN: &str = r#"
        name = "demo"
        version = "0.1.0"
        summary = "for tests"
        contract = "0.1.0"
        [table]
        event = "transfer"
        [[table.columns]]
        title = "DNS"
        value = "/phases/dns_us"
        unit = "us"
        [[table.columns]]
        title = "SERVER"
        value = "/a~1b~0c/0"
    "#;

    #[test]
    fn a_table_is_read_and_survives_json() {
        let manifest = Manifest::from_toml(PLUGIN).unwrap();
        let table = manifest.table.as_ref().unwrap();
        assert_eq!(table.event, "transfer");
        assert_eq!(table.columns[0].unit, Unit::Us);
        assert_eq!(table.columns[1].unit, Unit::Text);
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(Manifest::from_json(&json).unwrap(), manifest);
    }

    #[test]
    fn a_mistake_in_plugin_toml_is_named() {
        let long_kind = "t".repeat(EVENT_KIND_BYTES_MAX + 1);
        let long_title = "T".repeat(TITLE_CHARS_MAX + 1);
        let column = "[[table.columns]]\ntitle = \"X\"\nvalue = \"/x\"\n";
        let many = column.repeat(COLUMNS_MAX);
        for (right, wrong, says) in [
            ("event", "evnt", "unknown field table.evnt: \"evnt\" is none of event, columns"),
            ("unit", "units", "unknown field table.columns.DNS.units: \"units\" is none of title,"),
            ("\"us\"", "\"ms\"", "unknown unit of table.columns.DNS: \"ms\" is none of count, us,"),
            ("\"transfer\"", "\"\"", "field table.event: 1 to 40 of a-z, 0-9 and -, not \"\""),
            ("transfer", "Transfer", "field table.event"),
            ("transfer", &long_kind, "field table.event"),
            ("\"DNS\"", "\"\"", "field table.columns.title: 1 to 16 of ASCII without spaces"),
            ("DNS", "D N", "field table.columns.title"),
            ("DNS", "DÑS", "field table.columns.title"),
            ("DNS", &long_title, "field table.columns.title"),
            ("/phases", "phases", "field table.columns.DNS.value: a JSON pointer"),
            ("/phases/dns_us", "", "field table.columns.DNS.value"),
            ("~0", "~2", "field table.columns.SERVER.value"),
            ("/0\"", "~\"", "field table.columns.SERVER.value"),
            ("value", "#", "field table.columns.DNS.value"),
            (
                "[[table.columns]]",
                &format!("{many}[[table.columns]]"),
                "1 to 16 columns, not \"18\"",
            ),
        ] {
            let error = Manifest::from_toml(&PLUGIN.replacen(right, wrong, 1)).unwrap_err();
            assert!(error.to_string().contains(says), "{right} -> {wrong}: {error}");
        }
        let start = PLUGIN.find("[[table").unwrap();
        let error = Manifest::from_toml(&PLUGIN[..start]).unwrap_err().to_string();
        assert!(error.contains("table.columns: 1 to 16 columns, not \"0\""), "{error}");
    }

    #[test]
    fn json_of_another_version_is_read() {
        let read = |table: &str| {
            let json = format!(
                r#"{{"name":"demo","version":"2.0.0","summary":"for tests","contract":"0.2.0"{table}}}"#
            );
            Manifest::from_json(&json).unwrap().table
        };
        assert_eq!(read(""), None, "older");
        let newer = r#","table":{"event":"e","frame":1,"columns":[
            {"title":"A TITLE OF MANY WORDS","value":"/a","unit":"furlongs","width":9},{"formula":"a+b"}]}"#;
        let table = read(newer).unwrap();
        assert_eq!(table.columns[0].unit, Unit::Text);
        assert_eq!(table.columns[1], Column::default());
    }
}
