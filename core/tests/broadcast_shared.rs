//! The shared form of the broadcast ring against a plain model, positions near the wrap-around, stalled writers, and
//! threads.

use mycelium_core::ring::broadcast::{
    Blocked, Broadcast, Consumer, Inline, Look, ReaderWords, SharedProducer, Storage, Word,
    WriterWords, slot_words,
};
use proptest::prelude::*;

const CAPACITY: usize = 4;
const BYTES: usize = 2 * size_of::<usize>();
const WORDS: usize = CAPACITY * slot_words(BYTES);
const READERS: usize = 2;

type Memory = Broadcast<Inline<WORDS, READERS>>;
type Ring<'a> = &'a Memory;

fn ring(start: usize) -> Memory {
    Broadcast::new(Inline::new(), CAPACITY, BYTES).unwrap().starting_at(start)
}

fn content(sequence: usize) -> [usize; 2] {
    [sequence.wrapping_mul(31), !sequence]
}

#[derive(Clone, Debug)]
enum Operation {
    Push(usize),
    GiveUp(usize),
    /// A claim that stays open while the next operations, as many as this says, go on.
    Hold {
        writer: usize,
        during: usize,
        commit: bool,
    },
    Look(usize),
    Take(usize),
    Latest(usize),
    JoinGating,
    JoinObserving,
    Leave(usize),
    AddWriter,
    RemoveWriter(usize),
    /// The single writer has the ring for this many messages and one grant that it gives back.
    Single(usize),
    Close,
}

