//! Messages that end with a list which the caller writes in place: [`Reservation`].
//!
//! The list is in the ring's arena if the writer waits for all readers of this process, so that none
//! of them reads there. Otherwise an observing reader may be copying the bytes that the list takes:
//! the list is then in the buffer in which the publisher encodes messages, and is copied when it is
//! sent. The rest of the message is always encoded there.

#![allow(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use mycelium_core::EncodeError;
use mycelium_core::message::Tail;
use mycelium_core::ring::broadcast::{CONTENT, Place};
use zerocopy::{FromBytes, IntoBytes};

use super::Writer;
use super::arena::words_of;
use super::publisher::Publisher;
use crate::counters::PublisherValue;
use crate::local::retained::Retainer;
use crate::local::state::ALIGNS;
use crate::local::trace::Area;
use crate::local::values::{EmitError, Refusal};

const WORD: usize = size_of::<usize>();
/// The alignment of bodies in a message.
const ALIGNMENT: usize = 8;

/// A message whose last list is written in place, and which is then [sent](Reservation::send).
/// Dropping it sends nothing.
///
/// A reader for which the publisher does not wait may miss older messages from then on: those whose
/// memory the list takes, and up to an eighth of the topic's `arena` more.
///
/// Room is reserved, so sending does not wait. The list has the number of items that was asked for.
/// Items that are not written are zero, or have bytes that the publisher wrote for an earlier
/// message or reservation of this topic; in shared memory, the processes of the topic can read what
/// is written before it is sent.
#[must_use = "dropping it sends nothing: write the items, then call `send`"]
pub struct Reservation<'c, M: Tail> {
    publisher: &'c mut Publisher<M>,
    /// The length of the message without the list in bytes; the encode buffer has these bytes.
    rest: usize,
    /// The number of items.
    len: usize,
    /// The place of the whole message in the arena; `None` if the list is in the encode buffer.
    place: Option<Place>,
}

impl<M: Tail> Publisher<M> {
    /// Reserves room for a message whose last field is a list of `len` items, which the caller then
    /// writes in place. Waits for room as [`emit`](Publisher::emit) does. The items that `message`
    /// has in that list are left out.
    ///
    /// If the future or the reservation is dropped, nothing is sent.
    ///
    /// # Errors
    /// As [`emit`](Publisher::emit), with the message, whose list is empty then.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Delivery, Policy, Schema, Topic, TopicError};
    /// #[message(topic = "frames", max = "1 MiB")]
    /// struct Frame {
    ///     number: u64,
    ///     pixels: Vec<u8>,
    /// }
    ///
    /// # pollster::block_on(async {
    /// # let topic = Topic::new("frames", Schema::of::<Frame>(), 4, Region::new(16))?;
    /// # let mut reader = topic.subscribe::<Frame>("reader", Policy::Block)?;
    /// # let mut frames = topic.publisher::<Frame>("writer", 1)?;
    /// let frame = Frame { number: 1, pixels: Vec::new() };
    /// let mut frame = frames.reserve(frame, 640 * 480).await.expect("nothing refuses it");
    /// frame.items_mut().fill(7);
    /// frame.truncate(640 * 240);
    /// frame.send().expect("no fast handler refuses it");
    /// # let Some(Delivery::Msg(frame)) = reader.recv_view().await else { panic!() };
    /// # assert_eq!((frame.number(), frame.pixels()), (1, &[7; 640 * 240][..]));
    /// # Ok::<(), TopicError>(())
    /// # })?;
    /// # Ok::<(), TopicError>(())
    /// ```
    pub async fn reserve(
        &mut self,
        mut message: M,
        len: usize,
    ) -> Result<Reservation<'_, M>, EmitError<M>> {
        message.clear();
        match poll_fn(|context| self.poll_room(context, &message, len)).await {
            Ok(()) => self.try_reserve(message, len),
            Err(refusal) => Err(EmitError::new(self.topic().clone(), message, refusal)),
        }
    }

    /// Reserves as [`reserve`](Publisher::reserve) does, but never waits.
    ///
    /// # Errors
    /// As [`try_emit`](Publisher::try_emit), with the message, whose list is empty then.
    #[inline]
    pub fn try_reserve(
        &mut self,
        mut message: M,
        len: usize,
    ) -> Result<Reservation<'_, M>, EmitError<M>> {
        message.clear();
        let ready = self.writer.lengths(&message, len).and_then(|[rest, length]| {
            self.writer.encode(&message)?;
            self.writer.try_claim(length)?;
            self.writer.check_key(rest)?;
            Ok([rest, length])
        });
        match ready {
            Ok([rest, length]) => {
                let place = self.writer.reserve(length);
                Ok(Reservation { publisher: self, rest, len, place })
            }
            Err(refusal) => Err(EmitError::new(self.topic().clone(), message, refusal)),
        }
    }

    /// Whether [`try_reserve`](Publisher::try_reserve) finds room. Is pending only if the task must
    /// yield first. For hand-written futures that go on with [`poll_room`](Publisher::poll_room).
    #[doc(hidden)]
    #[inline]
    pub fn poll_has_room(&mut self, context: &Context<'_>, message: &M, len: usize) -> Poll<bool> {
        if self.writer.is_exhausted(context) {
            return Poll::Pending;
        }
        let lengths = self.writer.lengths(message, len);
        Poll::Ready(lengths.is_ok_and(|[_, length]| self.writer.claim(length).is_ok()))
    }

    /// Waits until [`try_reserve`](Publisher::try_reserve) finds room, for hand-written futures.
    /// The last list of `message` is empty.
    ///
    /// # Errors
    /// As [`reserve`](Publisher::reserve), without the message.
    #[doc(hidden)]
    pub fn poll_room(
        &mut self,
        context: &Context<'_>,
        message: &M,
        len: usize,
    ) -> Poll<Result<(), Refusal>> {
        if self.writer.is_exhausted(context) {
            return Poll::Pending;
        }
        match self.writer.lengths(message, len) {
            Ok([_, length]) => self.writer.poll_claim(context, length),
            Err(refusal) => Poll::Ready(Err(refusal)),
        }
    }
}

