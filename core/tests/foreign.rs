//! A broadcast ring in memory that another process may write: nothing there is believed before it is checked.

#![allow(unsafe_code)]

use mycelium_core::ring::broadcast::{
    Broadcast, Inline, Look, ReaderWords, Storage, Word, WriterWords, slot_words,
};

const WORD: usize = size_of::<usize>();
const CAPACITY: usize = 4;

/// Reachable from outside the ring, as memory that two processes map is.
struct Shared<'a>(&'a Inline<{ CAPACITY * slot_words(WORD) }, 1>);

// SAFETY: the parts of one storage that stays where it is.
unsafe impl Storage for Shared<'_> {
    const FOREIGN: bool = true;

    fn slots(&self) -> &[Word] {
        self.0.slots()
    }

    fn writer(&self) -> &WriterWords {
        self.0.writer()
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.0.reader(index)
    }
}

/// The writer could overwrite a message while a reference to it lives.
#[test]
fn nothing_is_lent() {
    let storage = Inline::new();
    let ring = Broadcast::new(Shared(&storage), CAPACITY, WORD).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    writer.try_push(&[1], WORD).unwrap();
    assert!(reader.read(1).is_none());
    assert!(matches!(reader.look(&mut [0]), Look::Message { .. }));
}

/// Whatever a peer writes to the slots: no panic, no endless loop, no length that a slot cannot hold.
#[test]
fn lies_in_slots_are_clamped() {
    let words = CAPACITY * slot_words(WORD);
    for index in 0..words {
        for lie in [usize::MAX, usize::MAX / 2, usize::MAX / 2 + 2, 100, 1] {
            let storage = Inline::new();
            let ring = Broadcast::new(Shared(&storage), CAPACITY, WORD).unwrap();
            let mut writer = Broadcast::producer(&ring).unwrap();
            let mut reader = Broadcast::gating(&ring).unwrap();
            for _ in 0..3 {
                (0..CAPACITY).for_each(|_| _ = writer.try_push(&[1], WORD));
                storage.slots()[index].set(lie);
                for _ in 0..CAPACITY {
                    if let Look::Message { length, .. } = reader.look(&mut [0]) {
                        assert!(length <= WORD, "a length that no slot has");
                    }
                    reader.advance();
                }
                let _ = (reader.depth(), ring.high_water(), ring.depth());
            }
        }
    }
}
