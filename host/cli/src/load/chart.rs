//! The chart: response times of seconds over the users, the rate or the time. Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis as Edge, Chart, Dataset, GraphType, Widget as _};

use super::view::{Axis, Point};
use blitz_report::words;

/// Smaller, and the figures on the edges leave no room for points.
pub(super) const COLUMNS_MIN: u16 = 30;
pub(super) const ROWS_MIN: u16 = 6;

/// Draws it into `area`, which is at least [`COLUMNS_MIN`] by [`ROWS_MIN`].
pub(super) fn draw(points: &[Point], axis: Axis, color: bool, area: Rect, buffer: &mut Buffer) {
    let of = |read: fn(&Point) -> f64| -> Vec<(f64, f64)> {
        points.iter().map(|point| (point.at, read(point))).collect()
    };
    let (p50, p95, p99) = (of(|p| p.p50_ms), of(|p| p.p95_ms), of(|p| p.p99_ms));
    let tint = |tint: Color| if color { Style::new().fg(tint) } else { Style::new() };
    // Lines of points over time; over the load several seconds may stand over one place.
    let kind = match axis {
        Axis::Time => GraphType::Line,
        Axis::Users | Axis::Rate => GraphType::Scatter,
    };
    let set = |data, mark, style: Style| {
        Dataset::default().data(data).marker(mark).graph_type(kind).style(style)
    };
    // Without colours the three differ by their marks.
    let sets = match color {
        true => vec![
            set(&p99, Marker::Braille, tint(Color::Red)),
            set(&p95, Marker::Braille, tint(Color::Yellow)),
            set(&p50, Marker::Braille, tint(Color::Green)),
        ],
        false => vec![
            set(&p99, Marker::Block, Style::new()),
            set(&p95, Marker::Dot, Style::new()),
            set(&p50, Marker::Braille, Style::new()),
        ],
    };
    let greatest = |read: fn(&Point) -> f64| points.iter().map(read).fold(0.0, f64::max);
    let (right, top) = (round_up(greatest(|p| p.at)), round_up(greatest(|p| p.p99_ms)));
    let figure = |value: f64| match axis {
        Axis::Time => words::clock(whole(value)),
        Axis::Users | Axis::Rate => words::number(value),
    };
    let below = match axis {
        Axis::Users => "users",
        Axis::Rate => "requests/s",
        Axis::Time => "time",
    };
    let text = |text: String| Line::from(text);
    Chart::new(sets)
        .x_axis(Edge::default().title(below).bounds([0.0, right]).labels([
            text(figure(0.0)),
            text(figure(right / 2.0)),
            text(figure(right)),
        ]))
        .y_axis(Edge::default().title("response ms").bounds([0.0, top]).labels([
            text("0".to_owned()),
            text(words::number(top / 2.0)),
            text(words::number(top)),
        ]))
        .legend_position(None)
        .render(area, buffer);
    let legend = match color {
        true => Line::from(vec![
            Span::styled("p99 ", tint(Color::Red)),
            Span::styled("p95 ", tint(Color::Yellow)),
            Span::styled("p50", tint(Color::Green)),
        ]),
        false => Line::from("p99 █ p95 • p50 ⠒"),
    };
    // One row, on the right: the title of the edge is on the left.
    let width = u16::try_from(legend.width()).unwrap_or(u16::MAX).min(area.width);
    buffer.set_line(area.right() - width, area.y, &legend, width);
}

/// The next of 1, 1.2, 1.5, 2, ... 10, 12, ...: near to the data, and the edge stands still while the points come.
fn round_up(value: f64) -> f64 {
    let mut step = 0.001;
    while step < value && step < 1e12 {
        for factor in [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0] {
            if step * factor >= value {
                return step * factor;
            }
        }
        step *= 10.0;
    }
    step
}

/// A figure of an edge as a number that is counted.
fn whole(value: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(value).map_or(0, |seconds| seconds.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_round() {
        for (value, edge) in
            [(0.0, 0.001), (3.0, 3.0), (10.0, 10.0), (40.0, 40.0), (210.0, 250.0), (251.0, 300.0)]
        {
            assert!((round_up(value) - edge).abs() < 1e-9, "{value}: {}", round_up(value));
        }
        assert!(round_up(f64::INFINITY).is_finite() && round_up(f64::NAN).is_finite());
    }
}
