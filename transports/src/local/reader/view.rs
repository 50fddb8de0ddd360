//! Receiving without a copy: what reads a message in place.

#![allow(unsafe_code)]

use std::future::poll_fn;
use std::task::{Context, Poll};

use mycelium_core::message::{Form, Message, decode, decode_checked, keep, view_checked};
use mycelium_core::ring::broadcast::RetainingConsumer;
use zerocopy::IntoBytes;

use super::subscription::Subscription;
use super::{Found, Header, Reader};
use crate::local::ring::shared::Ring;
use crate::local::state::{ALIGNS, Edge};
use crate::local::values::{Attempt, Delivery, Gap, Received};

/// What [`Subscription::poll_next`] has found and not taken.
#[doc(hidden)]
#[derive(Debug)]
pub struct Next(NextKind);

#[derive(Debug)]
enum NextKind {
    /// A message of `find_fast`.
    Fast(Header),
    Message(Header),
    Gap(Gap),
    Closed,
}

impl<M: Message> Subscription<M> {
    /// Returns the next message, in the common case, if messages are not fixed. If it returns
    /// `None`, call the reader, which may still have a message.
    #[inline(never)]
    pub(super) fn next_in_arena(&mut self) -> Option<Received<M>> {
        let header = self.reader.find_fast(size::<M>())?;
        let Reader { edges, body, .. } = &mut self.reader;
        let message = decode_ahead::<M>(&edges[header.edge], 0, body)?;
        self.reader.take_fast();
        Some(Received { message, sequence: header.sequence, attempt: Attempt::First })
    }

    /// Receives as [`recv`](Subscription::recv) does, but decodes nothing: the message is read in
    /// place. For a fixed message this is `&M`, otherwise its view, with a method for each field.
    /// A message that serde decodes is there as `M`.
    ///
    /// The message is checked before this returns, so reading it never fails. It stays in the ring
    /// if this subscription gates its publisher and is in the same process; otherwise it is in a
    /// copy that the subscription uses again.
    ///
    /// Cancelling is safe: a message is taken only when this returns it.
    pub async fn recv_view(&mut self) -> Option<Delivery<<M::Form as Form>::Lent<'_, M>>> {
        let next = poll_fn(|context| self.poll_next(context)).await;
        self.view(next)
    }

    /// Waits for what [`view`](Subscription::view) then takes, for hand-written futures.
    #[doc(hidden)]
    pub fn poll_next(&mut self, context: &Context<'_>) -> Poll<Next> {
        if self.reader.is_exhausted(context) {
            return Poll::Pending;
        }
        self.reader.settle();
        if let Some(header) = self.reader.find_fast(size::<M>()) {
            return Poll::Ready(Next(NextKind::Fast(header)));
        }
        Poll::Ready(Next(match self.reader.find_or_park(context) {
            Found::Message(header) => NextKind::Message(header),
            Found::Gap(gap) => NextKind::Gap(gap),
            Found::Closed => NextKind::Closed,
            Found::Empty => return Poll::Pending,
        }))
    }

    /// Takes what [`poll_next`](Subscription::poll_next) has just found. Returns `None` at the end.
    #[doc(hidden)]
    pub fn view(&mut self, next: Next) -> Option<Delivery<<M::Form as Form>::Lent<'_, M>>> {
        let (header, is_fast) = match next.0 {
            NextKind::Fast(header) => (header, true),
            NextKind::Message(header) => (header, false),
            NextKind::Gap(gap) => return Some(Delivery::Gap(gap)),
            NextKind::Closed => return None,
        };
        let mut kept = None;
        if M::DECODES || !self.reader.edges[header.edge].is_own {
            kept = self.reader.bytes(header.edge).and_then(|bytes| keep::<M>(bytes).ok());
            if kept.is_none() {
                return Some(Delivery::Gap(self.reader.reject(header)));
            }
        }
        match is_fast {
            true => self.reader.take_fast(),
            false => self.reader.take(header),
        }
        let Header { sequence, attempt, .. } = header;
        let message = M::Form::lend(kept, || {
            let bytes = match size::<M>().filter(|_| is_fast && ALIGNS) {
                Some(size) => self.reader.edges[header.edge].consumer.front_exact(size)?,
                None => self.reader.bytes(header.edge)?,
            };
            // SAFETY: a publisher of this process has encoded these bytes from a message with the
            // digest of the topic. Or they are those that `keep` has accepted: taking changes
            // neither a copy, nor where in the ring a gating reader is, whose message stays there
            // until `settle`.
            Some(unsafe { view_checked::<M>(bytes) })
        })?;
        Some(Delivery::Msg(Received { message, sequence, attempt }))
    }
}