fn operation() -> impl Strategy<Value = Operation> {
    let hold = (0..3usize, 1..8usize, any::<bool>());
    prop_oneof![
        12 => (0..3usize).prop_map(Operation::Push),
        4 => (0..3usize).prop_map(Operation::GiveUp),
        3 => hold.prop_map(|(writer, during, commit)| Operation::Hold { writer, during, commit }),
        2 => (0..6usize).prop_map(Operation::Look),
        12 => (0..6usize).prop_map(Operation::Take),
        1 => (0..6usize).prop_map(Operation::Latest),
        2 => Just(Operation::JoinGating),
        3 => Just(Operation::JoinObserving),
        1 => (0..6usize).prop_map(Operation::Leave),
        2 => Just(Operation::AddWriter),
        1 => (0..3usize).prop_map(Operation::RemoveWriter),
        1 => (0..6usize).prop_map(Operation::Single),
        1 => Just(Operation::Close),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Open,
    Message,
    GivenUp,
}

/// What a reader must see: the place that it wants next, counted from the first of the ring.
struct Model {
    gating: bool,
    cursor: usize,
    /// Where it joined, and what it has been told since.
    joined: usize,
    told: usize,
}

/// The ring, and what must be in it. Places are counted from zero; the ring's sequences from `start`.
struct World<'a> {
    ring: Ring<'a>,
    start: usize,
    places: Vec<Place>,
    /// The next slot is marked as being written: the single writer gave it back.
    begun: bool,
    writers: Vec<SharedProducer<Ring<'a>>>,
    readers: Vec<(Consumer<Ring<'a>>, Model)>,
    high_water: usize,
}

impl<'a> World<'a> {
    fn sequence(&self, place: usize) -> usize {
        self.start.wrapping_add(place)
    }

    fn messages(&self, places: std::ops::Range<usize>) -> usize {
        self.places[places].iter().filter(|place| **place == Place::Message).count()
    }

    /// The first place from this one on that no reader can read yet.
    fn published_from(&self, place: usize) -> usize {
        let open = self.places[place..].iter().position(|place| *place == Place::Open);
        open.map_or(self.places.len(), |ahead| place + ahead)
    }

    fn behind(&self) -> usize {
        let next = self.places.len();
        let gating = self.readers.iter().filter(|(_, model)| model.gating);
        gating.map(|(_, model)| next - model.cursor).max().unwrap_or(0)
    }

    /// Why the next place cannot be claimed.
    fn blocked(&self) -> Option<bool> {
        let next = self.places.len();
        if self.behind() == CAPACITY {
            return Some(false);
        }
        (next >= CAPACITY && self.places[next - CAPACITY] == Place::Open).then_some(true)
    }

    fn check_refused(&mut self, blocked: Blocked) -> Result<(), TestCaseError> {
        match self.blocked() {
            Some(true) => prop_assert_eq!(blocked, Blocked::Writer),
            Some(false) => {
                let Blocked::Reader { reader } = blocked else {
                    return Err(TestCaseError::fail("a reader was in the way"));
                };
                let (_, model) = self
                    .readers
                    .iter()
                    .find(|(consumer, _)| consumer.entry() == Some(reader))
                    .ok_or_else(|| TestCaseError::fail("nobody has this entry"))?;
                prop_assert_eq!(model.cursor + CAPACITY, self.places.len());
                self.high_water = CAPACITY;
            }
            None => return Err(TestCaseError::fail("refused, though there was room")),
        }
        Ok(())
    }

    fn check_look(&mut self, index: usize, take: bool) -> Result<(), TestCaseError> {
        let closed = self.writers.is_empty();
        let touched = self.places.len() + usize::from(self.begun);
        let (start, places) = (self.start, self.places.clone());
        let Some((reader, model)) = self.readers.get_mut(index) else { return Ok(()) };
        let mut words = [0; 2];
        let look = reader.look(&mut words);
        loop {
            let oldest = touched.saturating_sub(CAPACITY);
            if model.cursor < oldest {
                prop_assert!(!model.gating, "a gating reader was passed");
                let passed = &places[model.cursor..oldest];
                let missed = passed.iter().filter(|place| **place == Place::Message).count();
                model.cursor = oldest;
                if missed > 0 {
                    prop_assert_eq!(look, Look::Gap { missed });
                    model.told += missed;
                    return Ok(());
                }
            }
            match places.get(model.cursor) {
                Some(Place::Message) => {
                    let sequence = start.wrapping_add(model.cursor);
                    prop_assert_eq!(look, Look::Message { sequence, length: BYTES });
                    prop_assert_eq!(words, content(sequence));
                    if take {
                        prop_assert!(reader.advance());
                        model.cursor += 1;
                        model.told += 1;
                    }
                    return Ok(());
                }
                Some(Place::GivenUp) => model.cursor += 1,
                Some(Place::Open) => {
                    prop_assert_eq!(look, Look::Empty);
                    return Ok(());
                }
                None => {
                    prop_assert_eq!(look, if closed { Look::Closed } else { Look::Empty });
                    return Ok(());
                }
            }
        }
    }

    /// Runs operations while `open` claims are open; returns those that were left to do.
    fn run<'b>(
        &mut self,
        mut operations: &'b [Operation],
        open: usize,
    ) -> Result<&'b [Operation], TestCaseError> {
        while let Some((operation, rest)) = operations.split_first() {
            operations = rest;
            match *operation {
                Operation::Push(writer) => {
                    let next = self.sequence(self.places.len());
                    let Some(writer) = self.writers.get_mut(writer) else { continue };
                    match writer.try_push(&content(next), BYTES) {
                        Ok(sequence) => {
                            prop_assert_eq!(self.blocked(), None);
                            prop_assert_eq!(sequence, next);
                            self.places.push(Place::Message);
                            self.begun = false;
                        }
                        Err(blocked) => self.check_refused(blocked)?,
                    }
                }
                Operation::GiveUp(writer) => {
                    let Some(writer) = self.writers.get_mut(writer) else { continue };
                    let granted = writer.grant().map(|mut grant| grant.write(&[7, 7], BYTES));
                    match granted {
                        Ok(()) => {
                            prop_assert_eq!(self.blocked(), None);
                            self.places.push(Place::GivenUp);
                            self.begun = false;
                        }
                        Err(blocked) => self.check_refused(blocked)?,
                    }
                }
                Operation::Hold { writer, during, commit } => {
                    let Some(mut writer) = self.writers.get(writer).cloned() else { continue };
                    match writer.grant() {
                        Ok(mut grant) => {
                            prop_assert_eq!(self.blocked(), None);
                            let place = self.places.len();
                            self.places.push(Place::Open);
                            self.begun = false;
                            let (now, later) = operations.split_at(during.min(operations.len()));
                            self.run(now, open + 1)?;
                            operations = later;
                            if commit {
                                grant.write(&content(self.sequence(place)), BYTES);
                                prop_assert_eq!(grant.commit(), self.sequence(place));
                                self.places[place] = Place::Message;
                            } else {
                                drop(grant);
                                self.places[place] = Place::GivenUp;
                            }
                        }
                        Err(blocked) => self.check_refused(blocked)?,
                    }
                }
                Operation::Look(index) => self.check_look(index, false)?,
                Operation::Take(index) => self.check_look(index, true)?,
                Operation::Latest(index) => self.latest(index)?,
                Operation::JoinGating => {
                    let taken = self.readers.iter().filter(|(_, model)| model.gating).count();
                    let reader = Broadcast::gating(self.ring);
                    prop_assert_eq!(reader.is_some(), taken < READERS);
                    let Some(reader) = reader else { continue };
                    // What was claimed already may not be waited for.
                    self.join(reader, true, self.places.len())?;
                }
                Operation::JoinObserving => {
                    let reader = Broadcast::observing(self.ring);
                    self.join(reader, false, self.published_from(0))?;
                }
                Operation::Leave(index) => {
                    if index < self.readers.len() {
                        self.readers.remove(index);
                    }
                }
                Operation::AddWriter => {
                    if self.writers.len() < 3
                        && let Some(writer) = Broadcast::shared_producer(self.ring)
                    {
                        prop_assert!(Broadcast::producer(self.ring).is_none());
                        self.writers.push(writer);
                    }
                }
                Operation::RemoveWriter(index) => {
                    // The last one stays: without writers the model calls the ring closed.
                    if index < self.writers.len() && self.writers.len() > 1 {
                        self.writers.remove(index).close();
                    }
                }
                Operation::Single(count) => {
                    if open == 0 && !self.writers.is_empty() {
                        self.single(count)?;
                    }
                }
                Operation::Close => {
                    if open == 0 && self.writers.len() == 1 {
                        self.writers.remove(0).close();
                        prop_assert!(Broadcast::shared_producer(self.ring).is_none());
                        prop_assert!(Broadcast::producer(self.ring).is_none());
                    }
                }
            }
            self.check()?;
        }
        Ok(operations)
    }

    fn join(
        &mut self,
        reader: Consumer<Ring<'a>>,
        gating: bool,
        at: usize,
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(reader.cursor(), self.sequence(at));
        self.readers.push((reader, Model { gating, cursor: at, joined: at, told: 0 }));
        Ok(())
    }

    fn latest(&mut self, index: usize) -> Result<(), TestCaseError> {
        let touched = self.places.len() + usize::from(self.begun);
        let Some((_, model)) = self.readers.get(index) else { return Ok(()) };
        let published = self.published_from(model.cursor);
        // The newest one that is left, unless all are given up or gone.
        let mut left =
            (model.cursor..published).rev().take_while(|place| place + CAPACITY >= touched);
        let message =
            |place: &usize| *place == model.cursor || self.places[*place] == Place::Message;
        let newest = left.find(message).unwrap_or(published);
        let skipped = self.messages(model.cursor..newest);
        let (reader, model) = &mut self.readers[index];
        prop_assert_eq!(reader.skip_to_latest(), skipped);
        model.cursor = newest;
        model.told += skipped;
        Ok(())
    }

    fn single(&mut self, count: usize) -> Result<(), TestCaseError> {
        self.writers.clear();
        let mut single = Broadcast::producer(self.ring).expect("all writers have left");
        prop_assert!(Broadcast::shared_producer(self.ring).is_none());
        prop_assert_eq!(single.sequence(), self.sequence(self.places.len()));
        for _ in 0..count {
            let next = self.sequence(self.places.len());
            let pushed = single.try_push(&content(next), BYTES);
            prop_assert_eq!(pushed.is_ok(), self.behind() < CAPACITY);
            if pushed.is_ok() {
                self.places.push(Place::Message);
                self.begun = false;
            }
        }
        if let Ok(mut grant) = single.grant() {
            grant.write(&[7, 7], BYTES);
            self.begun = true;
        }
        drop(single);
        self.writers.extend(Broadcast::shared_producer(self.ring));
        prop_assert_eq!(self.writers.len(), 1);
        Ok(())
    }

    /// What holds after each operation.
    fn check(&self) -> Result<(), TestCaseError> {
        let given_up = self.places.iter().filter(|place| **place == Place::GivenUp).count();
        prop_assert_eq!(self.ring.skipped(), given_up);
        prop_assert!(self.ring.high_water() <= CAPACITY);
        prop_assert!(self.ring.high_water() >= self.high_water);
        for (reader, model) in &self.readers {
            prop_assert_eq!(reader.cursor(), self.sequence(model.cursor));
            prop_assert_eq!(reader.depth(), self.published_from(model.cursor) - model.cursor);
            prop_assert_eq!(
                model.told,
                self.messages(model.joined..model.cursor),
                "sent = taken + missed"
            );
        }
        Ok(())
    }
}

