//! The broadcast ring against a plain model: any sequence of operations on one thread, then
//! threads.

use mycelium_core::ring::broadcast::{Broadcast, Consumer, HeapStorage, Layout, Peek};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use crate::cases::cases;
use crate::evicted::ends;
use crate::portable::bodies::broadcast::{BYTES, CAPACITY, LAYOUT, content};
use crate::sides::Sides;

const READERS: usize = 2;

#[derive(Clone, Debug)]
enum Operation {
    Push,
    Abort,
    Peek(usize),
    Take(usize),
    /// Borrows messages, and releases half of them.
    Read(usize, usize),
    Latest(usize),
    JoinGating,
    /// Joins the given number of messages before the tail.
    JoinLate(usize),
    JoinObserving,
    Leave(usize),
    Restart,
    Close,
    Flush(usize),
    FindRoom,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => Just(Operation::Push),
        1 => Just(Operation::Abort),
        2 => (0..6usize).prop_map(Operation::Peek),
        8 => (0..6usize).prop_map(Operation::Take),
        4 => (0..6usize, 1..6usize).prop_map(|(index, most)| Operation::Read(index, most)),
        1 => (0..6usize).prop_map(Operation::Latest),
        2 => Just(Operation::JoinGating),
        2 => (0..=CAPACITY).prop_map(Operation::JoinLate),
        2 => Just(Operation::JoinObserving),
        1 => (0..6usize).prop_map(Operation::Leave),
        1 => Just(Operation::Restart),
        1 => Just(Operation::Close),
        1 => (0..6usize).prop_map(Operation::Flush),
        1 => Just(Operation::FindRoom),
    ]
}

/// The model of a reader: it wants `cursor` next, and has shown `shown`. A late reader shows nothing
/// until it is there.
struct Model {
    gating: bool,
    late: bool,
    cursor: usize,
    shown: usize,
    lag: usize,
}

impl Model {
    fn new(gating: bool, cursor: usize, lag: usize) -> Model {
        Model { gating, late: false, cursor, shown: cursor, lag }
    }

    /// The writer keeps the messages from here on.
    fn taken(&self) -> usize {
        self.cursor.max(self.shown)
    }

