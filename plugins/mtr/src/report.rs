//! The report in mtr's format, as lines of text. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::names::{Names, UNKNOWN};
use crate::path::{Address, Hop};
use crate::settings::Settings;

/// Where the figures begin when hosts are cut, as in mtr.
const HOST_WIDTH: usize = 33;

/// What stands before the hosts: `  1.|-- `.
const LEAD_WIDTH: usize = 8;

/// `AS15169  ` before a host.
const NETWORK_WIDTH: usize = 9;

/// One column of `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    letter: char,
    title: &'static str,
    width: usize,
}

const COLUMNS: [Column; 15] = [
    column(' ', " ", 1),
    column('L', "Loss%", 6),
    column('D', "Drop", 5),
    column('R', "Rcv", 6),
    column('S', "Snt", 6),
    column('N', "Last", 6),
    column('B', "Best", 6),
    column('A', "Avg", 6),
    column('W', "Wrst", 6),
    column('V', "StDev", 6),
    column('G', "Gmean", 6),
    column('J', "Jttr", 5),
    column('M', "Javg", 5),
    column('X', "Jmax", 5),
    column('I', "Jint", 5),
];

const fn column(letter: char, title: &'static str, width: usize) -> Column {
    Column { letter, title, width }
}

impl Column {
    /// What `-o` names; the text of the refusal else.
    pub(crate) fn list(order: &str) -> Result<Vec<Self>, String> {
        /// More do not make sense, and mtr takes no more.
        const FIELDS_MAX: usize = 20;
        let fields = order.chars().count();
        if !(1..=FIELDS_MAX).contains(&fields) {
            return Err(format!("-o has 1 to {FIELDS_MAX} fields, not {fields}"));
        }
        let letter = |c: char| if c == '_' { ' ' } else { c };
        let find = |c| COLUMNS.iter().find(|column| column.letter == letter(c)).copied();
        let unknown = |c| format!("unknown field identifier: {c}");
        order.chars().map(|c| find(c).ok_or_else(|| unknown(c))).collect()
    }

    fn text(self, hop: &Hop) -> String {
        let stats = &hop.stats;
        let wide = |us: f64| format!(" {:5.1}", us / 1000.0);
        let narrow = |us: f64| format!(" {:4.1}", us / 1000.0);
        match self.letter {
            'L' => format!(" {:4.1}%", hop.loss_percent()),
            'D' => format!(" {:4}", hop.lost()),
            'R' => format!(" {:5}", stats.received),
            'S' => format!(" {:5}", hop.sent),
            'N' => wide(stats.last),
            'B' => wide(stats.best),
            'A' => wide(stats.mean),
            'W' => wide(stats.worst),
            'V' => wide(stats.deviation()),
            'G' => wide(stats.geometric_mean),
            'J' => narrow(stats.jitter),
            'M' => narrow(stats.jitter_mean),
            'X' => narrow(stats.jitter_worst),
            // Whole microseconds below 2^53.
            #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
            'I' => narrow(stats.jitter_interarrival as f64),
            _ => " ".to_owned(),
        }
    }
}

/// The whole report but its first line.
pub(crate) fn table(rows: &[Hop], names: &Names, settings: &Settings, region: &str) -> String {
    let hosts: Vec<String> = rows.iter().map(|hop| names.hop(hop)).collect();
    let lead = if settings.shows_networks { LEAD_WIDTH + NETWORK_WIDTH - 3 } else { LEAD_WIDTH };
    let widest = hosts.iter().map(|host| lead + host.chars().count()).max().unwrap_or_default();
    let width = if settings.is_wide { widest.max(6 + region.chars().count()) } else { HOST_WIDTH };
    let mut text = cut(&format!("HOST: {region}"), width);
    for column in &settings.columns {
        write!(text, "{:>1$}", column.title, column.width).ok();
    }
    text.push('\n');
    for (hop, host) in rows.iter().zip(&hosts) {
        let latest = hop.answerers().next();
        let lead = if settings.shows_networks {
            format!(" {:2}. {}", hop.ttl, network(latest, names))
        } else {
            format!(" {:2}.|-- ", hop.ttl)
        };
        text.push_str(&cut(&format!("{lead}{host}"), width));
        text.push_str(&row(hop, &settings.columns));
        text.push('\n');
        write_answerers(&mut text, hop, names, settings);
    }
    text
}

/// Each figure in its place: what is too long is cut where the next one begins, as in mtr (`100.0` for `100.0%`).
fn row(hop: &Hop, columns: &[Column]) -> String {
    let mut text = String::new();
    for (at, column) in columns.iter().enumerate() {
        let figure = column.text(hop);
        let end = if at + 1 == columns.len() { figure.len() } else { column.width };
        text.push_str(figure.get(..end).unwrap_or(&figure));
    }
    text
}

/// The labels of who answered last, then the others that answered at this hop.
fn write_answerers(text: &mut String, hop: &Hop, names: &Names, settings: &Settings) {
    let is_spread = hop.addresses.len() > 1;
    for (at, known) in hop.answerers().enumerate() {
        let shares = settings.flows > 1 && is_spread;
        if at > 0 || shares {
            let lead = match settings.shows_networks {
                true => format!("     {}", network(Some(known), names)),
                false if shares => "    |-- ".to_owned(),
                false => " ".repeat(LEAD_WIDTH),
            };
            text.push_str(&lead);
            text.push_str(&names.address(known.address));
            if shares {
                let share = hop.share_percent(known);
                write!(text, "  {share:.1}%  {}", flows(&known.flows)).ok();
            }
            text.push('\n');
        }
        for label in known.labels.iter().filter(|_| settings.shows_labels) {
            writeln!(
                text,
                "       [MPLS: Lbl {} TC {} S {} TTL {}]",
                label.label,
                label.traffic_class,
                u8::from(label.is_bottom),
                label.ttl
            )
            .ok();
        }
    }
}

fn network(known: Option<&Address>, names: &Names) -> String {
    let asn = known.and_then(|known| names.asn(known.address));
    let asn = asn.map_or_else(|| UNKNOWN.to_owned(), |asn| asn.to_string());
    format!("AS{asn:<7}")
}

/// `flow 2`, `flows 1,3-5`: counted from 1.
fn flows(flows: &BTreeSet<u16>) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for flow in flows.iter().map(|flow| flow + 1) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == flow => *last = flow,
            _ => runs.push((flow, flow)),
        }
    }
    let run = |(first, last): &(u16, u16)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    };
    let word = if flows.len() == 1 { "flow" } else { "flows" };
    format!("{word} {}", runs.iter().map(run).collect::<Vec<_>>().join(","))
}

fn cut(text: &str, width: usize) -> String {
    let kept: String = text.chars().take(width).collect();
    format!("{kept:<width$}")
}

/// `2026-01-31T23:59:59+0000`, since 1970.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(crate) fn time_text(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+0000")
}
