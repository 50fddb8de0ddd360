//! Messages of a broadcast ring that are borrowed in place: they equal the copies, only readers
//! that may borrow get them, and they stay until they are released.

use mycelium_core::ring::broadcast::{Broadcast, Consumer, HeapStorage, Layout, Peek};

use crate::pages::{WORD, memory, proxy};

type Ring<'a> = &'a Broadcast<HeapStorage>;

fn bytes(words: &[usize]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// All messages that a reader can borrow, `most` at a time.
fn borrowed(reader: &mut Consumer<Ring<'_>>, most: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(messages) = reader.read(most) {
        all.extend(messages.iter().map(<[u8]>::to_vec));
        messages.release(most);
    }
    all
}

/// Copies in and out take two words at a time if the processor can, or many.
#[test]
fn messages_of_every_length_come_through() {
    for words in (0..20).chain([31, 32, 33, 39, 40, 71]) {
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
                assert_eq!(borrowed(&mut borrower, 2), [bytes(&message)]);
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
fn observers_and_foreign_readers_borrow_nothing() {
    let ring = Broadcast::boxed(Layout::exact(4, WORD), 1).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut observer = Broadcast::observing(&ring);
    writer.try_push(&[1], WORD).unwrap();
    assert!(observer.read(1).is_none());
    assert!(matches!(observer.peek(&mut [0]), Peek::Message { .. }));
    let mut observer = observer.retaining();
    assert_eq!((observer.ready(1), observer.borrow(0, 1)), (0, None));
    (2..7).for_each(|number| _ = writer.try_push(&[number], WORD).unwrap());
    assert_eq!(observer.peek(&mut [0]), Peek::Gap { missed: 2 });

    let layout = Layout::exact(4, WORD);
    let (data, own) = memory(layout);
    let ours = Broadcast::new(data.data(layout).unwrap(), layout).unwrap();
    let mut writer = Broadcast::producer(&ours).unwrap();
    let mut local = Broadcast::gating(&ours).unwrap();
    let proxy = proxy(&ours);
    let theirs = data.theirs(&own, proxy.claim());
    let mut reader = Broadcast::gating(&theirs).unwrap();
    writer.try_push(&[1], WORD).unwrap();
    assert!(reader.read(1).is_none());
    assert!(matches!(reader.peek(&mut [0]), Peek::Message { .. }));
    assert_eq!(local.read(1).map(|messages| messages.count()), Some(1), "its own memory");

    let ring = Broadcast::boxed(layout, 1).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating_evictable(&ring).unwrap();
    writer.try_push(&[1], WORD).unwrap();
    assert!(reader.read(1).is_none(), "it may be passed at any time");
    let reader = reader.retaining();
    assert!(!reader.can_borrow() && reader.borrow(0, 1).is_none());
}

/// A message is checked in place and not copied.
#[cfg(target_endian = "little")]
#[test]
fn a_message_is_decoded_in_place() {
    #[mycelium_core::message(topic = "quotes", id = 1)]
    #[derive(Debug, PartialEq)]
    struct Quote {
        price: f64,
        size: u64,
    }

    let ring = Broadcast::boxed(Layout::exact(2, size_of::<Quote>()), 1).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let quote = Quote { price: 1.5, size: 3 };
    let words = mycelium_core::message::to_words(&quote);
    writer.try_push(words.as_ref(), size_of::<Quote>()).unwrap();
    let messages = reader.read(1).unwrap();
    assert_eq!(mycelium_core::message::decode_ref::<Quote>(messages.get(0).unwrap()), Ok(&quote));
}