impl<M: Tail> Reservation<'_, M> {
    /// Returns the items of the list, to be written.
    #[must_use]
    pub fn items_mut(&mut self) -> &mut [M::Item] {
        let bytes = self.len * size_of::<M::Item>();
        let items = <[M::Item]>::mut_from_bytes(&mut self.list()[..bytes]);
        items.expect("the list begins at a multiple of 8 and has whole items")
    }

    /// Returns the number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether the list is in the memory of the ring, and is not copied when it is sent; a
    /// message that [`truncate`](Reservation::truncate) has made as short as a slot is.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.place.is_some()
    }

    /// Shortens the list to its first `len` items. Does nothing if it has fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Sends the message. Does not wait.
    ///
    /// # Errors
    /// If a [fast handler](crate::local::Topic::add_fast_handler) of the topic refuses it.
    pub fn send(mut self) -> Result<(), EmitError<()>> {
        let (bytes, start) = (self.len * size_of::<M::Item>(), start_of_list(self.rest));
        let length = if bytes == 0 { self.rest } else { start + bytes };
        let in_place = self.place.filter(|_| length.div_ceil(WORD) >= CONTENT);
        if self.place.is_some() && in_place.is_none() {
            // The list was shortened so much that the message fits into its slot.
            let mut list = [0; CONTENT * WORD];
            list[..bytes].copy_from_slice(&self.list()[..bytes]);
            self.place = None;
            self.publisher.writer.grow_encoded(length);
            self.list()[..bytes].copy_from_slice(&list[..bytes]);
        }
        let writer = &mut self.publisher.writer;
        if bytes > 0 {
            // Both fit: a message has 64 MiB at most.
            let part = [(start as u32).to_le_bytes(), (self.len as u32).to_le_bytes()];
            writer.encoded.as_mut_bytes()[M::PLACE..][..8].copy_from_slice(part.as_flattened());
        }
        let sent = match in_place {
            Some(place) => writer.commit(place, start / WORD, length),
            None => writer.with_encoded(length, Writer::try_push),
        };
        sent.map_err(|refusal| EmitError::new(self.publisher.topic().clone(), (), refusal))
    }

    /// Returns the bytes from the start of the list on.
    fn list(&mut self) -> &mut [u8] {
        let writer = &mut self.publisher.writer;
        let bytes = match (self.place, &mut writer.producer) {
            // SAFETY: this place was reserved last, because the publisher is borrowed since then,
            // and nothing else appends messages to its ring. `reserve_alone` has checked the
            // readers.
            (Some(place), Some(producer)) => unsafe { place.words(producer) }.as_mut_bytes(),
            _ => writer.encoded.as_mut_bytes(),
        };
        &mut bytes[start_of_list(self.rest)..]
    }
}

impl<M: Tail<Item = u8>> Reservation<'_, M> {
    /// Returns the bytes of the list, to be written.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.items_mut()
    }
}

