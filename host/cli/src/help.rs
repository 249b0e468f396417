//! Help for a plugin that this program has never seen, from its manifest. Pure.

use blitz_contract::table::COLUMNS_MAX;
use blitz_contract::{Argument, ArgumentKind, Capability, Manifest, Retry, Unit};

use crate::cells::of_text;
use crate::words::GlobalFlag;

/// Columns in which the explanations begin.
const HELP_COLUMN: usize = 30;

/// `blitz help PLUGIN`. Options of the plugin that `globals` would take are marked.
pub(crate) fn of_plugin(manifest: &Manifest, globals: &[GlobalFlag]) -> String {
    let mut text = format!("{}: {}\n\n", manifest.name, manifest.summary);
    text.push_str(&format!("Usage: blitz {} [-r REGION] {}\n", manifest.name, usage(manifest)));
    let (positional, options): (Vec<&Argument>, Vec<&Argument>) =
        manifest.arguments.iter().partition(|a| a.positional);
    section(&mut text, "Arguments", &positional, globals);
    section(&mut text, "Options", &options, globals);
    if let Some(table) = &manifest.table {
        let titles = table.columns.iter().take(COLUMNS_MAX).map(|column| of_text(&column.title));
        let titles: Vec<String> = titles.collect();
        let has_times = table.columns.iter().any(|column| column.unit == Unit::Us);
        let note = if has_times { ", times in ms" } else { "" };
        let titles = titles.join(" ");
        text.push_str(&format!("\nColumns of --table{note}:\n  REGION ENGINE {titles}\n"));
    }
    text.push_str(
        "\nGlobal flags (-r, --table, --group, --json, --timeout, ...) are in 'blitz --help'.\n",
    );
    text.push_str(&format!(
        "\n{} {}, contract {}, {}, {}\n",
        manifest.name,
        manifest.version,
        manifest.contract,
        grants(&manifest.capabilities),
        match manifest.retry {
            Retry::Safe => "runs again when its engine is lost",
            Retry::Never => "never runs twice",
        }
    ));
    text
}

fn usage(manifest: &Manifest) -> String {
    if !manifest.usage.is_empty() {
        return manifest.usage.clone();
    }
    let mut words = Vec::new();
    if manifest.arguments.iter().any(|a| !a.positional) {
        words.push("[OPTIONS]".to_owned());
    }
    for argument in manifest.arguments.iter().filter(|a| a.positional) {
        let dots = if argument.repeated { "..." } else { "" };
        words.push(match argument.required {
            true => format!("{}{dots}", argument.name),
            false => format!("[{}]{dots}", argument.name),
        });
    }
    words.join(" ")
}

fn section(text: &mut String, title: &str, arguments: &[&Argument], globals: &[GlobalFlag]) {
    if arguments.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}:\n"));
    for argument in arguments {
        let words = words(argument);
        let help = explanation(argument, globals);
        let line = if help.is_empty() {
            format!("  {words}")
        } else if words.chars().count() + 4 > HELP_COLUMN {
            format!("  {words}\n{:HELP_COLUMN$}{help}", "")
        } else {
            format!("  {words:width$}{help}", width = HELP_COLUMN - 2)
        };
        text.push_str(&line);
        text.push('\n');
    }
}

/// `-o, --output FILE`
fn words(argument: &Argument) -> String {
    if argument.positional {
        return argument.name.clone();
    }
    let short = argument.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let value = match value_word(argument) {
        "" => String::new(),
        word => format!(" {word}"),
    };
    format!("{short}--{}{value}", argument.name)
}

fn explanation(argument: &Argument, globals: &[GlobalFlag]) -> String {
    let mut notes = Vec::new();
    if !argument.positional && globals.iter().any(|global| global.long == argument.name) {
        notes.push("behind --");
    }
    if argument.required {
        notes.push("required");
    }
    if argument.repeated {
        notes.push("repeatable");
    }
    match (argument.help.is_empty(), notes.is_empty()) {
        (_, true) => argument.help.clone(),
        (true, false) => format!("({})", notes.join(", ")),
        (false, false) => format!("{} ({})", argument.help, notes.join(", ")),
    }
}

/// The value's word in help.
pub(crate) fn value_word(argument: &Argument) -> &str {
    if !argument.value.is_empty() {
        return &argument.value;
    }
    match argument.kind {
        ArgumentKind::Flag => "",
        ArgumentKind::Text => "TEXT",
        ArgumentKind::Number => "NUMBER",
        ArgumentKind::Duration => "TIME",
        ArgumentKind::Url => "URL",
        ArgumentKind::Host => "HOST",
        ArgumentKind::Secret => "SECRET",
        ArgumentKind::InputFile | ArgumentKind::OutputFile => "FILE",
        ArgumentKind::TextOrInputFile => "TEXT|@FILE",
        ArgumentKind::Form => "NAME=VALUE",
    }
}

fn grants(capabilities: &[Capability]) -> String {
    let name = |capability: &Capability| match capability {
        Capability::Web => "web",
    };
    match capabilities {
        [] => "no capabilities".to_owned(),
        some => format!("capabilities: {}", some.iter().map(name).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_explains_itself() {
        let manifest = Manifest::from_toml(
            r#"
            name = "demo"
            version = "0.1.0"
            summary = "for tests"
            contract = "0.1.0"
            capabilities = ["web"]
            retry = "safe"
            [[arguments]]
            name = "silent"
            short = "s"
            kind = "flag"
            help = "No progress"
            [[arguments]]
            name = "data"
            short = "d"
            kind = "text-or-input-file"
            repeated = true
            help = "Body to send"
            [[arguments]]
            name = "a-very-long-name-indeed"
            value = "WORD"
            help = "On its own line"
            [[arguments]]
            name = "plain"
            kind = "number"
            [[arguments]]
            name = "URL"
            kind = "url"
            positional = true
            required = true
            repeated = true
            [table]
            event = "hop"
            [[table.columns]]
            title = "TTL"
            value = "/ttl"
            [[table.columns]]
            title = "RTT"
            value = "/rtt_us"
            unit = "us"
            "#,
        );
        let plain = GlobalFlag { long: "plain".to_owned(), short: None, takes_value: false };
        insta::assert_snapshot!(of_plugin(&manifest.unwrap(), &[plain]), @r"
        demo: for tests

        Usage: blitz demo [-r REGION] [OPTIONS] URL...

        Arguments:
          URL                         (required, repeatable)

        Options:
          -s, --silent                No progress
          -d, --data TEXT|@FILE       Body to send (repeatable)
              --a-very-long-name-indeed WORD
                                      On its own line
              --plain NUMBER          (behind --)

        Columns of --table, times in ms:
          REGION ENGINE TTL RTT

        Global flags (-r, --table, --group, --json, --timeout, ...) are in 'blitz --help'.

        demo 0.1.0, contract 0.1.0, capabilities: web, runs again when its engine is lost
        ");
    }
}
