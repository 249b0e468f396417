//! A command line up to the cursor as the shell would split it. Pure.

/// The words; the last one is that at the cursor, and may be empty. Of several commands on the line the last one.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let Some(word) = words.last_mut() else { break };
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), letter) => word.push(letter),
            (_, '\\') => word.extend(letters.next()),
            (Some(_), letter) => word.push(letter),
            (None, '\'' | '"') => quote = Some(letter),
            (None, '|' | ';' | '&') if word.is_empty() => words = vec![String::new()],
            (None, ';') => words = vec![String::new()],
            (None, letter) if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            (None, letter) => word.push(letter),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_the_shell_does() {
        for (line, words) in [
            ("blitz ", &["blitz", ""][..]),
            ("blitz  cu", &["blitz", "cu"]),
            ("blitz curl -d 'a b' \"c", &["blitz", "curl", "-d", "a b", "c"]),
            ("blitz curl a\\ b", &["blitz", "curl", "a b"]),
            ("cd x; blitz cu", &["blitz", "cu"]),
            ("echo | blitz cu", &["blitz", "cu"]),
            ("make && blitz cu", &["blitz", "cu"]),
            ("blitz -r japan|ireland", &["blitz", "-r", "japan|ireland"]),
            ("", &[""]),
        ] {
            assert_eq!(split(line), words, "{line}");
        }
    }
}
