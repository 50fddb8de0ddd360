//! What the shared form must do, as plain lists: which places hold a message, and how far each reader is. Any sequence of
//! operations is done to the ring and to these, and all that can be asked of the ring is compared after each.

use mycelium_core::ring::broadcast::{Blocked, Broadcast, Consumer, Look, SharedProducer};
use proptest::prelude::*;

use crate::{BYTES, CAPACITY, Memory, READERS, content, ring};

/// Does the operations to a ring whose positions begin at `start`.
pub(crate) fn run(start: usize, operations: &[Operation]) -> Result<(), TestCaseError> {
    let ring = ring(start);
    let writers = vec![Broadcast::shared_producer(&ring).unwrap()];
    let (places, readers) = (Vec::new(), Vec::new());
    let mut world =
        World { ring: &ring, start, places, begun: false, writers, readers, high_water: 0 };
    world.run(operations, 0)?;
    Ok(())
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
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

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
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

/// The ring, and what must be in it. Places are counted from zero; the ring's sequences from `start`.
struct World<'a> {
    ring: &'a Memory,
    start: usize,
    places: Vec<Place>,
    /// The next slot is marked as being written: the single writer gave it back.
    begun: bool,
    writers: Vec<SharedProducer<&'a Memory>>,
    readers: Vec<(Consumer<&'a Memory>, Model)>,
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
        reader: Consumer<&'a Memory>,
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
