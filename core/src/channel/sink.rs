//! Senders as sinks (feature `futures`).

use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_sink::Sink;

use super::{SendError, Sender, Sides};
use crate::ring::{Producer, PushError};

impl<P: Producer, L: Deref<Target: Sides>> Sender<P, L> {
    /// Turns this sender into a [`Sink`].
    ///
    /// The sink holds one item beside those in the channel. A flush sends that item and notifies
    /// the receivers. An item that was started but not flushed when the sink is dropped may be
    /// lost.
    ///
    /// A sink that is no longer polled keeps a wake that it has received until it is dropped,
    /// because it has no future to drop. Where several senders share a channel, prefer
    /// [`Sender::send`].
    pub fn into_sink(self) -> SenderSink<P, L> {
        SenderSink { sender: Some(self), held: None, unannounced: false }
    }
}

/// The sink of [`Sender::into_sink`].
pub struct SenderSink<P: Producer, L: Deref<Target: Sides>> {
    /// `None` after the sink was closed.
    sender: Option<Sender<P, L>>,
    /// An item that was started while there was no room.
    held: Option<P::Item>,
    /// Whether items were pushed without a notification of the receivers.
    unannounced: bool,
}

/// The item and the sender are moved, never pinned.
impl<P: Producer, L: Deref<Target: Sides>> Unpin for SenderSink<P, L> {}

impl<P: Producer, L: Deref<Target: Sides>> SenderSink<P, L> {
    fn notify(&mut self) {
        if core::mem::take(&mut self.unannounced)
            && let Some(sender) = &self.sender
        {
            sender.notify();
        }
    }
}

impl<P: Producer, L: Deref<Target: Sides>> Sink<P::Item> for SenderSink<P, L> {
    type Error = SendError<P::Item>;

    fn poll_ready(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        if self.held.is_none() { Poll::Ready(Ok(())) } else { self.poll_flush(context) }
    }

    fn start_send(mut self: Pin<&mut Self>, item: P::Item) -> Result<(), Self::Error> {
        let this = &mut *self;
        let (Some(sender), None) = (&mut this.sender, &this.held) else {
            return Err(SendError(item));
        };
        match sender.try_push(item) {
            Ok(()) => this.unannounced = true,
            Err(PushError::Full(item)) => this.held = Some(item),
            Err(PushError::Closed(item)) => return Err(SendError(item)),
        }
        Ok(())
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        // Wakes receivers first, because they must make the room that this poll may wait for.
        self.notify();
        let this = &mut *self;
        if let (Some(sender), true) = (&mut this.sender, this.held.is_some()) {
            ready!(sender.poll_send(context, &mut this.held))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        ready!(self.as_mut().poll_flush(context))?;
        self.sender = None;
        Poll::Ready(Ok(()))
    }
}

impl<P: Producer, L: Deref<Target: Sides>> Drop for SenderSink<P, L> {
    fn drop(&mut self) {
        // Items that are already in the channel count as sent, so receivers are woken for them.
        self.notify();
    }
}

// Written by hand, because an item need not be `Debug`.
impl<P: Producer, L: Deref<Target: Sides>> fmt::Debug for SenderSink<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderSink").field("sender", &self.sender).finish_non_exhaustive()
    }
}