fn run(start: usize, operations: &[Operation]) -> Result<(), TestCaseError> {
    let ring = ring(start);
    let writers = vec![Broadcast::shared_producer(&ring).unwrap()];
    let (places, readers) = (Vec::new(), Vec::new());
    let mut world =
        World { ring: &ring, start, places, begun: false, writers, readers, high_water: 0 };
    world.run(operations, 0)?;
    Ok(())
}

const LONGEST: usize = if cfg!(miri) { 20 } else { 120 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 2_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_like_the_model(
        before_wrap in 0..60usize,
        operations in prop::collection::vec(operation(), 1..LONGEST),
    ) {
        run(0usize.wrapping_sub(before_wrap), &operations)?;
    }
}

#[test]
fn a_gap_counts_messages_and_not_what_was_given_up() {
    let ring = ring(0);
    let mut writer = Broadcast::shared_producer(&ring).unwrap();
    let mut observer = Broadcast::observing(&ring);
    for _ in 0..CAPACITY + 1 {
        drop(writer.grant().unwrap());
    }
    let mut words = [0; 2];
    assert_eq!(observer.look(&mut words), Look::Empty, "nothing was missed");
    for count in 0..100 {
        if count % 3 == 0 {
            drop(writer.grant().unwrap());
        } else {
            writer.try_push(&content(count), BYTES).unwrap();
        }
    }
    // 66 messages; the last four places are given up, message, message, given up.
    assert_eq!(observer.look(&mut words), Look::Gap { missed: 64 });
    for sequence in [102, 103] {
        assert_eq!(observer.look(&mut words), Look::Message { sequence, length: BYTES });
        assert!(observer.advance());
    }
    assert_eq!(observer.look(&mut words), Look::Empty);
    assert_eq!(ring.skipped(), CAPACITY + 1 + 34);
}

