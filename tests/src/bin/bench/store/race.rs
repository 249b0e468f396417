//! Writers of one revision: exactly one of them wins, in every round.

use std::time::Instant;

use tokio::task::JoinSet;

use super::figure::Figures;
use super::server::{DATABASE, Target};
use super::writes::seconds;

const WRITERS: usize = 64;
const ROUNDS: usize = 1_000;

pub(crate) async fn measure(target: &Target) -> Figures {
    let rounds = ROUNDS / target.share;
    let mut first = target.connect().await;
    let mut wires = Vec::new();
    for _ in 0..WRITERS {
        wires.push(target.connect().await);
    }
    let (mut sound, mut refused) = (0, 0);
    let (begun, cpu) = (Instant::now(), target.cpu());
    for round in 0..rounds {
        let path = format!("{DATABASE}/race-{round}");
        assert_eq!(first.ask("PUT", &path, r#"{"by":null}"#).await, 201);
        let revision = first.revision();
        let mut writers = JoinSet::new();
        for (writer, mut wire) in std::mem::take(&mut wires).into_iter().enumerate() {
            let (path, body) = (path.clone(), format!(r#"{{"_rev":"{revision}","by":{writer}}}"#));
            writers.spawn(async move {
                let status = wire.ask("PUT", &path, &body).await;
                (wire, status)
            });
        }
        let mut won = 0;
        while let Some(raced) = writers.join_next().await {
            let (wire, status) = raced.expect("a writer");
            wires.push(wire);
            won += usize::from(status == 201);
            refused += usize::from(status == 409);
        }
        sound += usize::from(won == 1);
    }
    let mut figures = Figures::default();
    let per_round = |total: f64| total * 1e3 / rounds as f64;
    figures.add(
        "rounds of 64 writers of one revision, per cent with one 201",
        100.0 * sound as f64 / rounds as f64,
        "100",
    );
    figures.add("  answers 409 in a round", refused as f64 / rounds as f64, "63");
    figures.add("  a round, ms", per_round(seconds(begun)), "");
    let cpu = target.cpu().saturating_sub(cpu);
    figures.add("  server CPU of a round, ms", per_round(cpu.as_secs_f64()), "");
    figures
}
