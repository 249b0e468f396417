//! Charts as SVG in the page: axes, lines, bars, and a title on every column, so that values can be read without a script.

use std::fmt::Write as _;

use super::escape;

/// Of the drawing's own units; the page scales it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 26.0;

/// A drawing with a scale for each direction.
pub(super) struct Chart {
    x: Scale,
    y: Scale,
    body: String,
    label: String,
}

/// From values to places.
struct Scale {
    least: f64,
    most: f64,
    is_log: bool,
}

impl Scale {
    /// 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let of = |value: f64| if self.is_log { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let width = of(self.most) - of(self.least);
        if width > 0.0 { ((of(value) - of(self.least)) / width).clamp(0.0, 1.0) } else { 0.5 }
    }
}

impl Chart {
    /// `label` is for who does not see it.
    pub(super) fn new(label: &str, x: (f64, f64), y_most: f64) -> Self {
        let step = step(y_most / 4.0);
        let most = ((y_most / step).ceil() * step).max(step);
        Self {
            x: Scale { least: x.0, most: x.1, is_log: false },
            y: Scale { least: 0.0, most, is_log: false },
            body: String::new(),
            label: label.to_owned(),
        }
    }

    pub(super) fn with_log_x(mut self) -> Self {
        self.x.is_log = true;
        self
    }

    fn px(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
    }

    fn py(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM)
    }

    /// Lines across, with what they stand for.
    pub(super) fn y_axis(&mut self, written: impl Fn(f64) -> String) {
        let step = step(self.y.most / 4.0);
        let mut value = 0.0;
        while value <= self.y.most * 1.0001 {
            let y = self.py(value);
            let class = if value == 0.0 { "axis" } else { "grid" };
            let _ = write!(
                self.body,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                escape(&written(value)),
            );
            value += step;
        }
    }

    /// Words below.
    pub(super) fn x_axis(&mut self, ticks: &[(f64, String)]) {
        for (value, text) in ticks {
            let x = self.px(*value);
            let anchor = if x > WIDTH - RIGHT - 24.0 { "end" } else { "middle" };
            let _ = write!(
                self.body,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                HEIGHT - 8.0,
                escape(text),
            );
        }
    }

    /// A line through what was measured; it is broken where nothing was.
    pub(super) fn line(&mut self, color: &str, points: impl Iterator<Item = (f64, Option<f64>)>) {
        let mut path = String::new();
        let mut is_down = false;
        for (x, y) in points {
            let Some(y) = y else {
                is_down = false;
                continue;
            };
            let (x, y) = (self.px(x), self.py(y));
            // A point between two gaps is seen by its round ends.
            let _ = if is_down {
                write!(path, "L{x:.1} {y:.1}")
            } else {
                write!(path, "M{x:.1} {y:.1}h0")
            };
            is_down = true;
        }
        let _ = write!(self.body, "<path d=\"{path}\" stroke=\"var(--{color})\"/>");
    }

    /// A column from the ground.
    pub(super) fn bar(&mut self, color: &str, x: (f64, f64), y: f64, title: &str) {
        let (from, to, top) = (self.px(x.0), self.px(x.1), self.py(y));
        let _ = write!(
            self.body,
            "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--{color})\"><title>{}</title></rect>",
            (to - from - 1.0).max(0.5),
            (HEIGHT - BOTTOM - top).max(0.0),
            escape(title),
        );
    }

    /// A place that is looked at, with a name at its top.
    pub(super) fn rule(&mut self, x: f64, name: &str, row: u8) {
        let x = self.px(x);
        let (anchor, at) = if x > WIDTH * 0.72 { ("end", x - 4.0) } else { ("start", x + 4.0) };
        let _ = write!(
            self.body,
            "<line class=\"rule\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{:.1}\"/>\
             <text class=\"mark\" x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{}</text>",
            TOP - 10.0,
            HEIGHT - BOTTOM,
            TOP - 2.0 + f64::from(row) * 13.0,
            escape(name),
        );
    }

    /// A part of the ground that does not count.
    pub(super) fn shade(&mut self, x: (f64, f64)) {
        self.ground("warm", x, "warm-up");
    }

    /// What is said when one points at a column.
    pub(super) fn hover(&mut self, x: (f64, f64), title: &str) {
        self.ground("hover", x, title);
    }

    fn ground(&mut self, class: &str, x: (f64, f64), title: &str) {
        let (from, to) = (self.px(x.0), self.px(x.1));
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            (to - from).max(0.5),
            HEIGHT - TOP - BOTTOM,
            escape(title),
        );
    }

    pub(super) fn svg(self) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            escape(&self.label),
            self.body
        )
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below.
pub(super) fn step(least: f64) -> f64 {
    if least <= 0.0 || !least.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let fits = [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * 0.999);
    fits.unwrap_or(10.0 * power)
}

/// Places for words below: about six, at round values.
pub(super) fn ticks(least: f64, most: f64, written: impl Fn(f64) -> String) -> Vec<(f64, String)> {
    let step = step((most - least) / 6.0);
    let mut value = (least / step).ceil() * step;
    let mut found = Vec::new();
    while value <= most && found.len() < 12 {
        found.push((value, written(value)));
        value += step;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_values() {
        assert_eq!([0.0, 0.3, 1.0, 1.1, 3.0, 60.0].map(step), [1.0, 0.5, 1.0, 2.0, 5.0, 100.0]);
        let places: Vec<f64> =
            ticks(0.0, 60.0, |v| v.to_string()).into_iter().map(|t| t.0).collect();
        assert_eq!(places, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert!(ticks(5.0, 5.0, |v| v.to_string()).len() <= 1);
    }

    #[test]
    fn what_is_foreign_is_escaped() {
        let mut chart = Chart::new("<x>", (0.0, 1.0), 0.0);
        chart.rule(0.5, "</svg><script>", 0);
        chart.hover((0.0, 1.0), "\"&'");
        chart.line("hits", [(0.0, Some(1.0)), (0.5, None), (1.0, Some(f64::NAN))].into_iter());
        let svg = chart.svg();
        assert!(!svg.contains("<script") && !svg.contains("<x>"), "{svg}");
        assert!(svg.contains("&quot;&amp;&#39;"), "{svg}");
    }
}
