//! The struct of `arguments!`: a typed field for each declared argument.

use std::collections::BTreeMap;

use blitz_contract::{Argument, ArgumentKind, Manifest};
use proc_macro::{Delimiter, Group, Ident, TokenStream, TokenTree};

use crate::manifest::Read;
use crate::rust;

/// What stands between the parentheses of `arguments!`.
pub(crate) struct Declaration {
    /// Attributes and visibility.
    before: TokenStream,
    name: Ident,
}

impl Declaration {
    /// Reads `#[attribute] pub struct Name`, with or without a semicolon.
    pub(crate) fn read(declaration: TokenStream) -> Result<Self, String> {
        let wanted = || "arguments! takes a struct without fields: arguments!(pub struct Args);";
        let mut tokens = declaration.into_iter();
        let is_struct = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "struct");
        let mut found = false;
        let before = tokens
            .by_ref()
            .take_while(|token| {
                found = is_struct(token);
                !found
            })
            .collect();
        let Some(TokenTree::Ident(name)) = tokens.next().filter(|_| found) else {
            return Err(wanted().to_owned());
        };
        let is_end = |token: TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ';');
        if !tokens.all(is_end) {
            return Err(wanted().to_owned());
        }
        Ok(Self { before, name })
    }

    /// The struct and its constructor.
    pub(crate) fn with(self, fields: &[Field<'_>], read: &Read) -> TokenStream {
        let (path, name) = (&read.path, &self.name);
        let declared: String = fields.iter().map(Field::declared).collect();
        let taken: String = fields.iter().map(Field::taken).collect();
        let mut code = rust(&format!("const _: &str = include_str!({path:?});"));
        if !self.before.to_string().contains("doc") {
            let text =
                format!("The arguments of {}, as `plugin.toml` declares them.", read.manifest.name);
            code.extend(rust(&format!("#[doc = {text:?}]")));
        }
        code.extend(rust("#[derive(Debug, Clone, PartialEq)]"));
        code.extend(self.before);
        code.extend(rust("struct"));
        code.extend([TokenTree::Ident(name.clone())]);
        code.extend([TokenTree::Group(Group::new(Delimiter::Brace, rust(&declared)))]);
        code.extend(rust(&format!(
            "impl {name} {{
                /// Takes the arguments out of a call.
                ///
                /// # Panics
                ///
                /// When the call was parsed with another manifest than the `plugin.toml` of this crate.
                #[must_use]
                pub fn of(call: &::blitz_plugin::Call) -> Self {{
                    let _arguments = &call.args;
                    Self {{ {taken} }}
                }}
            }}"
        )));
        code
    }
}

/// One field.
pub(crate) struct Field<'a> {
    name: String,
    argument: &'a Argument,
}

/// The fields in the order of the manifest.
///
/// # Errors
///
/// Names two arguments whose fields would be one.
pub(crate) fn fields(read: &Read) -> Result<Vec<Field<'_>>, String> {
    let Manifest { arguments, .. } = &read.manifest;
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut fields = Vec::new();
    for argument in arguments {
        let name = field_name(&argument.name);
        if let Some(other) = seen.insert(name.clone(), &argument.name) {
            return Err(format!(
                "{}: the arguments {other:?} and {:?} would both be the field {name}; give one another name",
                read.path, argument.name
            ));
        }
        fields.push(Field { name, argument });
    }
    Ok(fields)
}

impl Field<'_> {
    fn declared(&self) -> String {
        let Self { name, argument } = self;
        let doc = match argument.help.is_empty() {
            true => format!("The argument `{}`.", argument.name),
            false => argument.help.clone(),
        };
        format!("#[doc = {doc:?}] pub {name}: {},", self.of_type())
    }

    fn of_type(&self) -> String {
        let one = match self.argument.kind {
            ArgumentKind::Flag if self.argument.repeated => return "u32".to_owned(),
            ArgumentKind::Flag => return "bool".to_owned(),
            ArgumentKind::Integer => "i64",
            ArgumentKind::Number => "f64",
            ArgumentKind::Duration => "::std::time::Duration",
            ArgumentKind::Secret => "::blitz_plugin::arguments::Secret",
            ArgumentKind::InputFile => "::blitz_plugin::arguments::InputFile",
            ArgumentKind::TextOrInputFile => "::blitz_plugin::arguments::TextOrInputFile",
            ArgumentKind::OutputFile => "::blitz_plugin::arguments::OutputFile",
            ArgumentKind::Text | ArgumentKind::Url | ArgumentKind::Host | ArgumentKind::Form => {
                "::std::string::String"
            }
        };
        match self.how_often() {
            "named" => format!("::std::vec::Vec<(::std::string::String, {one})>"),
            "repeated" => format!("::std::vec::Vec<{one}>"),
            "optional" => format!("::std::option::Option<{one}>"),
            _ => one.to_owned(),
        }
    }

    fn taken(&self) -> String {
        let Self { name, argument } = self;
        let how = self.how_often();
        format!("{name}: ::blitz_plugin::arguments::{how}(_arguments, {:?}),", argument.name)
    }

    /// The function of `blitz_plugin::arguments` that takes it.
    fn how_often(&self) -> &'static str {
        let Argument { kind, repeated, named, required, default, .. } = self.argument;
        match (kind, repeated) {
            _ if *named => "named",
            (ArgumentKind::Flag, true) => "count",
            (ArgumentKind::Flag, false) => "flag",
            (_, true) => "repeated",
            (_, false) if *required || default.is_some() => "single",
            (_, false) => "optional",
        }
    }
}

/// An argument's name as an identifier.
fn field_name(name: &str) -> String {
    /// Words that Rust has taken, where `r#` makes a name of them.
    const TAKEN: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do",
        "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in",
        "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
        "return", "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe",
        "unsized", "use", "virtual", "where", "while", "yield",
    ];
    let snake: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    match snake.as_str() {
        // These are no names even so.
        "self" | "super" | "crate" | "_" => format!("{snake}_"),
        word if TAKEN.contains(&word) => format!("r#{snake}"),
        word if word.starts_with(|c: char| c.is_ascii_digit()) => format!("_{snake}"),
        _ => snake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (name, field) in [
            ("URL", "url"),
            ("max-time", "max_time"),
            ("http1.1", "http1_1"),
            ("type", "r#type"),
            ("self", "self_"),
            ("4", "_4"),
            ("_", "__"),
        ] {
            assert_eq!(field_name(name), field);
        }
    }
}
