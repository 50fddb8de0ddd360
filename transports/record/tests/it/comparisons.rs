//! What `compare` finds.

use std::io::Cursor;
use std::sync::Arc;

use mycelium_record::{Comparison, End, Recorded, Recording, Stream, compare};
use mycelium_transports::local::GapReason;
use mycelium_transports::untyped::MessageType;

use crate::common::{Order, Tick, order, received, stream_of, tick, ticks};

fn compared(a: &[u8], b: &[u8]) -> String {
    match compare(Cursor::new(a), Cursor::new(b)).unwrap() {
        Comparison::Equal(totals) => format!("equal {}", totals.messages()),
        Comparison::Different(difference) => difference.to_string(),
        Comparison::Cut { side, offset } => format!("the {side} is cut off at byte {offset}"),
    }
}

/// Records two topics of a run: all ticks, then all orders.
fn run(epoch: u64, change: impl Fn(u64, &mut Vec<u8>)) -> Vec<u8> {
    let mut recording = Recording::new();
    let feed = recording.begin(stream_of::<Tick>("Feed", epoch), epoch, 0).unwrap();
    let desk = recording.begin(stream_of::<Order>("Desk", epoch), 0, 0).unwrap();
    for number in 0..50 {
        let mut bytes = tick(number);
        change(number, &mut bytes);
        recording.message(feed, &received(number + epoch, &bytes)).unwrap();
    }
    for number in 0..50 {
        recording.message(desk, &received(number, &order(number))).unwrap();
    }
    recording.end(feed, End::Ended, 50 + epoch, 0).unwrap();
    recording.finish().0
}

#[test]
fn epochs_sequences_times_and_the_order_of_topics_do_not_count() {
    let first = run(1, |_, _| {});
    assert_eq!(compared(&first, &run(7, |_, _| {})), "equal 100");
    let mut other = Recording::with_json();
    let desk = other.begin(stream_of::<Order>("Desk", 3), 4, 0).unwrap();
    let empty = other.begin(stream_of::<Tick>("Feed", 4), 9, 0).unwrap();
    other.end(empty, End::Lost, 9, 0).unwrap();
    let feed = other.begin(stream_of::<Tick>("Feed", 9), 0, 0).unwrap();
    for number in 0..50 {
        other.message(desk, &received(number + 4, &order(number))).unwrap();
        other.message(feed, &received(number, &tick(number))).unwrap();
    }
    assert_eq!(compared(&first, &other.finish().0), "equal 100");
}

#[test]
fn the_first_difference_is_named() {
    let first = run(1, |_, _| {});
    let changed = run(2, |number, bytes| {
        if number == 17 {
            bytes[8..16].copy_from_slice(&1.5_f64.to_le_bytes());
        }
    });
    let expected = "topic `ticks`, publisher `Feed`, message 17: `price` is 0.17 in the first, 1.5 \
                    in the second";
    assert_eq!(compared(&first, &changed), expected);

    let with = |missed: u64, last: u64| {
        let mut recording = Recording::new();
        let feed = recording.begin(stream_of::<Tick>("Feed", 1), 0, 0).unwrap();
        ticks(&mut recording, feed, 0..3);
        recording.gap(feed, 3 + missed, missed, GapReason::Overwritten, 0).unwrap();
        ticks(&mut recording, feed, 3 + missed..last);
        recording.finish().0
    };
    let about = "topic `ticks`, publisher `Feed`, message";
    assert_eq!(compared(&with(2, 9), &with(2, 9)), "equal 7");
    assert_eq!(
        compared(&with(2, 9), &with(3, 9)),
        format!("{about} 3: gap of 2 before #5 in the first, gap of 3 before #6 in the second")
    );
    assert_eq!(
        compared(&with(2, 9), &with(2, 10)),
        format!("{about} 8: nothing in the first, message #9 of 16 bytes in the second")
    );
    // The same messages around gaps of other lengths.
    let around = |missed: u64| {
        let mut recording = Recording::new();
        let feed = recording.begin(stream_of::<Tick>("Feed", 1), 0, 0).unwrap();
        recording.gap(feed, missed, missed, GapReason::Overwritten, 0).unwrap();
        recording.message(feed, &received(missed, &tick(0))).unwrap();
        recording.finish().0
    };
    assert_eq!(
        compared(&around(2), &around(3)),
        format!("{about} 0: gap of 2 before #2 in the first, gap of 3 before #3 in the second")
    );
    let alone = with(2, 9);
    assert_eq!(compared(&alone, &first), "topic `orders`, publisher `Desk`: only in the second");
    // After an equal beginning.
    let mut cut = first.clone();
    cut.truncate(first.len() - 4);
    let at = compared(&first, &cut);
    assert!(at.starts_with("the second is cut off at byte "), "{at}");
}

#[test]
fn restarts_are_matched_in_their_order_and_nodes_where_names_collide() {
    let record = |nodes: [&str; 2], numbers: [u64; 2], is_reversed: bool| {
        let mut recording = Recording::new();
        let streams =
            nodes.map(|node| Stream { node: node.into(), ..stream_of::<Tick>("Feed", 1) });
        let mut parts: Vec<_> = streams.into_iter().zip(numbers).collect();
        if is_reversed {
            parts.reverse();
        }
        for (stream, number) in parts {
            let id = recording.begin(stream, 0, 0).unwrap();
            recording.message(id, &received(0, &tick(number))).unwrap();
        }
        recording.finish().0
    };
    // Two starts on one node, whose name does not count.
    let one = record(["a", "a"], [1, 2], false);
    assert_eq!(compared(&one, &record(["b", "b"], [1, 2], false)), "equal 2");
    let reversed = compared(&one, &record(["a", "a"], [1, 2], true));
    assert!(reversed.contains("message 0: `number` is 1 in the first, 2 in"), "{reversed}");
    // Two nodes in any order.
    let two = record(["a", "b"], [1, 2], false);
    assert_eq!(compared(&two, &record(["a", "b"], [1, 2], true)), "equal 2");
}

#[test]
fn a_damaged_recording_is_an_error_that_names_its_side() {
    let (first, mut second) = (run(1, |_, _| {}), run(1, |_, _| {}));
    let place = second.len() / 3;
    second[place] ^= 1;
    let error = compare(Cursor::new(first), Cursor::new(second)).unwrap_err().to_string();
    assert!(error.starts_with("second: damaged at byte "), "{error}");
}

#[test]
fn types_and_retained_messages_count() {
    let one = |retained: bool, id: u16| {
        let mut stream = stream_of::<Tick>("Feed", 1);
        stream.message = Arc::new(MessageType { id, form: stream.message.form.clone() });
        let mut recording = Recording::new();
        let feed = recording.begin(stream, 0, 0).unwrap();
        let bytes = tick(0);
        let message = Recorded { retained, ..received(0, &bytes) };
        recording.message(feed, &message).unwrap();
        recording.finish().0
    };
    let about = "topic `ticks`, publisher `Feed`";
    assert_eq!(compared(&one(false, 1), &one(false, 1)), "equal 1");
    let types = compared(&one(false, 1), &one(false, 2));
    assert_eq!(types, format!("{about}: the message types differ"));
    assert_eq!(
        compared(&one(false, 1), &one(true, 1)),
        format!(
            "{about}, message 0: message #0 of 16 bytes in the first, retained message #0 of 16 \
             bytes in the second"
        )
    );
}
