//! One command line, to be run by both programs.

use super::server::Kind;

/// A command line behind the program's name, with placeholders for what the server decides.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// As it stands in the table; what names the case.
    pub(crate) name: String,
    pub(crate) server: Kind,
    words: Vec<String>,
}

impl Case {
    /// Whether its outcome depends on how long something takes.
    pub(crate) fn has_time_limit(&self) -> bool {
        self.words.iter().any(|word| matches!(word.as_str(), "-m" | "--connect-timeout" | "-y"))
    }

    /// Reads `KIND: WORD 'WORD WITH SPACES' ...`; without the kind it is a plain server.
    pub(crate) fn parse(line: &str) -> Self {
        let (server, rest) = match line.split_once(": ") {
            Some((kind, rest)) if Kind::parse(kind).is_some() => (Kind::parse(kind), rest),
            _ => (None, line),
        };
        Self { name: line.to_owned(), server: server.unwrap_or(Kind::Plain), words: words(rest) }
    }

    /// The words with the server's port put in.
    pub(crate) fn arguments(&self, port: u16) -> Vec<String> {
        let scheme = if self.server.is_secure() { "https" } else { "http" };
        let host = if self.server.is_secure() { "localhost" } else { "127.0.0.1" };
        let url = format!("{scheme}://{host}:{port}");
        self.words
            .iter()
            .map(|word| word.replace("{url}", &url).replace("{port}", &port.to_string()))
            .collect()
    }

    /// Whether the line has its own `-w`, so that the runner adds none.
    pub(crate) fn writes_out(&self) -> bool {
        self.words.iter().any(|word| word == "-w" || word == "--write-out")
    }
}

/// Splits as a shell does, with single quotes as the only quotation.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
