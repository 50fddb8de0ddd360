//! The broadcast ring on one thread: gating readers block the writer, observers get the number of
//! missed messages.

use mycelium_core::ring::broadcast::{
    Broadcast, Consumer, InlineStorage, Layout, LayoutError, Peek,
};

pub(crate) const CAPACITY: usize = 4;
pub(crate) const BYTES: usize = 2 * size_of::<usize>();
pub(crate) const LAYOUT: Layout = Layout::exact(CAPACITY, BYTES);
const WORDS: usize = LAYOUT.words();
type Ring = Broadcast<InlineStorage<WORDS, 2>>;

fn ring() -> Ring {
    Broadcast::new(InlineStorage::new(), LAYOUT).unwrap()
}

pub(crate) fn content(sequence: usize) -> [usize; 2] {
    [sequence.wrapping_mul(31), !sequence]
}

/// Takes the next message, which must be `sequence`.
fn take(reader: &mut Consumer<&Ring>, sequence: usize) {
    let mut words = [0; 2];
    assert_eq!(reader.peek(&mut words), Peek::Message { sequence, length: BYTES });
    assert_eq!(words, content(sequence));
    assert!(reader.advance());
}

pub(crate) fn an_observer_gets_the_exact_number_of_missed_messages() {
    const SENT: usize = if cfg!(miri) { 103 } else { 1_003 };
    let ring = ring();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut observer = Broadcast::observing(&ring);
    (0..SENT).for_each(|sequence| _ = writer.try_push(&content(sequence), BYTES).unwrap());
    assert_eq!(observer.peek(&mut [0; 2]), Peek::Gap { missed: SENT - CAPACITY });
    (SENT - CAPACITY..SENT).for_each(|sequence| take(&mut observer, sequence));
    assert_eq!(observer.peek(&mut [0; 2]), Peek::Empty);
}

pub(crate) fn invalid_layouts_are_refused() {
    let refuse = |capacity| {
        let layout = Layout::exact(capacity, BYTES);
        Broadcast::new(InlineStorage::<WORDS, 1>::new(), layout).map(|_| ()).unwrap_err()
    };
    for given in [0, 1, 3, usize::MAX] {
        assert_eq!(refuse(given), LayoutError::Capacity { given });
    }
    let expected = 2 * WORDS;
    assert_eq!(refuse(8), LayoutError::Slots { expected, found: WORDS });
    let most = 1 << (usize::BITS - 1);
    assert_eq!(refuse(most), LayoutError::TooLarge);
}
