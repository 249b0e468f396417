//! What was measured, and how it is printed: ours, the peer's, the ratio, the aim.

use crate::sample::say;

/// One number.
pub(crate) struct Figure {
    name: String,
    value: f64,
    aim: &'static str,
}

/// Numbers in the order of their measurement; the name carries the unit.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, aim: &'static str) {
        self.0.push(Figure { name: name.into(), value, aim });
    }
}

/// Prints one part.
pub(crate) fn print(part: &str, ours: &Figures, theirs: Option<&Figures>) {
    say("");
    say(&format!("{:<62} {:>11} {:>11} {:>9}   aim", part, "embedded", "couchdb", "couch/emb"));
    for figure in &ours.0 {
        let peer = theirs.and_then(|theirs| theirs.0.iter().find(|peer| peer.name == figure.name));
        let peer = peer.map(|peer| peer.value);
        let number = |value: f64| {
            let digits = if value.abs() < 100.0 { 2 } else { 0 };
            format!("{value:.digits$}")
        };
        let (value, ratio) = match peer {
            Some(peer) if figure.value > 0.0 => (number(peer), number(peer / figure.value)),
            Some(peer) => (number(peer), String::new()),
            None => (String::new(), String::new()),
        };
        let (name, own) = (&figure.name, number(figure.value));
        say(&format!("{name:<62} {own:>11} {value:>11} {ratio:>9}   {}", figure.aim));
    }
}
