//! Which answer is for which probe.

use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::signal::tests::{icmp, signal};
use super::*;

const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn probe(id: u32, flow: u16, port: u16) -> Probe {
    Probe { id, ttl: 1, size_bytes: 60, flow, port }
}

/// The guest's numbers of probes that were sent, each at once.
fn ledger(probes: &[Probe]) -> Ledger {
    let mut ledger = Ledger::new(TARGET, Protocol::Udp);
    for probe in probes {
        let serial = ledger.serial();
        ledger.add(serial, probe, Departure::now());
    }
    ledger
}

fn heard(ledger: &mut Ledger, clue: Clue) -> Option<u32> {
    ledger.answer(signal(clue, ROUTER, icmp(11, 0))).map(|answer| answer.id)
}

fn port(flow: u16, port: u16) -> Clue {
    Clue::Port { flow, port, checksum: None }
}

#[test]
fn a_port_tells_a_probe_where_it_is_its_own() {
    let mut ledger = ledger(&[probe(1, 0, 33434), probe(2, 0, 33435), probe(3, 1, 33434)]);
    assert_eq!(heard(&mut ledger, port(0, 33435)), Some(2));
    assert_eq!(heard(&mut ledger, port(1, 33434)), Some(3));
    assert_eq!(heard(&mut ledger, port(0, 33434)), Some(1));
    assert_eq!(heard(&mut ledger, port(0, 33435)), Some(2), "twice");
    assert_eq!(heard(&mut ledger, port(1, 33435)), None);
}

#[test]
fn probes_that_look_alike_are_told_apart_by_what_is_quoted_or_not_at_all() {
    let mut ledger = ledger(&[probe(1, 0, 80), probe(2, 0, 80), probe(3, 0, 80)]);
    for serial in 0..3 {
        ledger.has_checksum(Serial(serial), 100 + u16::try_from(serial).unwrap());
    }
    assert_eq!(heard(&mut ledger, port(0, 80)), None, "each could be meant");
    let exact = Clue::Port { flow: 0, port: 80, checksum: Some(101) };
    assert_eq!(heard(&mut ledger, exact), Some(2));
    assert_eq!(heard(&mut ledger, Clue::Serial(Serial(0))), Some(1));
    // The only one that waits, but one of the others may be heard a second time.
    assert_eq!(heard(&mut ledger, port(0, 80)), None);
}

#[test]
fn a_late_copy_of_an_answer_is_not_that_to_the_next_probe() {
    let mut ledger = ledger(&[probe(1, 0, 80)]);
    assert_eq!(heard(&mut ledger, port(0, 80)), Some(1));
    let now = Departure::now();
    let send = |ledger: &mut Ledger, id, after| {
        let serial = ledger.serial();
        ledger.add(serial, &probe(id, 0, 80), Departure { before: now.before + after, ..now });
        serial
    };
    let soon = send(&mut ledger, 2, DUPLICATE_TIME / 2);
    assert_eq!(heard(&mut ledger, port(0, 80)), None, "a copy, as likely as an answer");
    ledger.remove(soon);
    send(&mut ledger, 3, DUPLICATE_TIME + Duration::from_secs(1));
    assert_eq!(heard(&mut ledger, port(0, 80)), Some(3));
}

#[test]
fn the_number_of_a_probe_that_was_lost_is_free_once_it_is_forgotten() {
    let mut ledger = ledger(&[probe(7, 0, 1)]);
    let now = Instant::now();
    assert!(ledger.is_out(7, now));
    assert!(!ledger.is_out(7, now + PROBE_MEMORY + Duration::from_secs(1)));
}

#[test]
fn a_sequence_number_stands_for_the_latest_probe_that_has_it() {
    let mut ledger = ledger(&[]);
    ledger.next = 0x2_fffe;
    for id in 0..4 {
        let serial = ledger.serial();
        ledger.add(serial, &probe(id, 0, 0), Departure::now());
    }
    for (sequence, id) in [(0xfffe, Some(0)), (0xffff, Some(1)), (0, Some(2)), (1, Some(3))] {
        assert_eq!(heard(&mut ledger, Clue::Sequence(sequence)), id);
    }
    assert_eq!(heard(&mut ledger, Clue::Sequence(2)), None, "not sent yet");
}

