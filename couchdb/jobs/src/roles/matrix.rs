//! The matrix of rights as data: role, kind of document, operation. The design documents are made of it, the tests ask
//! each cell of it, and [`table`] is the documentation (`couchdb/jobs/roles.md`).

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::region::DatabaseKind;
use crate::roles::{ENGINE, GATEWAY, KEEPER, OPERATOR, REPLICATOR, SCALER};

/// Who writes. Administrators of the server are not here: they may do everything, and only they write design documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// [`ENGINE`], with the role of its region beside it.
    Engine,
    /// [`GATEWAY`].
    Gateway,
    /// [`KEEPER`].
    Keeper,
    /// [`REPLICATOR`].
    Replicator,
    /// [`OPERATOR`].
    Operator,
    /// [`SCALER`].
    Scaler,
}

impl Role {
    /// All of them, in the order of [`Row::may`].
    pub const ALL: [Self; 6] =
        [Self::Engine, Self::Gateway, Self::Keeper, Self::Replicator, Self::Operator, Self::Scaler];

    /// Its name in a store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => ENGINE,
            Self::Gateway => GATEWAY,
            Self::Keeper => KEEPER,
            Self::Replicator => REPLICATOR,
            Self::Operator => OPERATOR,
            Self::Scaler => SCALER,
        }
    }
}

/// What is done to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// There was none, or it was deleted.
    Create,
    /// A revision over another.
    Change,
    /// A tombstone.
    Delete,
}

impl Operation {
    /// All of them, in the order of the letters of a cell.
    pub const ALL: [Self; 3] = [Self::Create, Self::Change, Self::Delete];

    fn place(self) -> usize {
        match self {
            Self::Create => 0,
            Self::Change => 1,
            Self::Delete => 2,
        }
    }
}

/// Whether a role may do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Never.
    No,
    /// To its own, as [`Row::own`] says.
    Own,
    /// To any.
    Yes,
}

/// The rights to one kind of document.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Where such documents are.
    pub database: DatabaseKind,
    /// Their `kind`, which is a word of their id too.
    pub kind: &'static str,
    /// Three letters for each of [`Role::ALL`]: to create, change and delete; `y` is [`May::Yes`], `o` [`May::Own`].
    may: [&'static str; 6],
    /// What [`May::Own`] means; empty where no cell says it.
    pub own: &'static str,
}

impl Row {
    /// One cell.
    #[must_use]
    pub fn may(&self, role: Role, operation: Operation) -> May {
        match self.letters(role).as_bytes().get(operation.place()) {
            Some(b'y') => May::Yes,
            Some(b'o') => May::Own,
            _ => May::No,
        }
    }

    fn letters(&self, role: Role) -> &'static str {
        let place = Role::ALL.iter().position(|&one| one == role);
        place.and_then(|place| self.may.get(place)).copied().unwrap_or("---")
    }
}

const fn row(
    database: DatabaseKind,
    kind: &'static str,
    may: [&'static str; 6],
    own: &'static str,
) -> Row {
    Row { database, kind, may, own }
}

use DatabaseKind::{Accounts, Audit, Beats, Control, Engines, Jobs, Output};

/// All rights. What is in no row nobody may write but an administrator.
///
/// What removes a right (`yanked`, `revoked`, `joined`) and what was decided once (`start`, `ready`, `go`) is created
/// and never changed, whoever asks; the replicator too, so that no cluster takes back what another one said. An
/// administrator who wants that does it in each cluster.
pub const MATRIX: &[Row] = &[
    //                        engine gateway keeper replicator operator scaler
    row(Jobs, "spec", ["---", "y--", "---", "y--", "---", "---"], ""),
    row(Jobs, "in", ["---", "y--", "---", "y--", "---", "---"], ""),
    row(Jobs, "cancel", ["---", "y--", "---", "y--", "---", "---"], ""),
    row(
        Jobs,
        "run",
        ["ooo", "---", "yyy", "yyy", "---", "---"],
        "in its region: a claim that names it; over what has not ended an end that names it, or a verdict on the claim \
         that stands there; its own leaf, to delete it",
    ),
    row(Jobs, "start", ["o--", "---", "---", "y--", "---", "---"], "in its region, with its name"),
    row(Jobs, "ready", ["o--", "---", "---", "y--", "---", "---"], "in its region, with its name"),
    row(Jobs, "go", ["---", "---", "y--", "y--", "---", "---"], ""),
    row(Output, "out", ["o--", "---", "---", "y--", "---", "---"], "in its region"),
    row(
        Engines,
        "engine",
        ["ooo", "---", "---", "yyy", "---", "--y"],
        "of its name, in its region",
    ),
    row(Engines, "drain", ["---", "---", "---", "yyy", "y-y", "y-y"], ""),
    row(Engines, "launch", ["---", "---", "---", "yyy", "---", "y-y"], ""),
    row(Beats, "beat", ["oo-", "---", "---", "---", "---", "--y"], "of its name"),
    row(Beats, "lease", ["---", "---", "yy-", "---", "---", "yy-"], ""),
    row(
        Control,
        "plugin",
        ["---", "yo-", "---", "yyy", "---", "---"],
        "what comes with blitz: without a publisher's signature before and after",
    ),
    row(Control, "yanked", ["---", "y--", "y--", "y--", "---", "---"], ""),
    row(Control, "promoted", ["---", "y--", "---", "y--", "---", "---"], ""),
    row(Control, "region", ["---", "---", "---", "yyy", "yyy", "---"], ""),
    row(Control, "cluster", ["---", "---", "---", "yyy", "yyy", "---"], ""),
    row(Control, "join", ["---", "y--", "---", "y--", "---", "---"], ""),
    row(Control, "joined", ["---", "y--", "---", "y--", "---", "---"], ""),
    row(Control, "revoked", ["---", "y--", "---", "y--", "y--", "---"], ""),
    row(Accounts, "tenant", ["---", "yy-", "-y-", "yyy", "---", "---"], ""),
    row(Accounts, "plan", ["---", "yyy", "---", "yyy", "---", "---"], ""),
    row(Accounts, "key", ["---", "y--", "--y", "y-y", "---", "---"], ""),
    row(Accounts, "target", ["---", "yyy", "--y", "yyy", "---", "---"], ""),
    row(Accounts, "usage", ["---", "yy-", "--y", "yyy", "---", "---"], ""),
    row(Accounts, "revoked", ["---", "y--", "---", "y--", "---", "---"], ""),
    row(Audit, "audit", ["---", "y--", "---", "y--", "---", "y--"], ""),
];

/// The rows of one kind of database.
pub fn rows(database: DatabaseKind) -> impl Iterator<Item = &'static Row> {
    MATRIX.iter().filter(move |row| row.database == database)
}