#[test]
fn a_writer_that_sleeps_with_a_claim_is_not_overtaken_by_a_lap() {
    let ring = ring(usize::MAX - 1);
    let mut sleeper = Broadcast::shared_producer(&ring).unwrap();
    let mut writer = sleeper.clone();
    let mut observer = Broadcast::observing(&ring);
    let claim = sleeper.grant().unwrap();
    for _ in 1..CAPACITY {
        writer.try_push(&[1, 1], BYTES).unwrap();
    }
    let mut words = [0; 2];
    assert_eq!(writer.try_push(&[1, 1], BYTES), Err(Blocked::Writer));
    assert_eq!(observer.look(&mut words), Look::Empty, "messages come in the order of the claims");
    drop(claim);
    assert_eq!(writer.try_push(&[1, 1], BYTES), Ok(2));
    assert!(matches!(observer.look(&mut words), Look::Message { sequence: usize::MAX, .. }));
}

#[test]
fn a_ring_is_closed_by_its_last_writer_only() {
    let ring = ring(0);
    let first = Broadcast::shared_producer(&ring).unwrap();
    let second = first.clone();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let mut words = [0; 2];
    first.close();
    assert_eq!(reader.look(&mut words), Look::Empty);
    drop(second);
    assert_eq!(reader.look(&mut words), Look::Empty, "nobody has closed it");
    let mut third = Broadcast::shared_producer(&ring).unwrap();
    third.try_push(&content(0), BYTES).unwrap();
    third.close();
    assert!(matches!(reader.look(&mut words), Look::Message { sequence: 0, .. }));
    reader.advance();
    assert_eq!(reader.look(&mut words), Look::Closed);
    assert!(Broadcast::producer(&ring).is_none());
}

