//! A link between two nodes, as a state machine without a socket, a clock or a heap.
//!
//! The caller connects, reads and writes; the link says what. It keeps the [handshake](Event::Up), who wants which topic,
//! how many messages each stream may send, what has arrived, batches, and signs of life; and it knows after a lost
//! connection where each stream was, so that nothing is doubled and every gap is exact.
//!
//! ```text
//! open(now) ─▶ loop { poll_transmit(now) ─▶ write ─▶ transmitted(n)
//!                     read ─▶ input(now, bytes, take) until it uses none
//!                     poll_timeout() ─▶ wait ─▶ handle_timeout(now) }
//! lost(now) ─▶ open(now) …
//! ```
//!
//! # Who promises what
//!
//! Streams are ordered, and sequences have no holes: whatever is not sent is said by a gap. A message counts as sent once
//! [`Link::send`] took it, and as delivered once the peer confirmed it ([`Event::Window`]): only then may its sender
//! forget it. A reader confirms what has arrived, or what its caller says to be done with ([`Confirms`]). After a lost
//! connection the reader says what has arrived, and the sender goes on there ([`Event::Resume`]).
//!
//! Dropping a future between any two calls loses nothing: the link owns the bytes until they are out.
//!
//! The peer's bytes are hostile. No count of theirs makes the link allocate, loop or wait; what breaks the protocol ends
//! this link with a [`LinkError`], and no other. `docs/wire-format.md` has the bytes.
//!
//! # Credit
//!
//! A stream may have as many messages on their way as its reader has room for, and says so itself: one whose reader is
//! slow holds up no other on the same link. Credit counts messages and not bytes, since a reader's room is slots.
//!
//! # Runs
//!
//! Neighbouring messages of one stream can go behind one header, with their bytes as they lie in the caller's memory
//! ([`Link::send_run`]), to a peer that takes runs. The caller writes these bytes itself; the link says when.
//!
//! # Long messages
//!
//! A message longer than [`Config::fragment`] goes in parts ([`Link::send_fragment`]), which come as [`Event::Fragment`]s. The
//! link keeps none: the sender's message stays where it is until it has arrived, and the reader puts the parts together
//! where it has room.

mod asks;
mod config;
mod control;
mod describe;
mod entries;
mod error;
mod event;
mod fragment;
mod input;
mod outbox;
mod output;
mod reason;
mod run;
mod tables;
mod tells;
#[cfg(test)]
mod tests;
mod writer;

use core::time::Duration;

pub use config::{Batching, Config, ConfigError, Confirms};
pub use control::Name;
pub use error::{FragmentError, LinkError, RunError, SendError};
pub use event::{Event, Input, ReaderMode};
pub use reason::{CloseReason, RejectReason};
pub use run::{RunBytes, RunShape, Transmit};
pub use tables::{ExportId, IncomingId, InterestId, OutgoingId};

use control::{Close, DEMAND, Demand, Hello, Resume, Subscribe};
use entries::{ExportEntry, Incoming, InterestEntry, InterestState, Outgoing, PendingResume};
use outbox::Outbox;
use tables::Table;

use crate::descriptor::Digest;
use crate::frame::{HEADER_LEN, VERSION};
use crate::message::Message;

/// A topic that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// The topic.
    pub topic: Name,
    /// The type of its messages.
    pub type_id: u16,
    /// Their layout.
    pub digest: Digest,
    /// What its publishers are to do when this side is slower.
    pub mode: ReaderMode,
    /// How many messages of each of its streams this side has room for, at least one.
    pub window: u32,
}

impl Interest {
    /// Interest in the messages `M` on their own topic.
    ///
    /// # Errors
    /// If the topic's name is longer than a link can say.
    pub fn of<M: Message>(mode: ReaderMode, window: u32) -> Result<Interest, crate::TooLong> {
        let topic = Name::try_from(M::TOPIC)?;
        Ok(Interest { topic, type_id: M::ID, digest: M::DIGEST, mode, window })
    }
}