    fn move_to(&mut self, cursor: usize) {
        self.cursor = cursor;
        if cursor >= self.shown + self.lag {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.shown = self.taken();
    }
}

/// The model of the writer.
#[derive(Default)]
struct Writer {
    /// It has seen room before this sequence.
    limit: usize,
    refused: usize,
}

impl Writer {
    /// Whether it may push the message `published`: according to the positions that readers have
    /// shown, and after some refusals according to those that they have taken.
    fn has_room(&mut self, published: usize, shown: usize, taken: usize) -> bool {
        const EXACT_EVERY: usize = if cfg!(miri) { 2 } else { 64 };
        if self.limit == published {
            // The shown position may be more than a lap behind the exact one.
            self.limit = published.max(shown + CAPACITY);
            if self.limit == published {
                self.refused += 1;
                if self.refused.is_multiple_of(EXACT_EVERY) {
                    self.limit = taken + CAPACITY;
                }
            }
        }
        let has_room = self.limit != published;
        if has_room {
            self.refused = 0;
        }
        has_room
    }
}

type Ring<'a> = &'a Broadcast<HeapStorage>;

/// Peeks and compares with the model: messages before `published` were published, slots before
/// `touched` were begun. Returns whether there was a message.
fn check_peek(
    reader: &mut Consumer<Ring<'_>>,
    model: &mut Model,
    published: usize,
    touched: usize,
    closed: bool,
) -> Result<bool, TestCaseError> {
    let (mut words, mut exact_words) = ([0; 2], [0; 2]);
    let (is_waiting, exact) = (reader.is_waiting(), reader.peek_exact(&mut exact_words, BYTES));
    prop_assert_eq!(reader.peek_exact(&mut [0; 3], BYTES + 1), None, "no message has this length");
    let look = reader.peek(&mut words);
    prop_assert_eq!(is_waiting, look == Peek::Empty);
    let message = match look {
        Peek::Message { sequence, .. } if !reader.ring().layout().has_length() => Some(sequence),
        _ => None,
    };
    prop_assert_eq!(exact, message);
    prop_assert!(exact.is_none() || exact_words == words);
    // A slot that was begun and aborted no longer contains the message of the lap before.
    let oldest = touched.saturating_sub(CAPACITY);
    if model.cursor < oldest {
        prop_assert!(!model.gating || model.cursor < model.shown, "a gating reader was passed");
        prop_assert_eq!(look, Peek::Gap { missed: oldest - model.cursor });
        model.move_to(oldest);
        return Ok(false);
    }
    if model.cursor < published {
        prop_assert_eq!(look, Peek::Message { sequence: model.cursor, length: BYTES });
        prop_assert_eq!(words, content(model.cursor));
        return Ok(true);
    }
    prop_assert_eq!(look, if closed { Peek::Closed } else { Peek::Empty });
    model.flush();
    Ok(false)
}

fn run(layout: Layout, lag: usize, operations: &[Operation]) -> Result<(), TestCaseError> {
    let ring = Broadcast::boxed(layout, READERS).unwrap();
    let mut producer = Broadcast::producer(&ring);
    let mut readers: Vec<(Consumer<Ring<'_>>, Model)> = Vec::new();
    let (mut published, mut touched) = (0usize, 0usize);
    let mut writer = Writer::default();
    for operation in operations {
        let closed = producer.is_none();
        let gating = || readers.iter().filter(|(_, model)| model.gating).map(|(_, model)| model);
        let first_taken = gating().map(Model::taken).min().unwrap_or(published);
        let first_shown = gating().map(|model| model.shown).min().unwrap_or(published);
        match *operation {
            Operation::Push => {
                let Some(producer) = producer.as_mut() else { continue };
                let message = content(published);
                let pushed = if writer.limit != published
                    && producer.push_into_known_room(&message, BYTES)
                {
                    prop_assert!(!layout.has_length());
                    Ok(published)
                } else {
                    producer.try_push(&message, BYTES)
                };
                if writer.has_room(published, first_shown, first_taken) {
                    prop_assert_eq!(pushed, Ok(published));
                    published += 1;
                    touched = touched.max(published);
                } else {
                    let Err(full) = pushed else { panic!("full, yet pushed") };
                    prop_assert!(full.reader.entry < READERS);
                }
            }
            Operation::Abort => {
                let Some(producer) = producer.as_mut() else { continue };
                let room = writer.has_room(published, first_shown, first_taken);
                match producer.grant() {
                    Ok(mut grant) => {
                        prop_assert!(room);
                        grant.write(&[7, 7], BYTES);
                        touched = touched.max(published + 1);
                    }
                    Err(_) => prop_assert!(!room),
                }
            }
            Operation::Peek(index) => {
                if let Some((reader, model)) = readers.get_mut(index) {
                    check_peek(reader, model, published, touched, closed)?;
                }
            }
            Operation::Take(index) => {
                if let Some((reader, model)) = readers.get_mut(index)
                    && check_peek(reader, model, published, touched, closed)?
                {
                    prop_assert!(reader.advance());
                    prop_assert!(!reader.advance(), "only a message that was read is passed");
                    model.move_to(model.cursor + 1);
                }
            }
            Operation::Read(index, most) => {
                let Some((reader, model)) = readers.get_mut(index) else { continue };
                let borrows = model.gating && !model.late;
                let ready = if borrows { most.min(published - model.cursor) } else { 0 };
                if let Some(messages) = reader.read(most) {
                    prop_assert_eq!((messages.sequence(), messages.count()), (model.cursor, ready));
                    let is_content = |(message, sequence)| message == content(sequence).as_bytes();
                    prop_assert_eq!(messages.iter().count(), ready);
                    prop_assert!(messages.iter().zip(model.cursor..).all(is_content));
                    prop_assert_eq!(messages.get(ready), None);
                    messages.release(most / 2);
                    model.move_to(model.cursor + ready.min(most / 2));
                } else {
                    prop_assert_eq!(ready, 0);
                    if borrows {
                        model.flush();
                    }
                }
            }
            Operation::Latest(index) => {
                if let Some((reader, model)) = readers.get_mut(index) {
                    let newest = published.saturating_sub(1).max(model.cursor);
                    prop_assert_eq!(reader.skip_to_latest(), newest - model.cursor);
                    model.move_to(newest);
                }
            }
            Operation::JoinGating => {
                let taken = readers.iter().filter(|(_, model)| model.gating).count();
                let reader = Broadcast::gating(&ring);
                prop_assert_eq!(reader.is_some(), taken < READERS);
                if let Some(reader) = reader {
                    prop_assert_eq!(reader.cursor(), published);
                    readers.push((reader.with_lag(lag), Model::new(true, published, lag)));
                }
            }
            Operation::JoinLate(back) => {
                let from = published.saturating_sub(back);
                if let Some(reader) = Broadcast::gating_late(&ring, from) {
                    prop_assert_eq!(reader.cursor(), from);
                    let mut model = Model::new(true, published, lag);
                    (model.late, model.cursor) = (from < published, from);
                    readers.push((reader.with_lag(lag), model));
                }
            }
            Operation::JoinObserving => {
                let reader = Broadcast::observing(&ring);
                prop_assert_eq!(reader.cursor(), published);
                readers.push((reader, Model::new(false, published, lag)));
            }
            Operation::Leave(index) => {
                if index < readers.len() {
                    readers.remove(index);
                }
            }
            Operation::Restart => {
                if let Some(old) = producer.take() {
                    prop_assert!(Broadcast::producer(&ring).is_none(), "one writer at a time");
                    drop(old);
                    producer = Broadcast::producer(&ring);
                    prop_assert_eq!(producer.as_ref().map(|new| new.sequence()), Some(published));
                    writer = Writer { limit: published, refused: 0 };
                }
            }
            Operation::Flush(index) => {
                if let Some((reader, model)) = readers.get_mut(index) {
                    reader.flush();
                    model.flush();
                }
            }
            Operation::FindRoom => {
                let Some(producer) = producer.as_mut() else { continue };
                let limit = first_taken + CAPACITY;
                prop_assert_eq!(producer.find_room().unwrap_or(0), limit - published);
                if limit != published {
                    writer = Writer { limit, refused: 0 };
                }
            }
            Operation::Close => {
                if let Some(producer) = producer.take() {
                    producer.close();
                    prop_assert!(Broadcast::producer(&ring).is_none());
                }
            }
        }
        let gating = || readers.iter().filter(|(_, model)| model.gating);
        for (reader, model) in gating() {
            prop_assert_eq!(reader.depth(), published - model.cursor);
        }
        let slowest = gating().map(|(_, model)| published - model.taken()).max();
        prop_assert_eq!(ring.depth(), slowest.unwrap_or(0));
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn behaves_like_the_model(
        has_length in any::<bool>(),
        lag in 1..=CAPACITY,
        operations in prop::collection::vec(operation(), 1..if cfg!(miri) { 20 } else { 120 }),
    ) {
        let layout = if has_length { Layout::up_to(CAPACITY, BYTES) } else { LAYOUT };
        run(layout, lag, &operations)?;
    }
}

#[test]
fn a_message_that_is_passed_unshown_is_kept_until_it_is_shown() {
    let (mut producer, reader) = ends(LAYOUT);
    let mut reader = reader.with_lag(CAPACITY);
    (0..CAPACITY).for_each(|number| _ = producer.try_push(&content(number), BYTES).unwrap());
    let mut words = [0; 2];
    assert!(matches!(reader.peek(&mut words), Peek::Message { sequence: 0, .. }));
    reader.advance_unshown();
    assert!(producer.try_push(&content(CAPACITY), BYTES).is_err(), "the reader may need it");
    reader.show_passed();
    producer.try_push(&content(CAPACITY), BYTES).unwrap();
    assert!(matches!(reader.peek(&mut words), Peek::Message { sequence: 1, .. }));
    assert!(reader.advance());
    // It has taken that one, so its position is shown with the usual lag.
    reader.show_passed();
    assert!(producer.try_push(&content(CAPACITY + 1), BYTES).is_err(), "shown early");
    reader.flush();
    producer.try_push(&content(CAPACITY + 1), BYTES).unwrap();
}

/// Lengths that no message has find no slot, in rings with one message size and in others.
#[test]
fn wrong_lengths_find_no_slot() {
    for layout in [LAYOUT, Layout::up_to(CAPACITY, BYTES)] {
        let ring = Broadcast::boxed(layout, 1).unwrap();
        let mut producer = Broadcast::producer(&ring).unwrap();
        let mut gating = Broadcast::gating(&ring).unwrap();
        let mut observing = Broadcast::observing(&ring);
        producer.try_push(&content(0), BYTES).unwrap();
        let high = 1 << (usize::BITS - 1);
        let near = [0, BYTES - 1, BYTES + 1, !BYTES, high | BYTES];
        for length in near.into_iter().chain([usize::MAX / 2, high, usize::MAX - 7, usize::MAX]) {
            let mut words = [7; 64];
            assert_eq!(gating.peek_exact(&mut words, length), None);
            assert_eq!(observing.peek_exact(&mut words, length), None);
            assert_eq!(words, [7; 64]);
            assert!(!producer.push_into_known_room(&[1], length));
        }
        assert_eq!(producer.sequence(), 1);
    }
}

/// A refused write changes no earlier message.
#[test]
fn a_refused_write_changes_nothing() {
    let (mut producer, mut reader) = ends(Layout::up_to(CAPACITY, BYTES));
    let mut grant = producer.grant().unwrap();
    grant.write(&[1], size_of::<usize>());
    let refused = std::panic::AssertUnwindSafe(|| grant.write(&[2, 3, 4], BYTES));
    assert!(std::panic::catch_unwind(refused).is_err(), "more words than a slot");
    grant.commit();
    let mut words = [0; 2];
    let length = size_of::<usize>();
    assert_eq!(reader.peek(&mut words), Peek::Message { sequence: 0, length });
    assert_eq!(words[0], 1);
}

/// Readers that copy, that borrow, and that retain, and one that observes.
#[test]
fn readers_on_threads_keep_order_and_the_counts_add_up() {
    let count: usize = if cfg!(miri) { 100 } else { 200_000 };
    let ring = Broadcast::boxed(LAYOUT, 3).unwrap();
    let mut producer = Broadcast::producer(&ring).unwrap();
    let copying = [Broadcast::gating(&ring).unwrap(), Broadcast::observing(&ring)];
    let mut borrowing = Broadcast::gating(&ring).unwrap();
    let mut retaining = Broadcast::gating(&ring).unwrap().retaining();
    let sides = &Sides::waking_all();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (side, mut next) = (sides.writer(), 0);
            while next < count {
                let items: Vec<_> = (next..count).take(next % 3).flat_map(content).collect();
                next += side.until(|| match items.len() {
                    0 => producer.try_push(&content(next), BYTES).map(|_| 1).ok(),
                    _ => producer.push_items(&items, 2, 0).ok(),
                });
            }
            producer.close();
        });
        for (mut reader, gates) in copying.into_iter().zip([true, false]) {
            scope.spawn(move || {
                let (side, mut words) = (sides.reader(), [0; 2]);
                let (mut taken, mut missed) = (0, 0);
                loop {
                    let mut peek = || Some(reader.peek(&mut words)).filter(|it| *it != Peek::Empty);
                    match side.until(&mut peek) {
                        Peek::Message { sequence, .. } => {
                            assert_eq!((sequence, words), (taken + missed, content(sequence)));
                            reader.advance();
                            taken += 1;
                        }
                        Peek::Gap { missed: gap } if !gates => missed += gap,
                        Peek::Closed => break,
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(taken + missed, count, "sent = taken + dropped");
            });
        }
        scope.spawn(move || {
            let (side, mut next) = (sides.reader(), 0);
            while next < count {
                side.until(|| {
                    let messages = borrowing.read(3)?;
                    for message in messages.iter() {
                        assert_eq!(message, content(next).as_bytes());
                        next += 1;
                    }
                    messages.release(3);
                    Some(())
                });
            }
        });
        let (side, mut next) = (sides.reader(), 0);
        while next < count {
            side.until(|| {
                let ready = retaining.ready(CAPACITY);
                retaining.pass(ready);
                let [one, two] = retaining.borrow(next, ready).expect("it is kept");
                for slot in one.chunks(3).chain(two.chunks(3)) {
                    assert_eq!(slot[1..], content(next));
                    next += 1;
                }
                retaining.release(next);
                (ready > 0).then_some(())
            });
        }
    });
}