#[test]
fn a_number_is_free_again_once_it_is_answered() {
    let mut ledger = ledger(&[probe(7, 0, 1), probe(7, 0, 2)]);
    let now = Instant::now();
    assert!(ledger.is_out(7, now));
    assert_eq!(heard(&mut ledger, Clue::Serial(Serial(0))), None, "another has its number now");
    assert_eq!(heard(&mut ledger, Clue::Serial(Serial(1))), Some(7));
    assert!(!ledger.is_out(7, now));
    ledger.remove(Serial(1));
    assert_eq!(heard(&mut ledger, Clue::Serial(Serial(1))), None);
    assert!(ledger.ids.is_empty());
}

#[test]
fn what_is_remembered_is_bounded_in_number_and_time() {
    let mut ledger = ledger(&[]);
    let begun = Departure::now();
    for id in 0..u32::try_from(OUT_MAX).unwrap() + 10 {
        let serial = ledger.serial();
        ledger.add(serial, &probe(id, 0, 0), begun);
    }
    assert_eq!((ledger.probes.len(), ledger.ids.len()), (OUT_MAX, OUT_MAX));
    assert_eq!(heard(&mut ledger, Clue::Serial(Serial(9))), None, "the oldest are forgotten");
    assert_eq!(heard(&mut ledger, Clue::Serial(Serial(10))), Some(10));

    let later = begun.before + PROBE_MEMORY + Duration::from_millis(1);
    let serial = ledger.serial();
    ledger.add(serial, &probe(1, 0, 0), Departure { before: later, ..begun });
    assert_eq!((ledger.probes.len(), ledger.ids.len()), (1, 1));

    let mut answers = 0;
    while heard(&mut ledger, Clue::Serial(serial)).is_some() {
        answers += 1;
    }
    assert_eq!(answers, ANSWERS_OF_PROBE_MAX, "a flood is cut");
}

#[test]
fn a_refusal_of_the_target_says_that_a_tcp_port_is_closed() {
    let mut ledger = Ledger::new(TARGET, Protocol::Tcp);
    let serial = ledger.serial();
    ledger.add(serial, &probe(1, 0, 80), Departure::now());
    let mut said = |what| {
        let answer = ledger.answer(signal(Clue::Serial(serial), TARGET, what)).unwrap();
        (answer.outcome, answer.is_open)
    };
    assert_eq!(said(icmp(3, 3)), (Outcome::Reached, Some(false)));
    assert_eq!(said(icmp(3, 1)), (Outcome::Unreachable, None));
    assert_eq!(said(What::Handshake { is_open: true }), (Outcome::Reached, Some(true)));
}

/// What may happen to a ledger.
#[derive(Debug, Clone)]
enum Event {
    Send { id: u32, flow: u16, port: u16, after_s: u64 },
    Fail { back: u32 },
    Hear { clue: u8, number: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_u32..20, 0_u16..3, 0_u16..3, 0_u64..20)
            .prop_map(|(id, flow, port, after_s)| Event::Send { id, flow, port, after_s }),
        1 => (0_u32..5).prop_map(|back| Event::Fail { back }),
        3 => (0_u8..3, 0_u32..200).prop_map(|(clue, number)| Event::Hear { clue, number }),
    ]
}

proptest! {
    /// Whatever is sent and heard: an answer is for the probe that has its number now, and nothing is kept of others.
    #[test]
    fn an_answer_is_for_a_probe_that_is_remembered(events in prop::collection::vec(event(), 1..200)) {
        let mut ledger = ledger(&[]);
        let mut now = Departure::now();
        for event in events {
            match event {
                Event::Send { id, flow, port, after_s } => {
                    now.before += Duration::from_secs(after_s);
                    let serial = ledger.serial();
                    ledger.add(serial, &probe(id, flow, port), now);
                    prop_assert!(ledger.is_out(id, now.before));
                }
                Event::Fail { back } => ledger.remove(Serial(ledger.next.wrapping_sub(back))),
                Event::Hear { clue, number } => {
                    let [_, _, high, low] = number.to_be_bytes();
                    let clue = match clue {
                        0 => Clue::Serial(Serial(number)),
                        1 => Clue::Sequence(u16::from_be_bytes([high, low])),
                        _ => port(u16::from(low % 3), u16::from(low / 3 % 3)),
                    };
                    if let Some(id) = heard(&mut ledger, clue) {
                        prop_assert!(ledger.ids.contains_key(&id) && !ledger.is_out(id, now.before));
                    }
                }
            }
            prop_assert_eq!(ledger.probes.len(), ledger.ids.len());
            for (id, serial) in &ledger.ids {
                prop_assert_eq!(ledger.probes[serial].id, *id);
            }
        }
    }
}
