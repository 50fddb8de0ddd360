//! Streams through shared memory. The link knows where a stream moves to shared memory and where it
//! ends. The caller handles the messages after the move, their confirmations and the regions.
//!
//! On both sides `next` of a moved stream stays where it moved. So confirmations never pass it, the
//! stream resumes there on the next connection, and the link considers the stream confirmed once
//! all messages before it are. A reader that has left the shared memory resumes after the messages
//! that it read there.

use core::time::Duration;

use super::{IncomingState, LeftMemory, OutgoingState};
use crate::link::Link;
use crate::link::control::{MEMORY, Memory, Region};
use crate::link::error::{FragmentError, LinkError, SendError};
use crate::link::event::Event;
use crate::link::tables::{Id, IncomingId, OutgoingId};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Returns whether the link is up and both sides support streams through shared memory
    /// ([`Config::memory`](crate::link::Config::memory)). The peer's features frame, its first
    /// after the hello, says so.
    #[must_use]
    pub fn peer_accepts_memory(&self) -> bool {
        self.config.memory && self.peer_has(MEMORY)
    }

    /// Offers shared memory to the peer, at most once per connection. The peer sends the token on
    /// the control connection that passes the regions.
    ///
    /// # Errors
    /// [`SendError::NoMemory`] if one side does not support it, [`SendError::SecondMemory`] if it
    /// was offered on this connection, [`SendError::Room`] until bytes are transmitted,
    /// [`SendError::Down`] if the link is not up.
    pub fn offer_memory(&mut self, now: Duration, token: [u8; 16]) -> Result<(), SendError> {
        self.check_memory()?;
        if self.memory_offered {
            return Err(SendError::SecondMemory);
        }
        self.send_control(now, 0, 0, &Memory::new([0; 6], token))?;
        self.memory_offered = true;
        Ok(())
    }

    /// Moves a stream to the region of shared memory with this number. Returns the sequence of its
    /// first message there: all earlier messages were sent, and are confirmed, over the link. After
    /// this call only [`end_moved_stream`](Link::end_moved_stream) is valid for the stream on this
    /// connection.
    ///
    /// If the stream resumes on the next connection as one that has moved ([`Event::Resume`]), open
    /// it at this sequence, and move it again before anything else: the peer may have read messages
    /// in shared memory. Otherwise the peer does not know of the move or [has left the
    /// memory](Link::leave_memory), and the stream continues with messages.
    ///
    /// # Errors
    /// The call has no effect then. [`SendError::NoMemory`] if one side does not support it,
    /// [`SendError::Open`] until a message that was sent [in part](Link::send_fragment) is
    /// complete, [`SendError::Run`] until a run of it is transmitted, [`SendError::Moved`] if it
    /// has moved, [`SendError::Exhausted`] if it has no message left, [`SendError::Room`],
    /// [`SendError::Gone`] and [`SendError::Down`] as [`send`](Link::send).
    pub fn move_stream(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        number: u32,
    ) -> Result<u64, SendError> {
        self.check_memory()?;
        let entry = self.outgoing.get(stream)?;
        entry.check_live()?;
        if entry.open.is_some() {
            return Err(SendError::Open);
        }
        if self.out.first_untransmitted(stream).is_some() {
            return Err(SendError::Run);
        }
        let first = entry.next;
        if first == u64::MAX {
            return Err(SendError::Exhausted);
        }
        self.send_control(now, stream.number(), first, &Region::new(0, number))?;
        self.outgoing.get(stream)?.state = OutgoingState::Moved;
        Ok(first)
    }

    /// Ends a stream that [moved](Link::move_stream); `next` is the sequence after its last message
    /// in shared memory. As after [`end_stream`](Link::end_stream), [`Event::Window`] reports when
    /// the messages before the move are confirmed. The link does not know which messages in shared
    /// memory are confirmed.
    ///
    /// # Errors
    /// The call has no effect then. [`SendError::NotMoved`] if the stream has not moved,
    /// [`SendError::End`] if `next` is before the move, [`SendError::Room`], [`SendError::Gone`]
    /// and [`SendError::Down`] as [`send`](Link::send).
    pub fn end_moved_stream(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        next: u64,
    ) -> Result<(), SendError> {
        let entry = self.outgoing.get(stream)?;
        match entry.state {
            OutgoingState::Moved => {}
            OutgoingState::Live => return Err(SendError::NotMoved),
            OutgoingState::Ended => return Err(SendError::Gone),
        }
        if next < entry.next {
            return Err(SendError::End { first: entry.next, found: next });
        }
        self.send_end(now, stream, next)
    }

    /// Stops reading a stream in shared memory: from the next connection on, the stream continues
    /// over the link with the message `next`. If the stream has `ended`, `next` is its end, and all
    /// messages before it count as confirmed.
    ///
    /// # Errors
    /// [`SendError::Gone`] if the stream does not exist.
    pub fn leave_memory(
        &mut self,
        stream: IncomingId,
        next: u64,
        ended: bool,
    ) -> Result<(), SendError> {
        self.incoming.get(stream)?.left = Some(LeftMemory { next, ended });
        Ok(())
    }

    fn check_memory(&self) -> Result<(), SendError> {
        match (self.is_up(), self.peer_accepts_memory()) {
            (false, _) => Err(SendError::Down),
            (true, false) => Err(SendError::NoMemory),
            (true, true) => Ok(()),
        }
    }

    pub(in crate::link) fn on_memory<'a>(
        &mut self,
        token: [u8; 16],
    ) -> Result<Option<Event<'a>>, LinkError> {
        if !self.peer_accepts_memory() {
            return Err(LinkError::NoMemory);
        }
        if core::mem::replace(&mut self.memory_received, true) {
            return Err(LinkError::SecondMemory);
        }
        Ok(Some(Event::Memory { token }))
    }

    pub(in crate::link) fn on_region<'a>(
        &mut self,
        remote: u32,
        sequence: u64,
        number: u32,
    ) -> Result<Option<Event<'a>>, LinkError> {
        if !self.peer_accepts_memory() {
            return Err(LinkError::NoMemory);
        }
        let (id, stream) = self.known_stream(remote)?;
        if stream.state != IncomingState::MoveDue {
            stream.check_live(remote)?;
        }
        stream.check_sequence(remote, sequence)?;
        if stream.open.is_some() {
            return Err(LinkError::Fragment { stream: remote, error: FragmentError::Open });
        }
        // No message has the last sequence.
        if sequence == u64::MAX {
            let expected = sequence - 1;
            return Err(LinkError::Sequence { stream: remote, expected, found: sequence });
        }
        (stream.state, stream.in_memory) = (IncomingState::Moved, true);
        let event = Event::Region { stream: id, number, first: sequence };
        Ok((!stream.unsubscribed).then_some(event))
    }
}
