//! mtr: the rows of Debian's mtr, on the same path.

use blitz_tests::net::path::output::{self, Row};
use blitz_tests::net::path::{Delay, Family, Path, Spread, hop, twin};

use super::{ours, path_with_engine, said};

fn from(rows: &[Row]) -> Vec<Option<String>> {
    rows.iter().map(|row| row.from.clone()).collect()
}

#[tokio::test]
async fn mtr_reports_the_rows_that_debians_reports() {
    let path = Path::builder(5).silent(&[3]).slow(4, Delay::ms(10)).loses_one_of(5, 5);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        for protocol in [&[][..], &["-u"], &["-T"]] {
            let args = [protocol, &["-n", "-c", "5", "-i", "0.2", &target]].concat();
            let outcome = ours(&path, "mtr", &[&["--report"], &args[..]].concat()).await;
            let rows = output::mtr(&outcome.stdout);
            assert_eq!(from(&rows), path.to_destination(family), "{args:?}: {}", said(&outcome));
            assert_eq!(outcome.code, Some(0), "{args:?}: {}", said(&outcome));
            let debian = path.run(&[&["mtr", "-r"], &args[..]].concat()).await;
            let debian = output::mtr(&debian.stdout);
            // It shows the target again and again when probes of a round were lost.
            let same = &from(&debian)[..rows.len().min(debian.len())];
            assert_eq!(&from(&rows)[..same.len()], same, "{args:?}: {}", said(&outcome));
            for row in &rows {
                assert_eq!(row.sent, 5, "{args:?}: {}", said(&outcome));
                let least = if row.ttl >= 4 { 20.0 } else { 0.0 };
                let is_sound = row.times.get(1).is_some_and(|mean| *mean >= least);
                assert!(is_sound || row.from.is_none(), "{args:?}: {}", said(&outcome));
            }
            let lost: Vec<_> = rows.iter().map(|row| row.loss > 0.0).collect();
            assert!(!lost[0] && !lost[1] && lost[2], "{args:?}: {}", said(&outcome));
        }
    }
}

#[tokio::test]
async fn mtr_goes_on_when_the_network_goes_away() {
    let Some((path, _engine)) = path_with_engine(Path::builder(4), &[]).await else { return };
    let target = path.destination(Family::V4);
    path.count_to(0, &[&target]);
    let args = ["mtr", "-r", "local", "--report", "-n", "-c", "12", "-i", "0.3", &target];
    let running = path.start_blitz(&args);
    blitz_tests::until("two rounds of probes", || async { (path.counted(0) > 10).then_some(()) })
        .await;
    path.cut_behind(2);
    let outcome = running.end().await;
    let rows = output::mtr(&outcome.stdout);
    assert_eq!(from(&rows[..2]), path.to_destination(Family::V4)[..2], "{}", said(&outcome));
    assert!(rows[0].loss == 0.0 && rows[0].sent == 12, "{}", said(&outcome));
    assert!(rows.iter().skip(3).all(|row| row.loss > 0.0), "{}", said(&outcome));
}

#[tokio::test]
async fn mtr_shows_both_ways_where_there_are_two() {
    let path = Path::builder(4).twin(2, Spread::Flows);
    let Some((path, _engine)) = path_with_engine(path, &[]).await else { return };
    for family in Family::ALL {
        let args = [
            "--report",
            "-n",
            "-u",
            "--paths",
            "12",
            "-c",
            "2",
            "-i",
            "0.3",
            &path.destination(family),
        ];
        let outcome = ours(&path, "mtr", &args).await;
        for one in [hop(2, family), twin(family)] {
            assert!(outcome.stdout.contains(&one), "{one}: {}", said(&outcome));
        }
    }
}
