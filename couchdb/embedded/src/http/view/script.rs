//! Reductions in JavaScript: pages of rows become parts, and parts become values.

use super::{
    ViewError,
    reduce::{Cursor, GROUPS_AT_ONCE, Group, row_of},
};
use crate::{
    script::{ScriptError, Scripts},
    view::{
        index::Reader,
        json::quote,
        range::{self, Edge, Page, Row},
        reduce::sum::overflow_row,
    },
};
use std::sync::Arc;

/// A function gets about so many bytes of rows, as a node of CouchDB's tree holds: what is refused for
/// not shrinking depends on it.
const NODE_BYTES: usize = 1279;

/// A reduction that is longer than this many bytes must be short beside its input.
const OVERFLOW_BYTES: usize = 4096;

/// How many parts of a group that goes on wait before they are reduced together.
const PARTS_MAX: usize = 64;

/// What CouchDB's line to the interpreter has beside keys and values, about.
const LINE_BYTES: usize = 20;

impl Cursor {
    /// The next groups as rows of JSON.
    pub(super) async fn script(
        &mut self,
        mut reader: Reader,
        function: &Arc<str>,
        scripts: &Scripts,
    ) -> Result<Vec<String>, ViewError> {
        let mut rows = Vec::new();
        let mut open: Vec<Parts> = Vec::new();
        while let Some(span) = self.spans.front().cloned()
            && self.limit > 0
        {
            let view = self.view;
            let read = move |sql: &rusqlite::Connection| range::page(sql, view, &span, 0, u64::MAX);
            let page: Page;
            (page, reader) = reader.run(read).await?;
            let mut calls = Calls::default();
            for row in &page.rows {
                let place = self.place(&row.key);
                if open.last().is_none_or(|parts| parts.group.place != place) {
                    calls.close();
                    open.push(Parts::new(self.group(&row.key, &row.emitted)?, row));
                }
                calls.take(open.len() - 1, row);
            }
            calls.close();
            calls.run(&mut open, function, scripts).await?;
            match (page.rows.last(), self.spans.front_mut()) {
                (Some(last), Some(span)) if page.more => span.go_on_after(last),
                _ => drop(self.spans.pop_front()),
            }
            // The last group may go on in the next page, but not beyond its span.
            let ended = open.len() - usize::from(page.more && !open.is_empty());
            reduce_again(&mut open, ended, function, scripts).await?;
            for parts in open.drain(..ended) {
                if self.limit > 0 && self.wants() {
                    rows.push(parts.row());
                }
            }
            if rows.len() >= GROUPS_AT_ONCE {
                if let (Some(parts), Some(span)) = (open.pop(), self.spans.front_mut()) {
                    // The next page of groups begins with it.
                    if span.descending { span.high = parts.first } else { span.low = parts.first }
                }
                break;
            }
        }
        Ok(rows)
    }
}

/// What is known of a group.
struct Parts {
    group: Group,
    first: Edge,
    values: Vec<Box<str>>,
    /// The parts were put together at least once: CouchDB always does, also with one part.
    is_reduced_again: bool,
    /// Input and output of a reduction that did not shrink.
    overflow: Option<(usize, usize)>,
}

impl Parts {
    fn new(group: Group, first: &Row) -> Parts {
        // Rows of one document and one key are of one group.
        let first =
            Edge::Document { key: first.key.clone(), id: first.id.clone(), inclusive: true };
        Parts { group, first, values: Vec::new(), is_reduced_again: false, overflow: None }
    }

    fn row(self) -> String {
        match (self.overflow, self.values.first()) {
            (Some((input, output)), _) => overflow_row(input, output),
            (None, value) => row_of(&self.group.key, value.map_or("null", |value| value)),
        }
    }

    fn take(&mut self, input: usize, part: Result<Box<str>, ScriptError>) -> Result<(), ViewError> {
        match part {
            Ok(part) => {
                // CouchDB counts the brackets around it.
                let output = part.len() + 2;
                if output > OVERFLOW_BYTES && output * 2 > input {
                    self.overflow.get_or_insert((input, output));
                }
                self.values.push(part);
            }
            // What it throws is logged by CouchDB, and its value is null.
            Err(ScriptError::Thrown { .. }) => self.values.push("null".into()),
            Err(other) => return Err(other.into()),
        }
        Ok(())
    }
}

/// Calls of a function, each for one group.
#[derive(Default)]
struct Calls {
    groups: Vec<usize>,
    arguments: Vec<(Box<str>, Box<str>)>,
    /// The call that is being made up.
    group: usize,
    keys: String,
    values: String,
}

impl Calls {
    fn take(&mut self, group: usize, row: &Row) {
        self.group = group;
        for list in [&mut self.keys, &mut self.values] {
            list.push(if list.is_empty() { '[' } else { ',' });
        }
        self.keys.push('[');
        self.keys.push_str(&row.emitted);
        self.keys.push(',');
        quote(&row.id, &mut self.keys);
        self.keys.push(']');
        self.values.push_str(&row.value);
        if self.keys.len() + self.values.len() > NODE_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let [mut keys, mut values] = [&mut self.keys, &mut self.values].map(std::mem::take);
        keys.push(']');
        values.push(']');
        self.groups.push(self.group);
        self.arguments.push((keys.into(), values.into()));
    }

    async fn run(
        self,
        open: &mut [Parts],
        function: &Arc<str>,
        scripts: &Scripts,
    ) -> Result<(), ViewError> {
        if self.arguments.is_empty() {
            return Ok(());
        }
        let input = |(keys, values): &(Box<str>, Box<str>)| keys.len() + values.len() + LINE_BYTES;
        let inputs: Vec<usize> = self.arguments.iter().map(input).collect();
        let parts = scripts.reduce(function, self.arguments).await?;
        for ((group, input), part) in self.groups.into_iter().zip(inputs).zip(parts) {
            if let Some(parts) = open.get_mut(group) {
                parts.take(input, part)?;
            }
        }
        Ok(())
    }
}

/// Puts the parts of the first `ended` groups together until each has one value, and those of a group
/// that goes on when they are many.
async fn reduce_again(
    open: &mut [Parts],
    ended: usize,
    function: &Arc<str>,
    scripts: &Scripts,
) -> Result<(), ViewError> {
    loop {
        let mut calls = Calls::default();
        for (index, parts) in open.iter_mut().enumerate() {
            let is_due = if index < ended {
                parts.values.len() > 1 || !parts.is_reduced_again
            } else {
                parts.values.len() > PARTS_MAX
            };
            if !is_due || parts.overflow.is_some() {
                continue;
            }
            parts.is_reduced_again = true;
            let mut some: Vec<Box<str>> = Vec::new();
            for value in std::mem::take(&mut parts.values) {
                let bytes: usize = some.iter().map(|value| value.len()).sum();
                // Two at least, or nothing would ever come together.
                if some.len() > 1 && bytes + value.len() > NODE_BYTES {
                    calls.again(index, &some);
                    some.clear();
                }
                some.push(value);
            }
            calls.again(index, &some);
        }
        if calls.arguments.is_empty() {
            return Ok(());
        }
        calls.run(open, function, scripts).await?;
    }
}

impl Calls {
    /// A reduction of reductions.
    fn again(&mut self, group: usize, values: &[Box<str>]) {
        self.groups.push(group);
        self.arguments.push(("null".into(), format!("[{}]", values.join(",")).into()));
    }
}
