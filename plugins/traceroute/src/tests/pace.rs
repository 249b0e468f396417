//! How long a trace takes, how many probes it sends, and whom it asks how often.

use blitz_plugin::testing::{self, FakePath, Ran};

use super::way::{Way, heard, host, ms, plain};
use crate::Traceroute;

fn elapsed_ms(ran: &Ran) -> u128 {
    ran.host.waited.get().as_millis()
}

#[test]
fn a_trace_with_silent_hops_is_quick() {
    let way = Way::measured();
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host(way.path(ms(0))));
    assert_eq!(ran.status, 0, "{}", ran.stdout());
    assert_eq!(ran.stdout().lines().count(), 13);
    let silent: Vec<String> =
        ran.stdout().lines().filter(|l| l.ends_with('*')).map(String::from).collect();
    assert_eq!(silent, [" 3  *", " 7  *", " 8  *"]);
    assert!(elapsed_ms(&ran) <= 200, "{} ms", elapsed_ms(&ran));
}

#[test]
fn three_probes_a_hop_lose_none_under_the_rate_limit_of_linux() {
    let way = Way::measured();
    let path = way.path(ms(0));
    let sent = std::rc::Rc::clone(&path.sent);
    let ran = testing::run!(Traceroute, ["-n", "-q3", "host.example"], host(path));
    assert_eq!(ran.status, 0);
    for line in ran.stdout().lines().skip(1) {
        let answers = line.matches(" ms").count();
        assert!(answers == 3 || line.ends_with("* * *"), "{}", ran.stdout());
    }
    assert!(elapsed_ms(&ran) <= 600, "{} ms", elapsed_ms(&ran));
    let to_target = sent.borrow().iter().filter(|(_, probe)| probe.ttl >= way.last).count();
    assert!(to_target <= 5, "the target answers six times, and was asked {to_target} times");
}

#[test]
fn a_second_trace_right_away_finds_the_same() {
    let way = Way::measured();
    for (run, later) in [0, 300].into_iter().enumerate() {
        let ran = testing::run!(Traceroute, ["-n", "host.example"], host(way.path(ms(later))));
        assert_eq!(ran.status, 0, "run {run}: {}", ran.stdout());
        assert_eq!(ran.stdout().matches(" ms").count(), 9, "run {run}: {}", ran.stdout());
    }
}

#[test]
fn each_hop_is_printed_when_it_and_those_before_it_are_final() {
    let way = Way::measured();
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host(way.path(ms(0))));
    let flushed = &ran.host.stdout.flushed_at;
    let ends: Vec<usize> =
        ran.host.stdout_text().match_indices('\n').map(|(at, _)| at + 1).collect();
    assert!(ends.iter().all(|end| flushed.contains(end)), "{flushed:?} {ends:?}");
}

#[test]
fn a_target_that_says_nothing_costs_the_longest_wait_once() {
    let path =
        FakePath::new(
            |probe| {
                if probe.ttl <= 5 { heard(plain(probe, 32, ms(10))) } else { Vec::new() }
            },
        );
    let sent = std::rc::Rc::clone(&path.sent);
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host(path));
    assert_eq!(ran.status, 1);
    assert_eq!(ran.stdout().lines().count(), 33);
    assert!((5000..=5400).contains(&elapsed_ms(&ran)), "{} ms", elapsed_ms(&ran));
    assert_eq!(sent.borrow().len(), 5 + 2 * 27, "the silent ones are asked twice");
    assert_eq!(ran.records("trace")[0]["reached"], false);
}

#[test]
fn what_is_lost_is_asked_for_again() {
    let mut lost = 0;
    let path = FakePath::new(move |probe| {
        if probe.ttl % 3 == 1 && lost < 4 {
            lost += 1;
            return Vec::new();
        }
        heard(plain(probe, 10, ms(30)))
    });
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host(path));
    assert_eq!((ran.status, ran.stdout().matches('*').count()), (0, 0), "{}", ran.stdout());
}

#[test]
fn no_more_are_out_than_wanted() {
    let path = FakePath::new(|probe| heard(plain(probe, 6, ms(10))));
    let sent = std::rc::Rc::clone(&path.sent);
    let ran = testing::run!(Traceroute, ["-n", "-N2", "host.example"], host(path));
    assert_eq!(ran.status, 0);
    for (at, _) in sent.borrow().iter() {
        let beside = sent.borrow().iter().filter(|(t, _)| *t <= *at && *at < *t + ms(10)).count();
        assert!(beside <= 2, "{beside} out at {at:?}");
    }
}

#[test]
fn any_loss_ends_in_time() {
    let mut seed = 1_u32;
    let mut chance = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 24
    };
    for round in 0..40 {
        let (lossy, far) = (chance(), u8::try_from(chance() / 8).unwrap().max(1));
        let draws: Vec<u32> = (0..2000).map(|_| chance()).collect();
        let mut at = 0;
        let path = FakePath::new(move |probe| {
            at += 1;
            let draw = draws[at % draws.len()];
            let mut answers = heard(plain(probe, far, ms(u64::from(draw))));
            match draw {
                draw if draw < lossy => answers.clear(),
                // Twice, and one that was never asked for.
                250.. => {
                    let mut other = answers[0].1.clone();
                    other.id = 70_000;
                    answers.extend([answers[0].clone(), (ms(0), other)]);
                }
                _ => {}
            }
            answers
        });
        let ran = testing::run!(Traceroute, ["-n", "-q4", "host.example"], host(path));
        assert!(ran.status <= 1, "round {round}");
        assert!(elapsed_ms(&ran) < 8000, "round {round}: {} ms", elapsed_ms(&ran));
        let ttls: Vec<String> =
            ran.stdout().lines().skip(1).map(|line| line[..2].trim().to_owned()).collect();
        let expected: Vec<String> = (1..=ttls.len()).map(|ttl| ttl.to_string()).collect();
        assert_eq!(ttls, expected, "round {round}");
    }
}

#[test]
fn a_job_that_is_asked_to_end_prints_what_there_is() {
    let way = Way::measured();
    let host = host(way.path(ms(0))).cancelled_after(ms(30));
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host);
    assert_eq!(ran.status, 1);
    assert_eq!(ran.stdout().matches(" ms").count(), 5, "{}", ran.stdout());
    assert!(elapsed_ms(&ran) <= 30, "{} ms", elapsed_ms(&ran));
    assert_eq!(ran.records("trace")[0]["reached"], false);
    assert_eq!(ran.records("hop").len(), 6);
    // The same when the job's time is nearly over.
    let host = super::way::host(way.path(ms(9000))).time(ms(530));
    let ran = testing::run!(Traceroute, ["-n", "host.example"], host);
    assert_eq!(ran.stdout().matches(" ms").count(), 5, "{}", ran.stdout());
    assert_eq!(ran.stderr(), "traceroute: the job's time is over; --timeout gives it more\n");
}
