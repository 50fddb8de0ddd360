//! The broadcast ring: which message a reader has peeked at, and which position it has shown, when
//! two operations meet.

use std::sync::Arc;

use mycelium_core::ring::broadcast::{
    Broadcast, BroadcastHandle, Consumer, HeapStorage, Layout, Peek,
};

use crate::evicted::{Ring, ends, push};
use crate::pages::WORD;

const SMALL: Layout = Layout::exact(4, WORD);
const LARGE: Layout = Layout::exact(64, WORD);

fn take(reader: &mut Consumer<impl BroadcastHandle>, count: usize) {
    for _ in 0..count {
        assert!(matches!(reader.peek(&mut [0]), Peek::Message { .. }));
        assert!(reader.advance());
    }
}

/// `advance` passes the message that was peeked at, and no other.
#[test]
fn advance_needs_a_peeked_message() {
    let (mut writer, mut reader) = ends(SMALL);
    push(&mut writer, 0..3);
    reader.peek(&mut [0]);
    assert_eq!(reader.skip_to_latest(), 2);
    assert!(!reader.advance(), "after a skip");
    assert_eq!(reader.cursor(), 2);

    let (mut writer, _) = ends(Layout::exact(2, WORD));
    let mut reader = Broadcast::observing(writer.ring().clone());
    push(&mut writer, 0..1);
    reader.peek(&mut [0]);
    push(&mut writer, 0..3);
    assert_eq!(reader.peek(&mut [0]), Peek::Gap { missed: 2 });
    assert!(!reader.advance(), "after a gap");
    assert_eq!(reader.cursor(), 2);

    let (mut writer, reader) = ends(SMALL);
    let mut reader = reader.retaining();
    push(&mut writer, 0..3);
    reader.peek(&mut [0]);
    reader.advance();
    reader.peek(&mut [0]);
    reader.rewind(0);
    assert!(!reader.advance(), "after a rewind");
    assert_eq!(reader.cursor(), 0);

    let (mut writer, mut reader) = ends(SMALL);
    push(&mut writer, 0..3);
    reader.peek(&mut [0]);
    reader.read(1).unwrap().release(1);
    assert!(!reader.advance(), "it was given back already");
    assert_eq!(reader.cursor(), 1);
}

#[test]
fn a_grant_without_a_write_is_zero() {
    let (mut writer, mut reader) = ends(Layout::exact(2, WORD));
    for _ in 0..2 {
        writer.try_push(&[7], WORD).unwrap();
        take(&mut reader, 1);
    }
    writer.grant().unwrap().commit();
    let mut words = [9];
    assert!(matches!(reader.peek(&mut words), Peek::Message { .. }));
    assert_eq!(words, [0], "the message of a lap ago");
}

/// With any lag: a reader that has taken all messages blocks no room.
#[test]
fn a_reader_that_finds_nothing_shows_its_position() {
    for finds_nothing in [
        |reader: &mut Consumer<Arc<Ring>>| reader.peek(&mut [0]) == Peek::Empty,
        |reader: &mut Consumer<Arc<Ring>>| reader.is_waiting(),
        |reader: &mut Consumer<Arc<Ring>>| reader.read(1).is_none(),
    ] {
        let (mut writer, reader) = ends(LARGE);
        let mut reader = reader.with_lag(64);
        push(&mut writer, 0..5);
        take(&mut reader, 5);
        assert!(finds_nothing(&mut reader));
        push(&mut writer, 0..64);
    }
}

/// The exact position is in a cache line that its reader stores to with each message.
#[test]
fn batches_go_by_published_positions_as_single_messages_do() {
    let (mut writer, reader) = ends(LARGE);
    let mut reader = reader.with_lag(8);
    let mut push_all = |count| writer.push_all(WORD, (0..count).map(|number| [number])).ok();
    assert_eq!(push_all(64), Some(64));
    take(&mut reader, 7);
    assert_eq!(push_all(5), None);
    take(&mut reader, 1);
    assert_eq!(push_all(5), Some(5));
    take(&mut reader, 7);
    assert_eq!(push_all(5), Some(3), "what is left of the eight");
    take(&mut reader, 1);
    assert_eq!(push_all(20), Some(8));
}

#[test]
fn a_retaining_reader_has_shown_its_position() {
    let (mut writer, reader) = ends(LARGE);
    let mut reader = reader.with_lag(64);
    push(&mut writer, 0..64);
    take(&mut reader, 5);
    let _keeping = reader.retaining();
    push(&mut writer, 0..5);
}

/// A ring whose entries are added when they are needed: readers in all blocks hold the writer up,
/// and an entry that is given back is used again before the ring grows.
#[test]
fn entries_are_added_up_to_a_number() {
    let layout = Layout::exact(2, WORD);
    let most = if cfg!(miri) { 14 } else { 200 };
    let grown = Broadcast::new(HeapStorage::growing(layout, 1, most).unwrap(), layout).unwrap();
    let mut writer = Broadcast::producer(&grown).unwrap();
    let mut readers = Vec::new();
    while let Some(reader) = Broadcast::gating(&grown) {
        assert_eq!(reader.entry(), Some(readers.len()));
        readers.push(reader);
    }
    assert_eq!(readers.len(), most);
    push(&mut writer, 0..2);
    for (index, reader) in readers.iter_mut().enumerate() {
        let full = writer.try_push(&[9], WORD).unwrap_err();
        assert_eq!(full.reader.entry, index, "the first of those that are behind");
        take(reader, 2);
    }
    push(&mut writer, 0..1);
    drop(readers.swap_remove(7));
    assert_eq!(Broadcast::gating(&grown).unwrap().entry(), Some(7));
}