/// The rights of one kind of database, as `allow.js` reads them.
pub(super) fn rights(database: DatabaseKind) -> Value {
    let cells = |row: &Row| {
        let rights = Role::ALL.into_iter().map(|role| (role, row.letters(role)));
        let given = rights.filter(|(_, letters)| *letters != "---");
        Value::Object(
            given.map(|(role, letters)| (role.name().to_owned(), letters.into())).collect(),
        )
    };
    Value::Object(
        rows(database).map(|row| (row.kind.to_owned(), cells(row))).collect::<Map<_, _>>(),
    )
}

/// The matrix as a table in Markdown, for people.
#[must_use]
pub fn table() -> String {
    let mut text = String::from("| document | in |");
    for role in Role::ALL {
        write!(text, " {} |", role.name()).expect("a String takes everything");
    }
    text.push('\n');
    text.push_str(&"|---".repeat(Role::ALL.len() + 2));
    text.push_str("|\n");
    for row in MATRIX {
        write!(text, "| `{}` | {} |", row.kind, place(row.database))
            .expect("a String takes everything");
        for role in Role::ALL {
            let words = Operation::ALL.into_iter().filter_map(|operation| {
                let word = match operation {
                    Operation::Create => "create",
                    Operation::Change => "change",
                    Operation::Delete => "delete",
                };
                match row.may(role, operation) {
                    May::No => None,
                    May::Own => Some(format!("{word} own")),
                    May::Yes => Some(word.to_owned()),
                }
            });
            let words = Vec::from_iter(words).join(", ");
            write!(text, " {} |", if words.is_empty() { "-" } else { &words })
                .expect("a String takes everything");
        }
        text.push('\n');
    }
    text.push_str("\nIts own is:\n\n");
    for row in MATRIX.iter().filter(|row| !row.own.is_empty()) {
        writeln!(text, "- `{}`: {}", row.kind, row.own).expect("a String takes everything");
    }
    text
}

fn place(database: DatabaseKind) -> &'static str {
    match database {
        Control => "control",
        Jobs => "jobs",
        Output => "output",
        Engines => "engines",
        Beats => "beats",
        Accounts => "accounts",
        Audit => "audit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_three_letters_and_every_own_a_meaning() {
        for row in MATRIX {
            let mut says_own = false;
            for letters in row.may {
                assert!(letters.len() == 3 && letters.bytes().all(|b| b"yo-".contains(&b)));
                says_own |= letters.contains('o');
            }
            assert_eq!(says_own, !row.own.is_empty(), "{}", row.kind);
        }
    }

    #[test]
    fn the_table_for_people_is_of_this_matrix() {
        let kept = include_str!("../../roles.md");
        assert!(kept.ends_with(&table()), "roles.md must end with this:\n{}", table());
    }

    #[test]
    fn engines_only_read_the_control_database_and_nobody_carries_beats() {
        for operation in Operation::ALL {
            for row in rows(Control) {
                assert_eq!(row.may(Role::Engine, operation), May::No, "{}", row.kind);
            }
            for row in rows(Beats) {
                assert_eq!(row.may(Role::Replicator, operation), May::No, "{}", row.kind);
            }
        }
    }
}
