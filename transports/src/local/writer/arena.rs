//! Pushing messages that are not fixed: they are encoded, and the long ones are in the ring's
//! arena.

use mycelium_core::EncodeError;
use mycelium_core::message::{Message, encode_exact, encoded_len};
use mycelium_core::ring::broadcast::{ArenaWriter, CONTENT, Full, Place, Producer};
use zerocopy::{FromBytes, IntoBytes};

use super::{NotPushed, Writer, end_of};
use crate::counters::PublisherValue;
use crate::local::metadata::Metadata;
use crate::local::ring::shared::Ring;
use crate::local::trace::Area;
use crate::local::values::{FeedError, LatestByKey, Refusal, Schema};

const WORD: usize = size_of::<usize>();

impl Writer {
    /// Appends a message that is not fixed, or returns why not.
    #[inline]
    pub(super) fn push_into_arena(
        &mut self,
        words: &[usize],
        length: usize,
    ) -> Result<(), NotPushed> {
        if !self.area.is_present()
            && let Writer { producer: Some(producer), arena: Some(arena), .. } = self
            && arena.try_push(producer, words, length, &[]).is_ok()
        {
            self.count_in_arena();
            return Ok(());
        }
        self.push_into_arena_slow(words, length)
    }

    /// Counts a message that is in the ring, and notes the fill of the arena if that is due.
    #[inline]
    pub(super) fn count_in_arena(&mut self) {
        let claimed = self.arena.as_ref().map_or(0, |arena| arena.claimed());
        if claimed.wrapping_sub(self.note_at).cast_signed() >= 0 {
            self.note_arena();
        }
        self.count();
    }

    /// Appends a message with an area, or of a topic with fast handlers, or to a full ring.
    #[cold]
    fn push_into_arena_slow(&mut self, words: &[usize], length: usize) -> Result<(), NotPushed> {
        let Writer { producer, handled, arena, state, blocked_by, .. } = self;
        let Some((producer, arena)) = end_of(producer, handled).zip(arena.as_mut()) else {
            return Ok(());
        };
        while let Err(full) = arena.claim(producer, length) {
            if !state.pump(full.reader.entry) {
                *blocked_by = Some(full.reader.entry);
                self.note_arena();
                return Err(NotPushed::Full(full.reader.entry));
            }
        }
        self.run_fast_handlers(words, length)?;
        // There is room, which belongs to this writer alone.
        let area = if self.area.is_present() { self.next_area(&mut None) } else { None };
        let Writer { producer, handled, arena, .. } = self;
        let Some((producer, arena)) = end_of(producer, handled).zip(arena.as_mut()) else {
            return Ok(());
        };
        let area = area.as_ref().map_or(&[][..], Area::words);
        let pushed = arena.try_push(producer, words, length, area);
        pushed.map_err(|full| NotPushed::Full(full.reader.entry))?;
        self.count_in_arena();
        Ok(())
    }

    /// Appends a message that is not fixed and comes from another process, without counting it.
    pub(crate) fn push_into_arena_with(
        &mut self,
        message: &[u8],
        metadata: Metadata,
    ) -> Result<(), FeedError> {
        if let Some(place) = self.reserve_for_feed(message.len())? {
            self.write_for_feed(place, 0, message);
            return self.commit_for_feed(place, message.len(), metadata);
        }
        let mut words = [0; CONTENT];
        words.as_mut_bytes()[..message.len()].copy_from_slice(message);
        let words = &words[..message.len().div_ceil(WORD)];
        self.append_for_feed(metadata, |arena, producer, area| {
            arena.try_push(producer, words, message.len(), area).map(drop)
        })
    }

    /// Reserves a place in the arena for a message of `length` bytes from another process; `None`
    /// if it fits into a slot.
    pub(crate) fn reserve_for_feed(&mut self, length: usize) -> Result<Option<Place>, FeedError> {
        if self.arena.is_none() || length.div_ceil(WORD) < CONTENT {
            return Ok(None);
        }
        let mut place = None;
        self.append_for_feed(Metadata::default(), |arena, producer, _| {
            place = Some(arena.reserve(producer, length)?);
            Ok(())
        })?;
        Ok(place)
    }

    /// Writes bytes of a message to the place that was reserved last, from its word `at` on.
    pub(crate) fn write_for_feed(&self, place: Place, at: usize, bytes: &[u8]) {
        let Some((producer, arena)) = self.producer.as_ref().zip(self.arena.as_ref()) else {
            return;
        };
        let (whole, rest) = bytes.split_at(bytes.len() / WORD * WORD);
        match <[usize]>::ref_from_bytes(whole) {
            Ok(words) => arena.write(producer, place, at, words),
            Err(_) => {
                for (index, word) in whole.chunks_exact(WORD).enumerate() {
                    arena.write(producer, place, at + index, &[word_of(word)]);
                }
            }
        }
        if !rest.is_empty() {
            arena.write(producer, place, at + whole.len() / WORD, &[word_of(rest)]);
        }
    }

    /// Appends the message of `length` bytes that was written to this place, without counting it.
    pub(crate) fn commit_for_feed(
        &mut self,
        place: Place,
        length: usize,
        metadata: Metadata,
    ) -> Result<(), FeedError> {
        self.append_for_feed(metadata, |arena, producer, area| {
            arena.commit(producer, place, length, area).map(drop)
        })
    }