impl Reader {
    /// Returns the next message at the edge whose turn it is, if it can be read in the ring.
    /// [`take_fast`](Self::take_fast) then takes it. If this returns `None`, call
    /// [`find`](Self::find), which may still find a message. `size`: that of all messages in their
    /// slots, if the compiler knows it.
    #[inline]
    pub(crate) fn find_fast(&mut self, size: Option<usize>) -> Option<Header> {
        let is_fast =
            self.is_fast() && !self.has_metadata() && self.membership.state.policy.keeps();
        let size = size.unwrap_or_else(|| self.membership.topic.schema().size);
        let edge = self.edges.get_mut(self.turn).filter(|edge| is_fast && edge.lends())?;
        let place = edge.consumer.peek_exact(&mut [], size)?;
        if edge.may_miss() {
            return None;
        }
        let sequence = edge.sequence(place);
        Some(Header { edge: self.turn, sequence, attempt: Attempt::First })
    }

    /// Returns the bytes of the message that was found at an edge: in the ring if possible,
    /// otherwise in a copy. They begin at a multiple of 8, if allocations of that size do.
    #[inline]
    pub(crate) fn bytes(&mut self, edge: usize) -> Option<&[u8]> {
        if !self.body.is_empty() {
            return self.read_body(edge);
        }
        let size = self.membership.topic.schema().size;
        if !self.membership.state.policy.keeps() || !self.edges[edge].lends() {
            return self.words.as_bytes().get(..size);
        }
        let message = self.edges[edge].consumer.front()?.as_bytes().get(..size)?;
        if ALIGNS {
            return Some(message);
        }
        let words = size.div_ceil(size_of::<usize>());
        if self.words.len() < words {
            self.words = vec![0; words].into();
        }
        let copy = self.words.as_mut_bytes().get_mut(..size)?;
        copy.copy_from_slice(message);
        Some(copy)
    }

    /// Returns the bytes of a message that was found and is not fixed.
    #[inline(never)]
    fn read_body(&mut self, edge: usize) -> Option<&[u8]> {
        let Reader { membership, edges, words, body, .. } = self;
        let edge = &edges[edge];
        if membership.state.policy.keeps() && edge.lends() {
            return body_ahead(edge, 0, body);
        }
        body.as_bytes().get(..*words.first()?)
    }
}

/// Returns the size of all messages of a type, if it is fixed.
#[inline]
fn size<M: Message>() -> Option<usize> {
    M::IS_FIXED.then_some(size_of::<M>())
}

/// Returns the bytes of the message `ahead` positions after the next one, in the ring or in `copy`.
/// Only for a gating reader of messages that are not fixed. Returns `None` if there is none, or
/// another process has overwritten it.
pub(super) fn body_ahead<'a>(
    edge: &'a Edge,
    ahead: usize,
    copy: &'a mut [usize],
) -> Option<&'a [u8]> {
    let consumer = &edge.consumer;
    if ALIGNS && edge.lends() {
        // SAFETY: messages of this ring are pushed by the `ArenaWriter` of its `Writer` or `Pump`,
        // and nothing else pushes to the rings of a topic.
        return unsafe { consumer.borrow_body(ahead) };
    }
    let length = consumer.peek_body_ahead(ahead, copy)?;
    copy.as_bytes().get(..length)
}

/// Returns the content of the slot and the bytes of a message that is kept and not fixed, in the
/// ring; `None` if it cannot be borrowed.
pub(crate) fn kept_body(
    reader: &RetainingConsumer<Ring>,
    sequence: usize,
) -> Option<(&[usize], &[u8])> {
    // SAFETY: as in `body_ahead`.
    unsafe { reader.borrow_body(sequence) }
}

/// Decodes the message that [`body_ahead`] returns; `None` also if it is invalid.
pub(super) fn decode_ahead<M: Message>(edge: &Edge, ahead: usize, copy: &mut [usize]) -> Option<M> {
    let bytes = body_ahead(edge, ahead, copy)?;
    if M::DECODES || !edge.is_own {
        return decode::<M>(bytes).ok();
    }
    // SAFETY: a publisher of this process has encoded these bytes from a message with the digest of
    // the topic, and they begin at a multiple of 8 in the ring of an edge that is own.
    Some(unsafe { decode_checked::<M>(bytes) })
}