#[test]
fn writers_and_readers_on_threads_agree_on_one_order() {
    const WRITERS: usize = 3;
    let count: usize = if cfg!(miri) { 10 } else { 60_000 };
    let ring = ring(0usize.wrapping_sub(100));
    let writer = Broadcast::shared_producer(&ring).unwrap();
    let gating: Vec<_> = (0..READERS).map(|_| Broadcast::gating(&ring).unwrap()).collect();
    let mut observing = Broadcast::observing(&ring);
    let seen = std::thread::scope(|scope| {
        let ring = &ring;
        for name in 0..WRITERS {
            let mut writer = writer.clone();
            scope.spawn(move || {
                let mut next = 0;
                while next < count {
                    match writer.grant() {
                        Ok(grant) if next % 7 == 3 && grant_is_given_up(name, ring) => drop(grant),
                        Ok(mut grant) => {
                            grant.write(&[name, next], BYTES);
                            grant.commit();
                            next += 1;
                        }
                        Err(_) => std::thread::yield_now(),
                    }
                }
                writer.close();
            });
        }
        writer.close();
        scope.spawn(move || {
            let (mut taken, mut missed, mut words) = (0, 0, [0; 2]);
            loop {
                match observing.look(&mut words) {
                    Look::Message { .. } => {
                        observing.advance();
                        taken += 1;
                    }
                    Look::Gap { missed: gap } => missed += gap,
                    Look::Empty => std::thread::yield_now(),
                    Look::Closed => break,
                }
            }
            assert_eq!(taken + missed, WRITERS * count, "sent = taken + missed");
        });
        let readers: Vec<_> = gating
            .into_iter()
            .map(|mut reader| {
                scope.spawn(move || {
                    let (mut seen, mut words) = (Vec::new(), [0; 2]);
                    loop {
                        match reader.look(&mut words) {
                            Look::Message { .. } => {
                                reader.advance();
                                seen.push(words);
                            }
                            Look::Gap { .. } => panic!("a gating reader has no gaps"),
                            Look::Empty => std::thread::yield_now(),
                            Look::Closed => break seen,
                        }
                    }
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(seen[0], seen[1], "two readers saw different orders");
    for name in 0..WRITERS {
        let of_one = seen[0].iter().filter(|words| words[0] == name).map(|words| words[1]);
        assert!(of_one.eq(0..count), "a writer's messages are lost or out of order");
    }
}

/// Whether this claim, about every second one of those that may be, is to be given up.
fn grant_is_given_up(name: usize, ring: &Memory) -> bool {
    (ring.skipped() + name).is_multiple_of(2)
}

/// What a grant publishes that nobody wrote to.
#[test]
fn a_grant_that_was_not_written_is_an_empty_message() {
    let ring = Broadcast::boxed(2, 8, 1).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let mut next = |length: usize| {
        let mut words = [0];
        assert!(
            matches!(reader.look(&mut words), Look::Message { length: found, .. } if found == length)
        );
        assert!(reader.advance());
    };
    let mut writer = Broadcast::producer(&ring).unwrap();
    for _ in 0..2 {
        writer.try_push(&[7], 8).unwrap();
        next(8);
    }
    writer.grant().unwrap().commit();
    next(0);
    drop(writer);
    let mut writer = Broadcast::shared_producer(&ring).unwrap();
    writer.try_push(&[7], 8).unwrap();
    next(8);
    writer.grant().unwrap().commit();
    next(0);
}

/// A single writer that has sent half of all sequences: the words that only the shared form needs must have kept up with
/// it, or they are taken for what is yet to come. On a host of 32 bits that is after half an hour.
#[test]
fn a_single_writer_keeps_the_position_for_all() {
    /// Two rings over one memory, the second of which sets the words back to where the first began.
    struct At<'a>(&'a Inline<{ 4 * slot_words(8) }, 2>);

    impl Storage for At<'_> {
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

    let storage = Inline::new();
    let ring = Broadcast::new(At(&storage), 4, 8).unwrap().starting_at(usize::MAX / 2 + 100);
    let mut writer = Broadcast::producer(&ring).unwrap();
    Broadcast::new(At(&storage), 4, 8).unwrap();
    for number in 0..8 {
        writer.try_push(&[number], 8).unwrap();
    }
    let mut reader = Broadcast::gating(&ring).unwrap();
    assert_eq!(reader.cursor(), writer.sequence());
    drop(writer);
    let mut writer = Broadcast::shared_producer(&ring).unwrap();
    let pushed = (0..20).take_while(|number| writer.try_push(&[*number], 8).is_ok()).count();
    assert_eq!(pushed, 4, "a gating reader was passed");
    let mut words = [9];
    assert!(matches!(reader.look(&mut words), Look::Message { .. }));
    assert_eq!(words, [0]);
}