    /// Calls `append` with the trace area of a message, until a gating reader leaves room for it.
    fn append_for_feed(
        &mut self,
        metadata: Metadata,
        mut append: impl FnMut(&mut ArenaWriter, &mut Producer<Ring>, &[usize]) -> Result<(), Full>,
    ) -> Result<(), FeedError> {
        let Some((producer, arena)) = self.producer.as_mut().zip(self.arena.as_mut()) else {
            return Err(FeedError::Ended);
        };
        let area = self.area.is_present().then(|| metadata.to_area().unwrap_or(Area::EMPTY));
        let area = area.as_ref().map_or(&[][..], Area::words);
        while let Err(full) = append(arena, producer, area) {
            if !self.state.pump(full.reader.entry) {
                return Err(FeedError::Full);
            }
        }
        Ok(())
    }

    /// Takes note of the fill of the arena, which counts for the threshold of backpressure.
    #[cold]
    #[inline(never)]
    pub(super) fn note_arena(&mut self) {
        let Some(arena) = &self.arena else { return };
        let (state, next) = (&self.state, self.state.ring.tail());
        state.import();
        let kept = next.wrapping_sub(state.depth());
        let words = state.pressure.arena().note(arena, kept, next);
        self.note_at = arena.claimed().wrapping_add(words);
        self.line.set(PublisherValue::ArenaHighWater, state.arena_high_water() as u64);
        state.compare_depth();
    }

    /// Refuses a message that is longer than the topic allows: its type in this program may have a
    /// larger `max` than that of the topic.
    pub(crate) fn check_length(&self, found: usize) -> Result<(), EncodeError> {
        let schema = self.topic.schema();
        if found <= schema.longest {
            return Ok(());
        }
        Err(EncodeError::TooLong { message: schema.name(), most: schema.longest, found })
    }

    /// Encodes a message that is not fixed, and returns its length. Refuses a message that is too
    /// long, or whose key is, or that serde cannot encode. [`with_encoded`](Writer::with_encoded)
    /// has its words.
    // The two are apart because a result that passes through both would be copied in memory, which
    // takes as long as the encoding.
    #[inline]
    pub(crate) fn encode<M: Message>(&mut self, message: &M) -> Result<usize, Refusal> {
        let length = self.length_of(message)?;
        self.grow_encoded(length);
        if self.keys_version != self.topic.keys.version() {
            self.update_keys();
        }
        let room = &mut self.encoded[..length.div_ceil(size_of::<u64>())];
        if let Some(last) = room.last_mut() {
            *last = 0;
        }
        let bytes = &mut room.as_mut_bytes()[..length];
        encode_exact(message, bytes)?;
        match too_long(&self.keys, self.topic.schema(), bytes) {
            None => Ok(length),
            Some(refusal) => Err(refusal),
        }
    }

    /// Refuses a valid encoded message whose key is too long.
    pub(crate) fn check_keys(&mut self, message: &[u8]) -> Result<(), Refusal> {
        if self.keys_version != self.topic.keys.version() {
            self.update_keys();
        }
        too_long(&self.keys, self.topic.schema(), message).map_or(Ok(()), Err)
    }

    #[cold]
    fn update_keys(&mut self) {
        let keys = self.topic.keys.lock();
        self.keys.clone_from(&keys);
        self.keys_version = self.topic.keys.version();
    }

    /// Returns the length of a message that is not fixed. Refuses one that is too long.
    pub(crate) fn length_of<M: Message>(&self, message: &M) -> Result<usize, Refusal> {
        let length = encoded_len(message)?;
        self.check_length(length)?;
        Ok(length)
    }

    /// Calls `push` with the words and the length of the message that was encoded last.
    #[inline]
    pub(crate) fn with_encoded<R>(
        &mut self,
        length: usize,
        push: impl FnOnce(&mut Writer, &[usize], usize) -> R,
    ) -> R {
        let encoded = std::mem::take(&mut self.encoded);
        let words = &words_of(&encoded)[..length.div_ceil(size_of::<usize>())];
        let pushed = push(self, words, length);
        self.encoded = encoded;
        pushed
    }

    /// Returns the number of bytes in the ring's arena that no reader needs, without `spare` ones;
    /// `None` without an arena.
    pub(crate) fn arena_room(&mut self, spare: usize) -> Option<usize> {
        let producer = end_of(&mut self.producer, &mut self.handled)?;
        let arena = self.arena.as_mut()?;
        // The longest message must find a place even if it has to skip as much. It uses at most as
        // much credit as half of the slots.
        let longest = arena.longest() - spare / 2;
        let enough = longest.max(2 * self.topic.schema().longest) + spare;
        let half = producer.ring().capacity() / 2;
        loop {
            let (room, slowest) = arena.room(producer);
            let has_enough = room >= enough && producer.find_room().is_ok_and(|it| it >= half);
            if has_enough || !self.state.pump(slowest.entry) {
                return Some(room.saturating_sub(spare));
            }
        }
    }
}

fn too_long(keys: &[LatestByKey], schema: &Schema, message: &[u8]) -> Option<Refusal> {
    let (key, found) = keys.iter().find_map(|key| Some((key, key.too_long(message)?)))?;
    Some(Refusal::KeyTooLong { field: key.field(schema).unwrap_or_default(), found })
}

/// Returns the word that begins with these bytes; the others are zero.
fn word_of(bytes: &[u8]) -> usize {
    let mut word = [0; WORD];
    word[..bytes.len()].copy_from_slice(bytes);
    usize::from_ne_bytes(word)
}

/// Returns the words of an encode buffer.
#[inline]
pub(super) fn words_of(encoded: &[u64]) -> &[usize] {
    <[usize]>::ref_from_bytes(encoded.as_bytes()).expect("a word has no more bytes than these")
}
