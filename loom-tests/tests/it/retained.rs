//! Retained values under loom: a reader joins while the writer replaces the value of a slot.

use loom::sync::Arc;
use loom::thread;
use mycelium_core::ring::broadcast::{Broadcast, HeapStorage, Layout, Peek};
use mycelium_core::ring::retained::{RetainedSlots, RetainedWriter};
use mycelium_loom_tests::{beside, content, models};

/// A reader joins a ring whose writer keeps the newest message. It gets the newest message before
/// its start from the slot, unless a newer one follows, and all others from the ring.
fn a_reader_joins_while_a_value_is_replaced() {
    const MESSAGES: usize = 2;
    let layout = Layout::exact(4, 16);
    let ring = Arc::new(Broadcast::new(HeapStorage::new(layout, 1).unwrap(), layout).unwrap());
    let slots = Arc::new(RetainedSlots::new(1, 16).unwrap());
    let mut producer = Broadcast::producer(ring.clone()).unwrap();
    let mut writer = RetainedWriter::new(slots.clone()).unwrap();
    let writing = beside(&ring, move |_| {
        for sequence in 0..MESSAGES {
            writer.put(0, sequence, &content(sequence), 16);
            producer.try_push(&content(sequence), 16).unwrap();
        }
        producer.close();
    });
    let mut reader = Broadcast::gating(ring).unwrap();
    let start = reader.cursor();
    let mut words = [0; 2];
    let retained = slots.read(0, start, &mut words);
    if let Some((sequence, length)) = retained {
        assert!(sequence < start && length == 16);
        assert_eq!(words, content(sequence), "a mixture was read");
    }
    let mut live = 0;
    loop {
        match reader.peek(&mut words) {
            Peek::Message { sequence, .. } => {
                assert_eq!(sequence, start + live);
                live += 1;
                reader.advance();
            }
            Peek::Empty => thread::yield_now(),
            Peek::Closed => break,
            found => panic!("{found:?}"),
        }
    }
    assert_eq!(start + live, MESSAGES);
    // Without a live message, the newest one is retained.
    assert!(live > 0 || retained.is_some_and(|(sequence, _)| sequence == MESSAGES - 1));
    writing.join().unwrap();
}

models! {
    a_reader_joins_while_a_value_is_replaced [2] {
        fails_with_a_relaxed_version: "retained.version",
        fails_with_a_relaxed_end_of_the_write: "retained.written",
        fails_without_the_fence_before_the_words: "retained.write-fence",
        fails_without_the_recheck_fence: "retained.recheck-fence",
        fails_if_the_end_is_stored_relaxed: "retained.put",
        fails_if_the_end_is_loaded_relaxed: "retained.seen",
    }
}