/// One side of a link, with room for `TOPICS` topics in each direction and `STREAMS` streams. See
/// the [module](self).
#[derive(Debug)]
pub struct Link<'b, const TOPICS: usize, const STREAMS: usize> {
    config: Config,
    phase: Phase,
    out: Outbox<'b>,
    peer: Peer,
    interests: Table<InterestEntry, TOPICS>,
    exports: Table<ExportEntry, TOPICS>,
    incoming: Table<Incoming, STREAMS>,
    outgoing: Table<Outgoing, STREAMS>,
    resumed: Table<PendingResume, STREAMS>,
    /// Something that is due had no room: messages wait until it has.
    stalled: bool,
    /// Something may be due of a topic, or of an incoming stream, since these were looked at last;
    topics_changed: bool,
    streams_changed: bool,
    /// and of a stream it will be then, since a message that came has not been confirmed.
    confirm_at: Option<Duration>,
    /// How much of a frame was there when it was last looked at.
    partial: usize,
    /// How many incoming streams have ended.
    ends: u64,
    /// The bytes that come next belong to this run.
    incoming_run: Option<run::IncomingRun>,
    /// The last that a want, an incoming or an outgoing stream was given.
    last_number: u32,
    /// The last of them that was given before this connection.
    last_number_before: u32,
    /// When the peer was last heard, and when it was last sent something.
    last_received: Duration,
    last_sent: Duration,
    /// What a ping is answered with.
    pong: Option<u64>,
    /// The peer has not been told what this side understands.
    features_due: bool,
}

/// Whether a topic that was left is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsubscribeProgress {
    /// It is.
    Done,
    /// The peer has to be told. [`Event::Unsubscribed`] says that it knows.
    Pending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection.
    Down,
    /// The peer has until then to say who it is.
    Greeting(Duration),
    Up,
    Over(LinkError),
}

/// What the peer said of itself.
#[derive(Clone, Copy, Debug)]
struct Peer {
    max_frame: u32,
    topics: usize,
    streams: usize,
    /// How many streams it knows from before and has not named yet.
    known: usize,
    max_message: u32,
    max_open: usize,
    /// What it understands beside version 1, once it has said so.
    features: u32,
}

/// The longest frame of the link: what a buffer must have room for, beside messages.
const MAX_CONTROL: usize = HEADER_LEN + size_of::<Subscribe>();
/// What everything else leaves of a buffer, so that the end can always be said.
const CLOSE_RESERVE: usize = HEADER_LEN + size_of::<Close>();
/// What messages leave of a buffer for the link's own frames.
const CONTROL_RESERVE: usize = CLOSE_RESERVE + 2 * MAX_CONTROL;
/// The shortest part of a message, with all that can travel with it.
const MIN_FRAGMENT: usize = HEADER_LEN + 96 + 16 + 8;

impl<'b, const TOPICS: usize, const STREAMS: usize> Link<'b, TOPICS, STREAMS> {
    /// The fewest bytes that a link can be lent.
    pub const MIN_BUFFER: usize = {
        let topic = MAX_CONTROL + STREAMS * (HEADER_LEN + size_of::<Resume>());
        // Of the room for messages a part takes at most a half.
        CONTROL_RESERVE + if topic > 2 * MIN_FRAGMENT { topic } else { 2 * MIN_FRAGMENT }
    };

    /// A link without a connection, which sends from this buffer. A batch is never longer than the buffer, nor is a
    /// message that does not go in parts, with its frame.
    ///
    /// # Errors
    /// If the buffer is shorter than [`LEAST`](Link::MIN_BUFFER), or a setting makes a link useless.
    pub fn new(config: Config, buffer: &'b mut [u8]) -> Result<Self, ConfigError> {
        config.check()?;
        if buffer.len() < Self::MIN_BUFFER {
            return Err(ConfigError::Buffer { least: Self::MIN_BUFFER, found: buffer.len() });
        }
        Ok(Link {
            out: Outbox::new(buffer, config.batching),
            phase: Phase::Down,
            peer: Peer {
                max_frame: 0,
                topics: TOPICS,
                streams: 0,
                known: 0,
                max_message: 0,
                max_open: 0,
                features: 0,
            },
            config,
            interests: Table::new(),
            exports: Table::new(),
            incoming: Table::new(),
            outgoing: Table::new(),
            resumed: Table::new(),
            stalled: false,
            topics_changed: false,
            streams_changed: false,
            confirm_at: None,
            partial: 0,
            ends: 0,
            incoming_run: None,
            last_number: 0,
            last_number_before: 0,
            last_received: Duration::ZERO,
            last_sent: Duration::ZERO,
            pong: None,
            features_due: false,
        })
    }

