//! What a test was held to as JUnit's XML, which every system for continuous integration shows: a case for each `--fail`, and one for
//! the judgement on the generator.

use std::fmt::Write as _;

use crate::check::Outcome;
use crate::html::escape;
use crate::judgement::is_undecided;
use crate::report::Report;

/// The outcomes as XML.
#[must_use]
pub fn junit(report: &Report, outcomes: &[Outcome]) -> String {
    let failures = outcomes.iter().filter(|outcome| !outcome.holds).count();
    let (tests, errors) = (outcomes.len() + 1, usize::from(is_undecided(report, outcomes)));
    let time = report.measured_s;
    let counts =
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time}\"");
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"blitz load test\" {counts}>\n",
    );
    let case = |name: &str| {
        format!("    <testcase classname=\"blitz.load\" name=\"{}\" time=\"{time}\"", escape(name))
    };
    let _ = write!(text, "{}", case("the generator was not the limit"));
    let reasons = report.judgement.findings.iter().filter(|finding| finding.is_invalidating);
    let reasons = reasons.map(|finding| finding.text.clone()).collect::<Vec<_>>().join("\n");
    if !report.judgement.is_valid && !is_undecided(report, outcomes) {
        let _ = writeln!(
            text,
            ">\n      <system-out>it was, and all that was to hold is met all the same: {}</system-out>\n    </testcase>",
            escape(&reasons),
        );
    } else if report.judgement.is_valid {
        text.push_str("/>\n");
    } else {
        let _ = writeln!(
            text,
            ">\n      <error type=\"invalid\" message=\"the generator was the limit\">{}</error>\n    </testcase>",
            escape(&reasons),
        );
    }
    for outcome in outcomes {
        text.push_str(&case(&outcome.expression));
        if outcome.holds {
            let _ = writeln!(
                text,
                ">\n      <system-out>{}</system-out>\n    </testcase>",
                escape(&outcome.text),
            );
        } else {
            let _ = writeln!(
                text,
                ">\n      <failure type=\"threshold\" message=\"measured: {}\">{}</failure>\n    </testcase>",
                escape(&outcome.measured),
                escape(&outcome.text),
            );
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_check_is_a_case() {
        let outcomes = |report: &Report| {
            ["p99<300ms", "p50 <= 1s"]
                .map(|text| text.parse::<crate::Check>().unwrap().measure(report))
        };
        let report = fixture::ramp().report();
        insta::assert_snapshot!(junit(&report, &outcomes(&report)));
        let invalid = fixture::flat_out().report();
        insta::assert_snapshot!(junit(&invalid, &outcomes(&invalid)));
        assert!(junit(&invalid, &[]).contains("errors=\"1\""), "nothing was to hold");
    }
}
