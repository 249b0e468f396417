//! Answers that are for nobody here: made up by a stranger, or for the probes of another process.

use blitz_tests::net::path::forger::LIAR;
use blitz_tests::net::path::{Delay, Family, Path, output};

use super::{Rights, from, ours, path_with_engine_of, said};

#[tokio::test]
async fn answers_that_a_stranger_makes_up_are_not_believed() {
    for rights in Rights::ALL {
        strangers_are_not_believed_by(rights).await;
    }
}

async fn strangers_are_not_believed_by(rights: Rights) {
    // Lies about what is behind the slow link come before the answers.
    let path = Path::builder(5).slow(4, Delay::ms(40));
    let Some((path, _engine)) = path_with_engine_of(rights, path, &[]).await else { return };
    let liar = path.liar_at(2).await;
    let target = path.destination(Family::V4);
    let stranger = LIAR.to_string();
    for args in [
        &["-U"][..],
        &["-I"],
        &["-T"],
        &["--paris"],
        &["-I", "--paris"],
        &["-T", "--paris"],
        &["-q", "3"],
    ] {
        if rights == Rights::None && args == ["-T", "--paris"] {
            // It needs raw sockets, and says so.
            continue;
        }
        let before = liar.answered_count();
        let outcome = ours(&path, "traceroute", &[args, &["-n", &target]].concat()).await;
        let seen = from(&output::traceroute(&outcome.stdout));
        assert_eq!(
            seen,
            path.to_destination(Family::V4),
            "{rights:?} {args:?}: {}",
            said(&outcome)
        );
        assert!(!outcome.stdout.contains(&stranger), "{rights:?} {args:?}: {}", said(&outcome));
        assert!(liar.answered_count() > before, "nobody lied");
    }
    let outcome = ours(&path, "ping", &["-n", "-c", "3", "-i", "0.2", &target]).await;
    assert_eq!(outcome.stdout.matches("bytes from").count(), 3, "{rights:?} {}", said(&outcome));
    assert!(!said(&outcome).contains(&stranger), "{}", said(&outcome));
    let args = ["--report", "-n", "-c", "3", "-i", "0.2", &target];
    let outcome = ours(&path, "mtr", &args).await;
    let rows = output::mtr(&outcome.stdout);
    assert_eq!(rows.len(), path.to_destination(Family::V4).len(), "{}", said(&outcome));
    assert!(!said(&outcome).contains(&stranger), "{}", said(&outcome));
}

#[tokio::test]
async fn answers_to_the_probes_of_another_process_are_not_taken() {
    for rights in Rights::ALL {
        others_answers_are_not_taken_by(rights).await;
    }
}

async fn others_answers_are_not_taken_by(rights: Rights) {
    let path = Path::builder(5);
    let Some((path, _engine)) = path_with_engine_of(rights, path, &[]).await else { return };
    for family in Family::ALL {
        let target = path.destination(family);
        let mut flood = path.command(0, &["ping", "-n", "-q", "-i", "0.002", &target]);
        let _flood = flood.spawn().expect("ping starts");
        let mut others = path.command(
            0,
            &[
                "sh",
                "-c",
                &format!(
                    "while :; do traceroute -n -q 3 {target}; traceroute -n -I {target}; done"
                ),
            ],
        );
        let _others = others.stdout(std::process::Stdio::null()).spawn().expect("a shell");
        for args in [&["-U"][..], &["-I"], &["-T"], &["-q", "3"]] {
            let outcome = ours(&path, "traceroute", &[args, &["-n", &target]].concat()).await;
            let hops = output::traceroute(&outcome.stdout);
            assert_eq!(
                from(&hops),
                path.to_destination(family),
                "{rights:?} {args:?}: {}",
                said(&outcome)
            );
        }
        let outcome = ours(&path, "ping", &["-n", "-c", "5", "-i", "0.2", &target]).await;
        let answers: Vec<_> = outcome.stdout.lines().filter(|l| l.contains("bytes from")).collect();
        assert_eq!(answers.len(), 5, "{}", said(&outcome));
        for (number, answer) in (1..).zip(answers) {
            assert!(answer.contains(&format!("icmp_seq={number} ")), "{}", said(&outcome));
        }
        assert!(outcome.stdout.contains("5 packets transmitted, 5 received"), "{}", said(&outcome));
    }
}
