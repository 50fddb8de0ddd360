//! A check that cannot fail is a defect.

use crate::checker::{Life, Read, Seen, Sent, Tally, check};

const CAPACITY: u64 = 4;
const WHOLE: Life = Life { began: 1, asked: usize::MAX, ended: 9, killed: false };

fn sent(life: u64, span: Life, count: u64) -> Sent {
    Sent { topic: "orders", life, span, epoch: 100 + life, count }
}

/// Who is told of gaps is not waited for.
fn read(life: u64, span: Life, seen: &[Seen]) -> Read {
    let seen = seen.to_vec();
    let gating = !seen.iter().any(|seen| matches!(seen, Seen::Gap { .. }));
    Read { topic: "orders", reader: "sink", life, span, gating, done: !span.killed, seen }
}

fn got(number: u64) -> Seen {
    Seen::Got { life: 0, number, sequence: number, whole: true }
}

fn gap(count: u64) -> Seen {
    Seen::Gap { epoch: 100, count, exact: true }
}

/// A reader that lives longer than the publisher on both sides.
fn whole(seen: &[Seen]) -> Result<Tally, String> {
    let around = Life { began: 0, ended: 10, killed: false, ..WHOLE };
    check(&[sent(0, WHOLE, 5)], &[read(0, around, seen)], CAPACITY)
}

fn refused(seen: &[Seen], why: &str) {
    let error = whole(seen).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn a_good_run_is_good() {
    let all = [0, 1, 2, 3, 4].map(got);
    assert_eq!(whole(&all), Ok(Tally { received: 5, told: 0, unknown: 0, whole: 1 }));
    let told = [got(0), gap(3), got(4)];
    assert_eq!(whole(&told), Ok(Tally { received: 2, told: 3, unknown: 0, whole: 1 }));
    assert!(whole(&[gap(2), got(2), got(3), got(4)]).is_ok());
    assert!(whole(&[got(0), got(1), got(2), gap(2)]).is_ok());
}

#[test]
fn a_doubled_message_is_found() {
    refused(&[got(0), got(1), got(1), got(2), got(3), got(4)], "1 came, 2 should have");
    refused(&[got(0), got(1), got(2), got(3), got(4), got(4)], "4 came, 5 should have");
}

#[test]
fn a_reordered_message_is_found() {
    refused(&[got(0), got(2), got(1), got(3), got(4)], "2 came, 1 should have");
    refused(&[got(1), got(0), got(2), got(3), got(4)], "0 came, 2 should have");
}

#[test]
fn a_message_that_is_lost_in_silence_is_found() {
    refused(&[got(0), got(1), got(3), got(4)], "3 came, 2 should have");
    refused(&[got(1), got(2), got(3), got(4)], "1 lost before 1");
    refused(&[got(0), got(1), got(2), got(3)], "4 of 5 came");
    refused(&[], "none of 5 came");
}

#[test]
fn a_gap_that_says_another_number_is_found() {
    refused(&[got(0), gap(2), got(4)], "4 came, 3 should have");
    refused(&[got(0), gap(4), got(4)], "4 came, 5 should have");
    refused(&[gap(3), got(2), got(3), got(4)], "3 missing before 2");
    refused(&[got(0), got(1), got(2), gap(1)], "4 of 5 came");
    refused(&[got(0), got(1), got(2), gap(3)], "6 were seen, 5 sent");
    let vague = Seen::Gap { epoch: 100, count: 3, exact: false };
    refused(&[got(0), vague, got(4)], "not exactly");
    let vague = Seen::Gap { epoch: 100, count: 0, exact: false };
    refused(&[got(0), vague, got(4)], "4 came, 1 should have");
    refused(&[got(0), got(1), vague], "2 of 5 came");
}

#[test]
fn a_gap_where_the_publisher_waits_is_found() {
    let around = Life { began: 0, ended: 10, killed: false, ..WHOLE };
    let gating = Read { gating: true, ..read(0, around, &[got(0), gap(3), got(4)]) };
    let error = check(&[sent(0, WHOLE, 5)], &[gating], CAPACITY).unwrap_err();
    assert!(error.contains("3 missing, though its publisher waits for it"), "{error}");
}

#[test]
fn what_nobody_sent_is_found() {
    let all = [0, 1, 2, 3, 4, 5].map(got);
    refused(&all, "6 were seen, 5 sent");
    refused(&[got(0), Seen::Got { life: 0, number: 1, sequence: 1, whole: false }], "whole: false");
    refused(&[got(0), Seen::Got { life: 0, number: 1, sequence: 2, whole: true }], "came as 2");
    let stranger = Seen::Got { life: 7, number: 0, sequence: 0, whole: true };
    refused(&[&all[..5], &[stranger]].concat(), "of nobody");
    let gap = Seen::Gap { epoch: 7, count: 1, exact: true };
    refused(&[&all[..5], &[gap]].concat(), "of nobody");
}

#[test]
fn who_leaves_before_its_publisher_ends_may_miss_the_rest_and_no_more() {
    let leaves = Life { began: 0, asked: 8, ended: 10, killed: false };
    let run = |seen: &[Seen]| check(&[sent(0, WHOLE, 5)], &[read(0, leaves, seen)], CAPACITY);
    assert!(run(&[0, 1, 2].map(got)).is_ok());
    let error = run(&[got(0), got(2)]).unwrap_err();
    assert!(error.contains("2 came, 1 should have"), "{error}");
    let stays = Life { asked: 9, ..leaves };
    let error = check(&[sent(0, WHOLE, 5)], &[read(0, stays, &[got(0)])], CAPACITY).unwrap_err();
    assert!(error.contains("1 of 5 came"), "{error}");
}

/// A reader that is killed in the middle, and its next start.
fn twice(first: &[Seen], second: &[Seen]) -> Result<Tally, String> {
    let publisher = Life { began: 1, ended: 20, killed: false, ..WHOLE };
    let killed = Life { began: 0, ended: 5, killed: true, ..WHOLE };
    let after = Life { began: 6, ended: 21, killed: false, ..WHOLE };
    check(&[sent(0, publisher, 15)], &[read(0, killed, first), read(1, after, second)], CAPACITY)
}

#[test]
fn what_a_killed_reader_may_have_held_is_unknown_and_no_more() {
    let first = [0, 1, 2].map(got);
    let rest = |from: u64| (from..15).map(got).collect::<Vec<_>>();
    assert_eq!(twice(&first, &rest(12)).unwrap().unknown, 9);
    let error = twice(&first, &rest(13)).unwrap_err();
    assert!(error.contains("10 lost before 13"), "{error}");
    let error = twice(&first, &rest(2)).unwrap_err();
    assert!(error.contains("2 again, the start before had 3"), "{error}");
}

#[test]
fn of_a_killed_publisher_one_message_may_have_gone_unrecorded_and_no_more() {
    let killed = Life { killed: true, ..WHOLE };
    let around = Life { began: 0, ended: 10, killed: false, ..WHOLE };
    let run = |seen: &[Seen]| check(&[sent(0, killed, 2)], &[read(0, around, seen)], CAPACITY);
    assert!(run(&[0, 1].map(got)).is_ok() && run(&[0, 1, 2].map(got)).is_ok());
    let vague = Seen::Gap { epoch: 100, count: 0, exact: false };
    assert!(run(&[got(0), vague]).is_ok());
    let error = run(&[0, 1, 2, 3].map(got)).unwrap_err();
    assert!(error.contains("4 were seen, 2 sent"), "{error}");
}
