//! `#{name}`: whether each one that is used is there.

use std::collections::BTreeSet;

use blitz_plugin::Failure;

use crate::nearest::hint;
use crate::text::Text;

/// The names that a step may use: of its own variables and those of the steps before it, and of cookies that those before
/// it extracted.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    names: BTreeSet<String>,
}

impl Scope {
    pub(crate) fn add(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Looks at every `#{name}` of a text.
    ///
    /// # Errors
    ///
    /// For a name that is not here, and an open end.
    pub(crate) fn check(&self, text: &Text) -> Result<(), Failure> {
        let mut from = 0;
        while let Some(found) = text.value[from..].find("#{") {
            let begin = from + found + 2;
            let Some(length) = text.value[begin..].find('}') else {
                return Err(text.fault(begin - 2, "a } is missing"));
            };
            let name = &text.value[begin..begin + length];
            if !self.has(name) {
                let hint = hint(name, self.names.iter().map(String::as_str));
                let wrong = format!("no variable {name:?} in this step or before it{hint}");
                return Err(text.fault(begin, wrong));
            }
            from = begin + length + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_must_be_known() {
        let mut scope = Scope::default();
        scope.add("name");
        scope.add("id");
        for (text, wanted) in [
            ("", ""),
            ("#{name}/#{id}#{id}", ""),
            ("# {x} {name} $", ""),
            ("a#{naem}", "no variable \"naem\" in this step or before it\n  a#{naem}\n     ^"),
            (
                "#{nam}",
                "no variable \"nam\" in this step or before it; did you mean name?\n  #{nam}\n    ^",
            ),
            ("#{}", "no variable \"\" in this step or before it\n  #{}\n    ^"),
            ("é#{id} #{id", "a } is missing\n  é#{id} #{id\n         ^"),
        ] {
            let failure = scope.check(&Text::of_line("--d", text)).err();
            let found = failure.map(|f| f.message.replacen("--d: ", "", 1)).unwrap_or_default();
            assert_eq!(found, wanted, "{text}");
        }
    }
}
