//! Tests of the checker: it must find each kind of fault.

use super::checker::{Life, Promise, Read, Seen, Sent, Tally, check};

const SLOTS: u64 = 4;
const WHOLE: Life = Life { began: 1, asked: usize::MAX, ended: 9, killed: false };

fn sent(life: u64, span: Life, count: u64) -> Sent {
    Sent { topic: "orders", life, span, epoch: 100 + life, count, confirmed: 0 }
}

/// No publisher waits for a reader that gets gaps.
fn read(life: u64, span: Life, seen: &[Seen]) -> Read {
    let seen = seen.to_vec();
    let is_told = seen.iter().any(|seen| matches!(seen, Seen::Gap { .. }));
    let promise = if is_told { Promise::Told } else { Promise::AtLeastOnce };
    let (done, confirmed) = (!span.killed, Vec::new());
    Read { topic: "orders", reader: "sink", life, span, promise, done, seen, confirmed }
}

fn got(number: u64) -> Seen {
    Seen::Got { life: 0, number, sequence: number, whole: true, again: false }
}

/// Like [`got`], marked as redelivered.
fn again(number: u64) -> Seen {
    Seen::Got { life: 0, number, sequence: number, whole: true, again: true }
}

fn gap(count: u64) -> Seen {
    Seen::Gap { epoch: 100, count, exact: true }
}

/// A reader that starts before the publisher and ends after it.
fn whole(seen: &[Seen]) -> Result<Tally, String> {
    let around = Life { began: 0, ended: 10, killed: false, ..WHOLE };
    check(&[sent(0, WHOLE, 5)], &[read(0, around, seen)], SLOTS)
}

