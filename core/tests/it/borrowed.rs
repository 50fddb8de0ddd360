//! Messages of a broadcast ring that are borrowed in place: they equal the copies, only readers
//! that may borrow get them, and they stay until they are released.

use mycelium_core::ring::broadcast::{Broadcast, Consumer, HeapStorage, Layout, Peek};
use zerocopy::IntoBytes;

use crate::pages::WORD;

type Ring<'a> = &'a Broadcast<HeapStorage>;

/// All messages that a reader can borrow, `most` at a time.
fn borrowed(reader: &mut Consumer<Ring<'_>>, most: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(messages) = reader.read(most) {
        all.extend(messages.iter().map(<[u8]>::to_vec));
        messages.release(most);
    }
    all
}

/// Copies in and out are of two words at a time, of eight, or of all from 256 on. A slot begins at
/// different places of a line.
#[test]
fn messages_of_every_length_come_through() {
    for words in (0..20).chain([31, 32, 33, 39, 40, 71]).chain(250..266).chain([513]) {
        let layout = Layout::exact(2, words * WORD);
        for layout in [layout, layout.in_lines()] {
            let ring = Broadcast::boxed(layout, 2).unwrap();
            let mut writer = Broadcast::producer(&ring).unwrap();
            let mut borrower = Broadcast::gating(&ring).unwrap();
            let mut copying = Broadcast::gating_evictable(&ring).unwrap();
            for number in 0..9 {
                let message: Vec<_> = (0..words).map(|index| !(number * 100 + index)).collect();
                if !writer.push_into_known_room(&message, words * WORD) {
                    writer.try_push(&message, words * WORD).unwrap();
                }
                assert_eq!(borrowed(&mut borrower, 2), [message.as_bytes()]);
                let mut copy = vec![0; words];
                let found = if number % 2 == 0 {
                    copying.peek_exact(&mut copy, words * WORD)
                } else {
                    matches!(copying.peek(&mut copy), Peek::Message { .. }).then_some(number)
                };
                assert_eq!(found, Some(number));
                assert_eq!(copy, message);
                copying.advance();
                copying.flush();
            }
        }
    }
}

/// They copy, and check whether the writer overwrote the slot meanwhile.
#[test]
fn observers_and_evictable_readers_borrow_nothing() {
    let layout = Layout::exact(4, WORD);
    let ring = Broadcast::boxed(layout, 1).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let observer = Broadcast::observing(&ring).retaining();
    writer.try_push(&[1], WORD).unwrap();
    assert_eq!((observer.ready(1), observer.borrow(0, 1)), (0, None));

    let ring = Broadcast::boxed(layout, 1).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating_evictable(&ring).unwrap();
    writer.try_push(&[1], WORD).unwrap();
    assert!(reader.read(1).is_none(), "it may be passed at any time");
    let reader = reader.retaining();
    assert!(!reader.can_borrow() && reader.borrow(0, 1).is_none());
}