    /// There is a connection: says who this side is.
    pub fn open(&mut self, now: Duration) {
        self.lost();
        self.phase = Phase::Greeting(now.saturating_add(self.config.handshake));
        (self.last_received, self.last_sent) = (now, now);
        self.last_number_before = self.last_number;
        let config = &self.config;
        let keep_alive = u32::try_from(config.keep_alive.as_millis()).unwrap_or(u32::MAX);
        let hello = Hello::new(
            VERSION,
            VERSION,
            config.limits.max_frame,
            config.boot,
            keep_alive,
            TOPICS as u16,
            STREAMS as u16,
            config.max_message,
            config.max_open,
            self.incoming.iter().count() as u16, // at most `STREAMS`
            config.node,
        );
        self.queue_control(now, 0, 0, &hello);
    }

    /// The connection is gone. What was wanted is asked for again on the next, and streams go on where they were. All
    /// [`ExportId`]s and [`OutgoingId`]s are gone, and what was left is left.
    pub fn lost(&mut self) {
        self.phase = Phase::Down;
        self.out.clear();
        self.pong = None;
        self.features_due = false;
        self.exports.retain(|_| false);
        self.outgoing.retain(|_| false);
        self.resumed.retain(|_| false);
        (self.stalled, self.partial, self.confirm_at) = (false, 0, None);
        self.incoming_run = None;
        for (_, stream) in self.incoming.iter_mut() {
            (stream.remote, stream.open, stream.resuming) = (None, None, false);
            if stream.ended {
                stream.finish(&mut self.ends);
            }
        }
        for place in 0..TOPICS {
            self.forget_left(place);
        }
    }

    /// Ends the link and tells the peer why, behind what was taken for sending and what has arrived. Nothing is taken any
    /// more. Without a connection there is nothing to end.
    pub fn close(&mut self, now: Duration, reason: CloseReason) {
        self.finish(now, LinkError::LocallyClosed(reason), reason);
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }

    /// Why the link has ended, if it has. The connection can be closed once nothing is left to transmit.
    #[must_use]
    pub fn ended(&self) -> Option<LinkError> {
        match self.phase {
            Phase::Over(error) => Some(error),
            _ => None,
        }
    }

    /// Asks for a topic, now and on every later connection, until [`leave`](Link::leave).
    ///
    /// # Errors
    /// [`SendError::Topics`] if there are as many wants as this side has room for, [`SendError::Type`] if the type is 0,
    /// [`SendError::Numbers`] if this link has had so many that it is time for another.
    pub fn subscribe(&mut self, interest: Interest) -> Result<InterestId, SendError> {
        let Interest { topic, type_id, digest, mode, window } = interest;
        if type_id == 0 {
            return Err(SendError::Type);
        }
        let (number, state, window) =
            (self.next_number().ok_or(SendError::Numbers)?, InterestState::Due, window.max(1));
        let interest =
            InterestEntry { number, topic, type_id, digest, mode, window, state, discarded: 0 };
        let id = self.interests.put(interest).ok_or(SendError::Topics { limit: TOPICS })?;
        self.last_number = number;
        self.topics_changed = true;
        Ok(id)
    }

