use super::missed::EXACT_GAPS;
use super::*;
use crate::conformance::Probe;
use crate::counters::Region;
use crate::local::{Policy, Publisher, Retain};

/// Returns a tap of a topic, and a publisher.
fn tapped(capacity: usize, policy: Policy) -> (Tap<()>, Publisher<Probe>) {
    let topic = Topic::new("probes", Schema::of::<Probe>(), capacity, Region::new(8)).unwrap();
    (topic.tap("far", policy).unwrap(), topic.publisher("publisher", 1).unwrap())
}

/// Emits the next messages.
fn emit(publisher: &mut Publisher<Probe>, count: u64) {
    let numbers = publisher.sent()..publisher.sent() + count;
    numbers.for_each(|number| publisher.try_emit(Probe { publisher: 0, number }).unwrap());
}

#[test]
fn gaps_of_a_reader_that_confirms_nothing_are_exact_in_bounded_memory() {
    let (mut reader, mut publisher) = tapped(2, Policy::DropOldest);
    let stream = &mut reader.streams()[0];
    let mut missed = Vec::new();
    let mut overtake = |stream: &mut TapStream| {
        emit(&mut publisher, 4);
        let TapItem::Gap(count) = stream.next_item() else { panic!("it was overtaken") };
        count
    };
    // Nothing is read between these two gaps.
    let count = overtake(stream) + overtake(stream);
    assert_eq!(stream.gaps.len(), 1);
    missed.push((stream.next(), count));
    while missed.len() < 3 * EXACT_GAPS {
        assert!(matches!(stream.next_item(), TapItem::Message(..)));
        stream.advance();
        let count = overtake(stream);
        missed.push((stream.next(), count));
    }
    assert!(stream.gaps.len() <= EXACT_GAPS, "{} entries", stream.gaps.len());
    if !cfg!(feature = "metrics") {
        return;
    }
    let counted = |stream: &TapStream| {
        [EdgeValue::Overwritten, EdgeValue::Taken].map(|value| stream.line.get(value))
    };
    let assert_exact = |stream: &TapStream| {
        let before = missed.iter().take_while(|(end, _)| *end <= stream.kept());
        let overwritten: u64 = before.map(|(_, count)| count).sum();
        assert_eq!(counted(stream), [overwritten, stream.kept() - overwritten]);
    };
    // Releases first between old gaps, and then one gap after the other.
    stream.release(missed[EXACT_GAPS].0);
    assert_eq!(counted(stream).iter().sum::<u64>(), stream.kept());
    for (end, _) in missed.iter().rev().take(EXACT_GAPS / 2).rev() {
        stream.release(*end);
        assert_exact(stream);
    }
}

#[test]
fn a_part_of_a_gap_is_released_and_read_again() {
    let (mut reader, mut publisher) = tapped(2, Policy::DropOldest);
    let stream = &mut reader.streams()[0];
    emit(&mut publisher, 12);
    assert_eq!(stream.next_item(), TapItem::Gap(10));
    stream.release(4);
    stream.rewind(7);
    assert_eq!(stream.next_item(), TapItem::Gap(3));
    stream.release(10);
    let overwritten = stream.line.get(EdgeValue::Overwritten);
    assert_eq!(overwritten, if cfg!(feature = "metrics") { 10 } else { 0 });
    assert_eq!(stream.line.get(EdgeValue::Taken), 0);
}

#[test]
fn nothing_is_passed_or_released_backwards_or_beyond_the_last_message() {
    let (mut reader, mut publisher) = tapped(8, Policy::Block);
    let stream = &mut reader.streams()[0];
    emit(&mut publisher, 8);
    let passed = [5, 3, 0, u64::MAX].map(|before| stream.pass(before, EdgeValue::Skipped));
    assert_eq!((passed, stream.next()), ([5, 0, 0, 0], 5));
    for (before, kept) in [(7, 0), (u64::MAX, 0), (5, 5), (3, 5)] {
        stream.release(before);
        assert_eq!(stream.kept(), kept, "released before {before}");
    }
    for _ in 5..8 {
        assert!(matches!(stream.next_item(), TapItem::Message(..)));
        stream.advance();
    }
    stream.release(8);
    let counted = [EdgeValue::Skipped, EdgeValue::Taken].map(|value| stream.line.get(value));
    assert_eq!(counted, if cfg!(feature = "metrics") { [5, 3] } else { [0, 0] });
}

#[test]
fn a_tap_with_any_policy_that_lets_publishers_go_on_gets_or_misses_each_message() {
    for policy in Policy::all().filter(|policy| !policy.is_gating()) {
        let (mut reader, mut publisher) = tapped(8, policy);
        emit(&mut publisher, 20);
        drop(publisher);
        let (mut messages, mut missed) = (0, 0);
        let stream = &mut reader.streams()[0];
        loop {
            match stream.next_item() {
                TapItem::Message(..) => messages += 1,
                TapItem::Gap(count) => {
                    missed += count;
                    continue;
                }
                TapItem::Empty => panic!("{policy}: it waits for nothing"),
                TapItem::Closed => break,
            }
            stream.advance();
            stream.release(stream.next());
        }
        assert_eq!((messages, missed), (8, 12), "{policy}");
    }
}

/// A reader of another process may ask for what is retained before any sequence.
#[test]
fn what_is_retained_ends_with_the_last_message() {
    let topic = Topic::new("probes", Schema::of::<Probe>(), 8, Region::new(8)).unwrap();
    topic.retain(Retain::Last(std::num::NonZeroU32::new(3).unwrap())).unwrap();
    let mut publisher = topic.publisher("publisher", 1).unwrap();
    emit(&mut publisher, 5);
    let mut reader: Tap<()> = topic.tap("far", Policy::DropOldest).unwrap();
    let stream = &reader.streams()[0];
    let retained = |before| {
        let values = stream.retained(before).unwrap().finish().0;
        values.iter().map(|value| value.sequence).collect::<Vec<_>>()
    };
    for (before, expected) in [(0, vec![]), (4, vec![2, 3]), (5, vec![2, 3, 4])] {
        assert_eq!(retained(before), expected);
    }
    assert_eq!(retained(1 << 30), [2, 3, 4]);
}