impl<M: Tail> fmt::Debug for Reservation<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, len) = (self.publisher.topic(), self.len);
        f.debug_struct("Reservation").field("topic", topic).field("len", &len).finish()
    }
}

/// Returns where a list begins in a message whose other bytes are the first `rest` ones.
fn start_of_list(rest: usize) -> usize {
    rest.next_multiple_of(ALIGNMENT)
}

impl Writer {
    /// Returns the length of a message whose last list is empty, without and with `len` items in
    /// that list. Refuses one that is too long.
    fn lengths<M: Tail>(&self, message: &M, len: usize) -> Result<[usize; 2], Refusal> {
        let rest = self.length_of(message)?;
        let bytes = len.saturating_mul(size_of::<M::Item>());
        let length = if bytes == 0 { rest } else { start_of_list(rest).saturating_add(bytes) };
        if length > M::MAX {
            let message = M::DESCRIPTOR.name;
            return Err(EncodeError::TooLong { message, most: M::MAX, found: length }.into());
        }
        self.check_length(length)?;
        Ok([rest, length])
    }

    /// Waits until there is room for a message of `length` bytes.
    fn poll_claim(&mut self, context: &Context<'_>, length: usize) -> Poll<Result<(), Refusal>> {
        self.poll_until(context, |writer| writer.claim(length))
    }

    /// Refuses the message whose first `rest` bytes are in the encode buffer if it has a key more
    /// than the publisher may retain.
    // A result that is moved here would wait until all earlier stores have left the core.
    #[inline]
    fn check_key(&self, rest: usize) -> Result<(), Refusal> {
        match self.handled.as_ref().and_then(|handled| handled.retainer.as_ref()) {
            None => Ok(()),
            Some(retainer) => self.check_retained(retainer, rest),
        }
    }

    #[cold]
    #[inline(never)]
    fn check_retained(&self, retainer: &Retainer, rest: usize) -> Result<(), Refusal> {
        let checked = retainer.check(&self.encoded.as_bytes()[..rest]);
        checked.inspect_err(|_| self.line.add(PublisherValue::HandlerRefused, 1))
    }

    /// Reserves a place in the arena for a message of `length` bytes, for which there is room. If
    /// readers may read there, or the message is short, makes the encode buffer large enough.
    fn reserve(&mut self, length: usize) -> Option<Place> {
        if ALIGNS && length.div_ceil(WORD) >= CONTENT {
            let place = self.reserve_alone(length);
            if place.is_some() {
                return place;
            }
        }
        self.grow_encoded(length);
        None
    }

    /// Reserves a place, unless readers may read there.
    fn reserve_alone(&mut self, length: usize) -> Option<Place> {
        let Writer { state, producer, arena, alone_until, alone_version, .. } = self;
        let (producer, arena) = (producer.as_mut()?, arena.as_mut()?);
        let version = state.readers.version();
        // Never wraps, because a word has 64 bits here.
        if version == *alone_version && arena.end_of_next(length) <= *alone_until {
            return arena.reserve(producer, length).ok();
        }
        // Both checks wait until all stores of earlier messages have left the core, so they are for
        // several messages.
        if !state.waits_for_all() {
            return None;
        }
        let (place, until) = arena.reserve_ahead(producer, length).ok()?;
        // A reader that has joined since the last check may have found the messages that were
        // there. One that joins later finds that they are given up.
        if !state.waits_for_all() {
            return None;
        }
        (*alone_until, *alone_version) = (until, version);
        Some(place)
    }

    /// Makes the encode buffer large enough for a message of `length` bytes.
    pub(super) fn grow_encoded(&mut self, length: usize) {
        let count = length.div_ceil(ALIGNMENT);
        if self.encoded.len() < count {
            self.encoded.resize(count, 0);
        }
    }

    /// Sends the message of `length` bytes at this place, where everything is written but its first
    /// `rest` words, which are in the encode buffer.
    fn commit(&mut self, place: Place, rest: usize, length: usize) -> Result<(), Refusal> {
        let area = if self.area.is_present() { self.next_area(&mut None) } else { None };
        let area = area.as_ref().map_or(&[][..], Area::words);
        let Writer { producer: Some(producer), arena: Some(arena), encoded, .. } = self else {
            return Ok(());
        };
        arena.write(producer, place, 0, &words_of(encoded)[..rest]);
        if let Err(full) = arena.commit(producer, place, length, area) {
            return Err(self.refuse(full.reader.entry));
        }
        self.count_in_arena();
        Ok(())
    }
}