    /// Wants a topic no more. Until nothing of it is on its way any more its messages are discarded and counted.
    ///
    /// # Errors
    /// [`SendError::Gone`] if it is not wanted.
    pub fn unsubscribe(&mut self, interest: InterestId) -> Result<UnsubscribeProgress, SendError> {
        let down = self.phase == Phase::Down;
        self.topics_changed = true;
        let entry = self.interests.get(interest)?;
        let is_known = self.incoming.iter().any(|(_, stream)| stream.interest == interest);
        let state = match entry.state {
            _ if down => None,
            InterestState::Due => is_known.then_some(InterestState::SubscribeThenUnsubscribeDue),
            InterestState::Asked | InterestState::Rejected => Some(InterestState::LeaveDue),
            left => Some(left),
        };
        let Some(state) = state else {
            self.forget(interest);
            return Ok(UnsubscribeProgress::Done);
        };
        entry.state = state;
        let streams = self.incoming.iter_mut().filter(|(_, stream)| stream.interest == interest);
        streams.for_each(|(_, stream)| stream.leaving = true);
        Ok(UnsubscribeProgress::Pending)
    }

    /// Says that there is room for `count` more messages of a stream.
    ///
    /// # Errors
    /// [`SendError::Gone`] if there is no such stream.
    #[inline]
    pub fn grant(&mut self, stream: IncomingId, count: u32) -> Result<(), SendError> {
        let stream = self.incoming.get(stream)?;
        if stream.ended || stream.over {
            return Err(SendError::Gone);
        }
        // There cannot be more room than there was at first.
        let most = stream.used + u64::from(stream.window);
        stream.granted = stream.granted.saturating_add(u64::from(count)).min(most);
        self.streams_changed = true;
        Ok(())
    }

    /// Says that this side is done with the messages of a stream before a sequence, so that their sender may forget
    /// them: where the caller says so ([`Confirms::ByCaller`]). It holds on later connections, too, and after the end of
    /// the stream. A sequence behind what has arrived counts as that, one before what was confirmed changes nothing.
    ///
    /// # Errors
    /// [`SendError::Gone`] if there is no such stream.
    pub fn confirm(
        &mut self,
        now: Duration,
        stream: IncomingId,
        before: u64,
    ) -> Result<(), SendError> {
        let stream = self.incoming.get(stream)?;
        if stream.confirm(now, before) {
            self.schedule_confirm(now);
        }
        Ok(())
    }

    /// Tells the peer that the readers of a stream have asked for messages. Call it once on a
    /// connection. A peer that did not name this feature is told nothing.
    ///
    /// # Errors
    /// [`SendError::Room`] until bytes have been transmitted, [`SendError::Gone`] if the stream is
    /// not known on this connection, [`SendError::Down`] if the link is not up.
    pub fn signal_demand(&mut self, now: Duration, stream: IncomingId) -> Result<(), SendError> {
        let remote = self.incoming.get(stream)?.remote.ok_or(SendError::Gone)?;
        if self.is_up() && !self.peer_signals_demand() {
            return Ok(());
        }
        self.send_control(now, remote, 0, &Demand::new([0; 6]))
    }

    /// Whether the link is up and the peer says when its readers ask for messages.
    #[must_use]
    pub fn peer_signals_demand(&self) -> bool {
        self.peer_names(DEMAND)
    }

    /// Whether the link is up and the peer named a feature on this connection.
    #[inline]
    fn peer_names(&self, feature: u32) -> bool {
        self.is_up() && self.peer.features & feature != 0
    }

    /// Whether the peer is yet to be told that messages of a stream are confirmed.
    #[must_use]
    pub fn has_unsent_confirmation(&mut self, stream: IncomingId) -> bool {
        self.incoming.get(stream).is_ok_and(|stream| stream.unconfirmed.is_some())
    }

    /// Nothing that the peer says of this want is told to the caller any more.
    fn forget(&mut self, interest: InterestId) {
        self.interests.remove(interest);
        self.incoming.retain(|stream| stream.interest != interest);
    }

    /// The connection ends, and with it what was on its way for a want that was left; the others are asked for again.
    fn forget_left(&mut self, place: usize) {
        let Some((id, interest)) = self.interests.at(place) else { return };
        match interest.state {
            InterestState::Leaving
            | InterestState::LeaveDue
            | InterestState::SubscribeThenUnsubscribeDue => self.forget(id),
            InterestState::Due | InterestState::Asked | InterestState::Rejected => {
                interest.state = InterestState::Due
            }
        }
    }

    /// For the next want or stream, which then has used it; none is used twice.
    fn next_number(&self) -> Option<u32> {
        self.last_number.checked_add(1)
    }
}
