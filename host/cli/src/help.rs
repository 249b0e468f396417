//! Help for a plugin that this program has never seen, from its manifest. Pure.
//!
//! All words of a manifest are foreign: each stands in one line, without control characters, or a summary could
//! rewrite the screen and a `help` could add lines that look like ours.

use blitz_contract::table::COLUMNS_MAX;
use blitz_contract::{Argument, ArgumentKind, Capability, Manifest, Retry, Unit};

use crate::cells::{line, of_text};
use crate::load;
use crate::words::GlobalFlag;

/// Columns in which the explanations begin.
const HELP_COLUMN: usize = 30;

/// `blitz help PLUGIN`. Options of the plugin that `globals` would take are marked.
pub(crate) fn of_plugin(manifest: &Manifest, globals: &[GlobalFlag]) -> String {
    let mut text = format!("{}: {}\n\n", manifest.name, line(&manifest.summary));
    text.push_str(&format!("Usage: blitz {} [-r REGION] {}\n", manifest.name, usage(manifest)));
    let (positional, options): (Vec<&Argument>, Vec<&Argument>) =
        manifest.arguments.iter().partition(|a| a.positional);
    section(&mut text, "Arguments", &positional, globals);
    let ours = if load::is_load(manifest) { load::options::flags() } else { Vec::new() };
    let all: Vec<GlobalFlag> = globals.iter().chain(&ours).cloned().collect();
    section(&mut text, "Options", &options, &all);
    if load::is_load(manifest) {
        text.push_str(&of_load(&load::options::command()));
        text.push_str(&load::local::section(&manifest.name));
    }
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

/// The options that are ours for a load test.
fn of_load(command: &clap::Command) -> String {
    let mut text = "\nOptions of load tests, which blitz itself does (the plugin's own of such a name: behind --):\n".to_owned();
    for argument in command.get_arguments() {
        let value = argument.get_value_names().and_then(|names| names.first());
        let takes_value = argument.get_action().takes_values();
        let value =
            value.filter(|_| takes_value).map_or_else(String::new, |name| format!(" {name}"));
        let words = format!("      --{}{value}", argument.get_long().unwrap_or_default());
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("{words:HELP_COLUMN$}{help}\n"));
    }
    text
}

fn usage(manifest: &Manifest) -> String {
    if !manifest.usage.is_empty() {
        return line(&manifest.usage);
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
        let row = if help.is_empty() {
            format!("  {words}")
        } else if words.chars().count() + 4 > HELP_COLUMN {
            format!("  {words}\n{:HELP_COLUMN$}{help}", "")
        } else {
            format!("  {words:width$}{help}", width = HELP_COLUMN - 2)
        };
        text.push_str(&row);
        text.push('\n');
    }
}

/// `-o, --output FILE`
fn words(argument: &Argument) -> String {
    if argument.positional {
        return argument.name.clone();
    }
    let name = if argument.named { ":NAME" } else { "" };
    let short =
        argument.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}{name}, "));
    let value = match value_word(argument) {
        "" => String::new(),
        word => format!(" {}", line(word)),
    };
    format!("{short}--{}{name}{value}", argument.name)
}

fn explanation(argument: &Argument, globals: &[GlobalFlag]) -> String {
    let mut notes = Vec::new();
    let is_ours = !argument.positional && globals.iter().any(|global| global.long == argument.name);
    let is_short_free = |letter| globals.iter().all(|global| global.short != Some(letter));
    // The letter may stand anywhere: it is the long name that blitz takes.
    let behind = match argument.short.filter(|letter| is_short_free(*letter)) {
        Some(letter) => format!("-{letter}, or --{} behind --", argument.name),
        None => "behind --".to_owned(),
    };
    if is_ours {
        notes.push(behind.as_str());
    }
    if argument.required {
        notes.push("required");
    }
    if argument.repeated {
        notes.push("repeatable");
    }
    let default = argument.default.as_ref().map(|default| format!("default: {}", line(default)));
    notes.extend(default.as_deref());
    let mut text = line(&argument.help);
    if !argument.choices.is_empty() {
        let between = if text.is_empty() { "" } else { ": " };
        text.push_str(&format!("{between}one of {}", line(&argument.choices.join(", "))));
    }
    if !notes.is_empty() {
        let between = if text.is_empty() { "" } else { " " };
        text.push_str(&format!("{between}({})", notes.join(", ")));
    }
    text
}

/// The value's word in help.
pub(crate) fn value_word(argument: &Argument) -> &str {
    if !argument.value.is_empty() {
        return &argument.value;
    }
    match argument.kind {
        ArgumentKind::Flag => "",
        ArgumentKind::Text => "TEXT",
        ArgumentKind::Number | ArgumentKind::Integer => "NUMBER",
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
    match capabilities {
        [] => "no capabilities".to_owned(),
        some => {
            let names: Vec<String> = some.iter().map(|right| line(right.name())).collect();
            format!("capabilities: {}", names.join(", "))
        }
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
            name = "set"
            short = "v"
            named = true
            value = "WORD"
            help = "Called so"
            [[arguments]]
            name = "plain"
            kind = "number"
            default = "0.5"
            repeated = true
            [[arguments]]
            name = "format"
            choices = ["text", "json"]
            default = "text"
            help = "How it looks"
            [[arguments]]
            name = "level"
            choices = ["1", "2"]
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
          -v:NAME, --set:NAME WORD    Called so
              --plain NUMBER          (behind --, repeatable, default: 0.5)
              --format TEXT           How it looks: one of text, json (default: text)
              --level TEXT            one of 1, 2

        Columns of --table, times in ms:
          REGION ENGINE TTL RTT

        Global flags (-r, --table, --group, --json, --timeout, ...) are in 'blitz --help'.

        demo 0.1.0, contract 0.1.0, capabilities: web, runs again when its engine is lost
        ");
    }

    #[test]
    fn words_of_a_manifest_do_not_reach_the_terminal_as_controls_or_lines() {
        const EVIL: &str = "\u{1b}]0;t\u{7}\u{1b}[2Jx\u{9b}31m\r\nrights    none\u{202e}";
        let mut manifest = Manifest::from_json(
            r#"{"name":"demo","version":"0.1.0","summary":"","contract":"0.1.0",
                "arguments":[{"name":"a"}]}"#,
        )
        .unwrap();
        manifest.summary = EVIL.to_owned();
        manifest.usage = EVIL.to_owned();
        manifest.capabilities = vec![Capability::Unknown(EVIL.to_owned())];
        let lines_before = of_plugin(&manifest, &[]).lines().count();
        let argument = &mut manifest.arguments[0];
        argument.help = EVIL.to_owned();
        argument.value = EVIL.to_owned();
        argument.default = Some(EVIL.to_owned());
        argument.choices = vec![EVIL.to_owned()];
        let help = of_plugin(&manifest, &[]);
        let is_bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!help.contains(is_bad), "{help:?}");
        assert!(!help.lines().any(|line| line.starts_with("rights")), "{help}");
        // A long word of a value may put its explanation on a line of its own.
        assert!(help.lines().count() <= lines_before + 1, "{help}");
    }
}
