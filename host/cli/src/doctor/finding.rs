//! What the doctor says: findings, each with what to do about it.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, and will be missed.
    Warning,
    /// Something does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    level: Level,
    text: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    next: String,
}

/// What belongs together: a machine, a cluster, a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    about: String,
    findings: Vec<Finding>,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    parts: Vec<Part>,
}

impl Part {
    pub(super) fn new(about: &str) -> Self {
        Self { about: about.to_owned(), findings: Vec::new() }
    }

    /// Says what it is about, once that is known.
    pub(super) fn set_about(&mut self, about: &str) {
        about.clone_into(&mut self.about);
    }

    pub(super) fn ok(&mut self, text: &str) {
        self.find(Level::Ok, text, "");
    }

    pub(super) fn note(&mut self, text: &str, next: &str) {
        self.find(Level::Note, text, next);
    }

    pub(super) fn warning(&mut self, text: &str, next: &str) {
        self.find(Level::Warning, text, next);
    }

    pub(super) fn bad(&mut self, text: &str, next: &str) {
        self.find(Level::Bad, text, next);
    }

    /// One of the sentences that the product says elsewhere: what to do follows a semicolon.
    pub(super) fn said(&mut self, level: Level, sentence: &str) {
        let (text, next) = sentence.rsplit_once("; ").unwrap_or((sentence, ""));
        self.find(level, text, next);
    }

    fn find(&mut self, level: Level, text: &str, next: &str) {
        self.findings.push(Finding { level, text: text.to_owned(), next: next.to_owned() });
    }

    /// The worst of it.
    pub(super) fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

impl Report {
    pub(super) fn add(&mut self, part: Part) {
        self.parts.push(part);
    }

    pub(super) fn worst(&self) -> Level {
        self.parts.iter().map(Part::worst).max().unwrap_or(Level::Ok)
    }

    /// Leaves out what is as it should be.
    pub(super) fn quiet(&mut self) {
        for part in &mut self.parts {
            part.findings.retain(|finding| finding.level > Level::Ok);
        }
        self.parts.retain(|part| !part.findings.is_empty());
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(&format!("{}\n", part.about));
            for Finding { level, text: found, next } in &part.findings {
                text.push_str(&format!("  {:<8} {found}\n", level.word()));
                if !next.is_empty() {
                    text.push_str(&format!("  {:<8} {next}\n", "->"));
                }
            }
        }
        let count = |level| {
            let all = self.parts.iter().flat_map(|part| &part.findings);
            all.filter(|finding| finding.level == level).count()
        };
        let (bad, warnings) = (count(Level::Bad), count(Level::Warning));
        text.push_str(&match (bad, warnings) {
            (0, 0) => "all is well\n".to_owned(),
            _ => format!("to mend: {bad}, warnings: {warnings}\n"),
        });
        text
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_with_what_to_do() {
        let mut report = Report::default();
        assert_eq!(report.text(), "all is well\n");
        let mut part = Part::new("cluster tokyo");
        part.ok("CouchDB 3.5.0");
        part.said(Level::Warning, "its clock is off; by an hour; set it by NTP");
        report.add(part);
        let mut part = Part::new("machine");
        part.ok("fine");
        report.add(part);
        assert!(report.text().contains("machine\n  ok       fine\n"));
        report.quiet();
        assert_eq!(
            report.text(),
            "cluster tokyo\n  warning  its clock is off; by an hour\n  ->       set it by NTP\n\
             to mend: 0, warnings: 1\n"
        );
        assert_eq!(report.worst(), Level::Warning);
    }
}
