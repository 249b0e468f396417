//! The report as one page: nothing is fetched, no script runs, every figure is text. It has a light and a dark look.
//!
//! URLs, texts of errors, and names of regions and engines come from outside: every text passes [`escape`].

mod chart;
mod figures;
mod tables;

use crate::check::Outcome;
use crate::highlights::highlights;
use crate::report::Report;
use crate::words::{bytes, changes_others, count, micros, moment, number, percent, plain, span};

const STYLE: &str = include_str!("html/style.css");
/// A browser that is fooled all the same runs and loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
/// URLs in the title; the rest are in the table of the steps.
const URLS_MAX: usize = 3;

/// The page.
#[must_use]
pub fn html(report: &Report, outcomes: &[Outcome]) -> String {
    let title = title(report);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"{POLICY}\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Load test: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}{}{}{}{}{}\
         <footer>Made by blitz {}. Percentiles are of all requests together: histograms were added, no percentile was averaged. \
         Times are exact to 0.1%.</footer>\n</main>\n</body>\n</html>\n",
        header(report, &title, outcomes),
        tiles(report),
        story(report),
        tables::checks(outcomes),
        figures::all(report),
        tables::all(report),
        escape(&report.blitz),
    )
}

fn title(report: &Report) -> String {
    let urls: Vec<String> = match &report.plan {
        Some(plan) => plan.steps.iter().map(|step| plain(&step.url)).collect(),
        None => vec!["nothing began".to_owned()],
    };
    let more = if urls.len() > URLS_MAX {
        format!(" and {} more", urls.len() - URLS_MAX)
    } else {
        String::new()
    };
    escape(&format!("{}{more}", urls[..urls.len().min(URLS_MAX)].join(", ")))
}

fn header(report: &Report, title: &str, outcomes: &[Outcome]) -> String {
    let mut badges = String::new();
    let mut badge = |class: &str, text: &str| {
        badges.push_str(&format!("<span class=\"badge {class}\">{text}</span>"));
    };
    if report.judgement.is_valid {
        badge("good", "Valid");
    } else {
        badge("bad", "Invalid: the generator was the limit");
    }
    if report.judgement.is_partial {
        badge("warn", "Partial");
    }
    let broken = outcomes.iter().filter(|outcome| !outcome.holds).count();
    if broken > 0 {
        badge("bad", &format!("{broken} of {} checks not met", outcomes.len()));
    } else if !outcomes.is_empty() {
        badge("good", &format!("{} of {} checks met", outcomes.len(), outcomes.len()));
    }
    let mut facts: Vec<String> = Vec::new();
    facts.extend(report.started_at_ms.map(moment));
    facts.push(span(report.measured_s));
    facts.push(tables::shape(report));
    let regions: Vec<String> = report.regions.iter().map(|region| plain(&region.region)).collect();
    facts.push(if regions.len() > 4 {
        format!("{} regions", regions.len())
    } else {
        regions.join(", ")
    });
    facts.retain(|fact| !fact.is_empty());
    format!(
        "<header><h1>{title}</h1><p class=\"quiet\">{}</p>{badges}</header>\n",
        escape(&facts.join(" · ")),
    )
}

fn tiles(report: &Report) -> String {
    let (total, tally) = (&report.total, &report.total.tally);
    let time = |us: u64| if tally.response.is_empty() { "-".to_owned() } else { micros(us) };
    let per_s = crate::report::per_second(tally.hits, report.measured_s);
    let height = if report.is_open_model() { "at most under way" } else { "users at most" };
    let tiles = [
        ("Answers/s", number(per_s), format!("{} in all", count(tally.hits))),
        ("p50", time(tally.response.p50_us()), "half were faster".to_owned()),
        ("p95", time(tally.response.p95_us()), "5% were slower".to_owned()),
        (
            "p99",
            time(tally.response.p99_us()),
            format!("slowest {}", time(tally.response.max_us())),
        ),
        ("Errors", percent(tally.error_rate()), format!("{} in all", count(tally.errors.total))),
        ("Load", count(total.peaks.users), height.to_owned()),
        ("Received", bytes(tally.received_bytes), format!("{} sent", bytes(tally.sent_bytes))),
    ];
    let tile = |(name, value, more): &(&str, String, String)| {
        format!(
            "<div class=\"tile\"><span>{name}</span><b>{}</b><i>{}</i></div>",
            escape(value),
            escape(more)
        )
    };
    format!("<div class=\"tiles\">{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

fn story(report: &Report) -> String {
    let class = if report.judgement.is_valid { "card" } else { "card bad" };
    let paragraph = |text: &str| format!("<p>{}</p>", escape(text).replace('\n', "<br>"));
    let text: String = highlights(report).split("\n\n").map(paragraph).collect();
    format!("<section class=\"{class}\"><h2>What happened</h2>{text}</section>\n")
}

/// For HTML and XML, in text and in quoted attributes. Control characters, which XML cannot hold, become blanks.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(letter),
            '\u{fffe}' | '\u{ffff}' => safe.push(' '),
            letter if changes_others(letter) => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_page_needs_nothing_else_and_runs_nothing() {
        let report = fixture::ramp().report();
        let outcomes = ["p99<1s", "errors<0.1%"]
            .map(|text| text.parse::<crate::Check>().unwrap().measure(&report));
        let page = html(&report, &outcomes);
        for foreign in
            ["<script", "http-equiv=\"refresh", "<link", "<img", "@import", "url(", "<b>&x"]
        {
            assert!(!page.contains(foreign), "{foreign}");
        }
        // The only address is the one that was loaded, as text; the namespace of SVG is not needed within HTML.
        assert!(page.contains("http://127.0.0.1:8080/?q=&lt;b&gt;&amp;x=1"));
        assert!(!page.contains("href=") && !page.contains("src="), "nothing is fetched");
        assert!(page.contains("no answer from &lt;127.0.0.1:8080&gt; in 1000 ms"));
        for tag in [
            "section", "svg", "table", "div", "details", "main", "p", "text", "rect", "title",
            "tr", "td", "th",
        ] {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            let closed = page.matches(&format!("</{tag}>")).count()
                + page.matches(&format!("<{tag} class=\"grid\"/>")).count();
            assert_eq!(opened, closed, "{tag}");
        }
        // To look at: BLITZ_REPORT_PAGES=/tmp cargo test -p blitz-report a_page
        if let Some(directory) = option_env!("BLITZ_REPORT_PAGES") {
            for (name, run) in [
                ("ramp", fixture::ramp()),
                ("hangs", fixture::hangs()),
                ("flat_out", fixture::flat_out()),
            ] {
                let report = run.report();
                let outcomes = ["p99<1s", "errors<0.1%", "p95<200ms over 10s"]
                    .map(|text| text.parse::<crate::Check>().unwrap().measure(&report));
                std::fs::write(format!("{directory}/{name}.html"), html(&report, &outcomes))
                    .unwrap();
            }
        }
    }

    #[test]
    fn text_from_outside_is_text() {
        let text = "<a href='x' on=\"y\">&\u{1b}]0;\u{202e}\u{2067}\u{ffff}\n";
        assert_eq!(escape(text), "&lt;a href=&#39;x&#39; on=&quot;y&quot;&gt;&amp; ]0;   \n");
    }

    #[test]
    fn a_test_that_never_began_has_a_page() {
        let page = html(&crate::Run::new(Vec::new()).report(), &[]);
        assert!(page.contains("nothing began") && page.contains("This test sent nothing."));
    }
}