fn refused(seen: &[Seen], why: &str) {
    let error = whole(seen).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn a_good_run_is_good() {
    let all = [0, 1, 2, 3, 4].map(got);
    assert_eq!(whole(&all), Ok(Tally { received: 5, whole: 1, ..Tally::default() }));
    let told = [got(0), gap(3), got(4)];
    assert_eq!(whole(&told), Ok(Tally { received: 2, told: 3, whole: 1, ..Tally::default() }));
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
    let gating =
        Read { promise: Promise::AtLeastOnce, ..read(0, around, &[got(0), gap(3), got(4)]) };
    let error = check(&[sent(0, WHOLE, 5)], &[gating], SLOTS).unwrap_err();
    assert!(error.contains("3 missing, though its publisher waits for it"), "{error}");
}

#[test]
fn a_message_that_was_not_sent_is_found() {
    let all = [0, 1, 2, 3, 4, 5].map(got);
    refused(&all, "6 were seen, 5 sent");
    refused(
        &[got(0), Seen::Got { life: 0, number: 1, sequence: 1, whole: false, again: false }],
        "whole: false",
    );
    refused(
        &[got(0), Seen::Got { life: 0, number: 1, sequence: 2, whole: true, again: false }],
        "came as 2",
    );
    let stranger = Seen::Got { life: 7, number: 0, sequence: 0, whole: true, again: false };
    refused(&[&all[..5], &[stranger]].concat(), "of nobody");
    let gap = Seen::Gap { epoch: 7, count: 1, exact: true };
    refused(&[&all[..5], &[gap]].concat(), "of nobody");
}

#[test]
fn who_leaves_before_its_publisher_ends_may_miss_the_rest_and_no_more() {
    let leaves = Life { began: 0, asked: 8, ended: 10, killed: false };
    let run = |seen: &[Seen]| check(&[sent(0, WHOLE, 5)], &[read(0, leaves, seen)], SLOTS);
    assert!(run(&[0, 1, 2].map(got)).is_ok());
    let error = run(&[got(0), got(2)]).unwrap_err();
    assert!(error.contains("2 came, 1 should have"), "{error}");
    let stays = Life { asked: 9, ..leaves };
    let error = check(&[sent(0, WHOLE, 5)], &[read(0, stays, &[got(0)])], SLOTS).unwrap_err();
    assert!(error.contains("1 of 5 came"), "{error}");
}

/// A reader that is killed in the middle, and its next start, with this promise.
fn twice(promise: Promise, first: &[Seen], second: &[Seen]) -> Result<Tally, String> {
    let publisher = Life { began: 1, ended: 20, killed: false, ..WHOLE };
    let killed = Life { began: 0, ended: 5, killed: true, ..WHOLE };
    let after = Life { began: 6, ended: 21, killed: false, ..WHOLE };
    let confirmed = vec![(0, 2)];
    let first = Read { promise, confirmed, ..read(0, killed, first) };
    let second = Read { promise, ..read(1, after, second) };
    check(&[sent(0, publisher, 15)], &[first, second], SLOTS)
}

#[test]
fn what_an_observer_misses_across_its_death_is_told_or_found() {
    let first = [0, 1, 2].map(got);
    let told = [vec![gap(3)], rest(6)].concat();
    assert!(twice(Promise::Told, &first, &told).is_ok());
    let error = twice(Promise::Told, &first, &rest(4)).unwrap_err();
    assert!(error.contains("1 lost before 4"), "no gap for the message in flight: {error}");
    let error = twice(Promise::Told, &first, &rest(5)).unwrap_err();
    assert!(error.contains("2 lost before 5"), "{error}");
    // A start with an orderly end counts what it leaves; its next start gets no gap.
    let publisher = Life { began: 1, ended: 20, ..WHOLE };
    let left = Life { began: 0, asked: 4, ended: 5, ..WHOLE };
    let after = Life { began: 6, ended: 21, ..WHOLE };
    let first = Read { promise: Promise::Told, ..read(0, left, &first) };
    let second = Read { promise: Promise::Told, ..read(1, after, &rest(7)) };
    let run =
        |first: &Read| check(&[sent(0, publisher, 15)], &[first.clone(), second.clone()], SLOTS);
    assert_eq!(run(&first).unwrap().left, 4);
    // The kill comes after the end of its subscription, or before.
    let killed = Life { killed: true, ..left };
    assert_eq!(run(&Read { span: killed, ..first.clone() }).unwrap().left, 4);
    let error = run(&Read { span: killed, done: false, ..first }).unwrap_err();
    assert!(error.contains("4 lost before 7"), "{error}");
}

/// A start may get only gaps before its kill.
#[test]
fn gaps_of_a_start_without_a_message_count() {
    let publisher = Life { began: 1, ended: 40, ..WHOLE };
    let check = |promise, starts: &[&[Seen]]| {
        let last = starts.len() - 1;
        let starts = (0..).zip(starts).map(|(life, seen)| {
            let (began, killed) = (5 * life as usize, life as usize != last);
            let span = Life { began, asked: usize::MAX, ended: began + 4, killed };
            let span = if killed { span } else { Life { ended: 41, ..span } };
            Read { promise, ..read(life, span, seen) }
        });
        check(&[sent(0, publisher, 15)], &starts.collect::<Vec<_>>(), SLOTS)
    };
    let first = [0, 1, 2].map(got);
    for promise in [Promise::Told, Promise::AtMostOnce] {
        let run = |second: &[Seen], third: &[Seen]| check(promise, &[&first, second, third]);
        let refused = |second: &[Seen], third: &[Seen], why: &str| {
            let error = run(second, third).unwrap_err();
            assert!(error.contains(why), "{promise:?}: {error}");
        };
        assert_eq!(run(&[gap(4)], &rest(7)).unwrap().told, 4);
        // The gap was not handled: it is reported again, with more.
        assert!(run(&[gap(4)], &[vec![gap(5)], rest(8)].concat()).is_ok());
        // It began with messages that the start before had not confirmed.
        assert!(run(&[gap(6)], &rest(7)).is_ok());
        assert!(run(&[gap(4), gap(1)], &[vec![gap(1)], rest(9)].concat()).is_ok());
        refused(&[gap(4)], &rest(8), "1 lost before 8");
        refused(&[gap(4)], &[vec![gap(1)], rest(9)].concat(), "1 lost before 8");
        refused(&[], &rest(4), "1 lost before 4");
        refused(&[gap(4)], &rest(2), "2 again without a mark");
        // They count for one start, and not for those after its next message.
        let error = check(promise, &[&first, &[gap(4)], &[got(7)], &rest(9)]).unwrap_err();
        assert!(error.contains("1 lost before 9"), "{error}");
        assert!(check(promise, &[&first, &[gap(2)], &[gap(2)], &rest(7)]).is_ok());
    }
}

fn rest(from: u64) -> Vec<Seen> {
    (from..15).map(got).collect()
}

fn marked(from: u64, to: u64) -> Vec<Seen> {
    let all = (from..to).map(again);
    all.chain(rest(to)).collect()
}

#[test]
fn messages_of_a_killed_reader_are_redelivered_and_marked() {
    let first = [0, 1, 2, 3].map(got);
    let run = |second: &[Seen]| twice(Promise::AtLeastOnce, &first, second);
    let refused = |second: &[Seen], why: &str| {
        let error = run(second).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    assert_eq!(run(&rest(4)).unwrap().repeated, 0);
    let Tally { repeated, marked: count, most_repeated, .. } = run(&marked(2, 6)).unwrap();
    assert_eq!((repeated, count, most_repeated), (2, 4, 2));
    refused(&rest(5), "1 lost before 5");
    refused(&rest(3), "3 again without a mark");
    refused(&marked(2, 3), "3 again without a mark");
    refused(&marked(1, 4), "1 again, 2 were confirmed");
    refused(&marked(2, 7), "5 redelivered, a ring holds 4");
    refused(&[marked(2, 4), vec![again(15)]].concat(), "marked behind one that is not");
}

#[test]
fn at_most_once_reports_a_gap_and_does_not_redeliver() {
    let first = [0, 1, 2, 3].map(got);
    let run = |second: &[Seen]| twice(Promise::AtMostOnce, &first, second);
    let refused = |second: &[Seen], why: &str| {
        let error = run(second).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    assert_eq!(run(&[&[gap(4)], &rest(7)[..]].concat()).unwrap().told, 4);
    refused(&rest(7), "3 lost before 7");
    refused(&[&[gap(2)], &rest(7)[..]].concat(), "1 lost before 5");
    refused(&rest(3), "3 again without a mark");
    refused(&marked(3, 4), "marked as redelivered");
    refused(&[&rest(4)[..3], &[gap(1)], &rest(8)].concat(), "though its publisher waits");
}

#[test]
fn a_confirmation_of_what_nobody_has_seen_is_found() {
    let around = Life { began: 0, ended: 10, killed: false, ..WHOLE };
    let run = |confirmed| {
        let sent = Sent { confirmed, ..sent(0, Life { killed: true, ..WHOLE }, 5) };
        check(&[sent], &[read(0, around, &[0, 1, 2].map(got))], SLOTS)
    };
    assert!(run(3).is_ok());
    let error = run(4).unwrap_err();
    assert!(error.contains("4 confirmed, 3 seen"), "{error}");
}

#[test]
fn an_unreported_death_of_a_publisher_is_found() {
    let killed = Life { killed: true, ..WHOLE };
    let next = Life { began: 10, ended: 19, ..WHOLE };
    let around = Life { began: 0, ended: 20, killed: false, ..WHOLE };
    let later = Seen::Got { life: 1, number: 0, sequence: 0, whole: true, again: false };
    let run = |seen: &[Seen]| {
        let read = Read { promise: Promise::AtLeastOnce, ..read(0, around, seen) };
        check(&[sent(0, killed, 2), sent(1, next, 1)], &[read], SLOTS)
    };
    let vague = Seen::Gap { epoch: 100, count: 0, exact: false };
    assert!(run(&[got(0), vague, later]).is_ok());
    assert!(run(&[later]).is_ok());
    let error = run(&[got(0), later]).unwrap_err();
    assert!(error.contains("got no gap for the end of its publisher"), "{error}");
}

#[test]
fn of_a_killed_publisher_one_message_may_have_gone_unrecorded_and_no_more() {
    let killed = Life { killed: true, ..WHOLE };
    let around = Life { began: 0, ended: 10, killed: false, ..WHOLE };
    let run = |seen: &[Seen]| check(&[sent(0, killed, 2)], &[read(0, around, seen)], SLOTS);
    assert!(run(&[0, 1].map(got)).is_ok() && run(&[0, 1, 2].map(got)).is_ok());
    let vague = Seen::Gap { epoch: 100, count: 0, exact: false };
    assert!(run(&[got(0), vague]).is_ok());
    let error = run(&[0, 1, 2, 3].map(got)).unwrap_err();
    assert!(error.contains("4 were seen, 2 sent"), "{error}");
}
