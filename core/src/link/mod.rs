//! A link between two nodes, as a state machine without a socket, a clock or a heap.
//!
//! Each side subscribes to topics of the other side. The link does the handshake, subscriptions,
//! credit, gaps, confirmations, batches and keep-alive. After a lost connection it resumes streams,
//! without duplicates and with exact gaps. The caller connects, reads and writes. Sending copies a
//! message once, into the link's buffer, where unwritten bytes may move once more to make room. A
//! [run](Link::send_run) is not copied: the caller writes it from its own memory. Receiving copies
//! nothing: messages, fragments and runs borrow from the bytes that the caller has read.
//!
//! ```text
//! open(now) ─▶ loop { poll_transmit(now) ─▶ write ─▶ transmitted(n)
//!                     read ─▶ input(now, bytes, take) until it uses no bytes
//!                     poll_timeout() ─▶ wait ─▶ handle_timeout(now) }
//! lost(now) ─▶ open(now) …
//! ```
//!
//! # Delivery
//!
//! Streams are ordered, and their sequences have no holes: a gap reports each message that is not
//! sent. A message is sent once [`Link::send`] has accepted it, and delivered once the peer has
//! confirmed it ([`Event::Window`]). Until then its sender must keep it. The receiver confirms a
//! message when it arrives, or when the caller says so ([`Confirms`]). After a lost connection the
//! receiver reports what has arrived, and the sender continues there ([`Event::Resume`]).
//!
//! The caller may stop between any two calls, for example because its future is dropped: the link
//! owns its bytes until they are written.
//!
//! The peer's bytes may be hostile. No number in them makes the link allocate, loop or wait. A
//! protocol error ends this link with a [`LinkError`], and no other link. `docs/wire-format.md`
//! describes the bytes.
//!
//! # Credit
//!
//! Each stream has credit: the number of free slots at the receiver. So a stream with a slow reader
//! does not block the other streams of the link. Credit counts messages, not bytes.
//!
//! # Runs
//!
//! If the peer supports runs, consecutive messages of one stream can share one header, with their
//! bytes in the layout of the caller's memory ([`Link::send_run`]). The caller writes these bytes
//! when [`Link::poll_vectored`] returns them.
//!
//! # Long messages
//!
//! A message longer than [`Config::fragment`] is sent in fragments ([`Link::send_fragment`]), which
//! arrive as [`Event::Fragment`]s. The link stores none of them: the sender keeps the message until
//! it has arrived, and the receiver assembles it.
//!
//! # Shared memory
//!
//! A stream between two processes of one machine can move to shared memory, if both sides support
//! it ([`Config::memory`]). The publisher offers it once per connection ([`Link::offer_memory`]).
//! The two sides then exchange a region by other means, and the publisher says at which message the
//! stream moves there ([`Link::move_stream`], [`Event::Region`]). From this message on, messages
//! are written, read and confirmed in memory, and the link has only the stream's end
//! ([`Link::end_moved_stream`]). After a lost connection the stream resumes where it moved, and
//! moves again.
//!
//! # Where to read
//!
//! Read from the bottom: `control` (frames), `tables`, `streams` (state), `outbox` (the send
//! buffer). This file has the link and its connections. `input` dispatches received frames.
//! `publishing` and `subscribing` have the calls of each side and handle the frames of the other
//! side; `streams/` does both for fragments, runs and shared memory. `output` sends what is due.
//! [`packet`] uses the same frames without a link.

mod config;
mod control;
mod error;
mod event;
mod input;
mod outbox;
mod output;
pub mod packet;
mod publishing;
mod retained;
mod streams;
mod subscribing;
mod tables;

use core::time::Duration;

use heapless::Vec;

pub use config::{
    Batching, Config, ConfigError, Confirms, Interest, ReaderMode, ReaderStart, StreamStart, Unit,
    UnsubscribeProgress,
};
pub use control::Name;
pub use error::{CloseReason, FragmentError, LinkError, RejectReason, RunError, SendError};
pub use event::{Event, Input, LentBytes, RunShape, Transmit};
pub use tables::{ExportId, IncomingId, InterestId, OutgoingId};

use control::{CONTROL_RESERVE, Hello, MAX_CONTROL, Resume};
use outbox::Outbox;
use streams::{ExportEntry, Incoming, InterestEntry, InterestState, Outgoing, PendingResume, Rest};
use tables::Table;

use crate::frame::{HEADER_LEN, MOST_EXTENSIONS, VERSION};

/// One side of a link, with room for `TOPICS` topics in each direction and `STREAMS` streams. See
/// the [module](self).
#[derive(Debug)]
pub struct Link<'b, const TOPICS: usize, const STREAMS: usize> {
    config: Config,
    phase: LinkPhase,
    out: Outbox<'b>,
    peer: PeerLimits,
    interests: Table<InterestId, InterestEntry, TOPICS>,
    exports: Table<ExportId, ExportEntry, TOPICS>,
    incoming: Table<IncomingId, Incoming, STREAMS>,
    outgoing: Table<OutgoingId, Outgoing, STREAMS>,
    /// Streams that the peer wants to resume, without an answer of this side so far.
    resumes: Vec<PendingResume, STREAMS>,
    /// Whether a due control frame had no room. Messages are refused until it has been sent.
    stalled: bool,
    /// Whether a frame about a topic may have become due.
    topics_changed: bool,
    /// Whether a window frame of an incoming stream may have become due.
    streams_changed: bool,
    /// When a window frame becomes due for confirmed messages.
    confirm_at: Option<Duration>,
    /// The number of bytes of an incomplete frame in the last call of `input`.
    partial: usize,
    /// The number of sent confirmations.
    confirmations: u64,
    /// The unit of the subscription that the next frame makes.
    next_unit: Option<(u32, Unit)>,
    /// The run or the fragment to which the next bytes of the peer belong.
    rest: Option<Rest>,
    /// The last number given to an interest or a stream.
    last_number: u32,
    /// The last number given before this connection.
    last_number_before: u32,
    last_received: Duration,
    last_sent: Duration,
    /// The token of the peer's ping, which a pong must repeat.
    pong: Option<u64>,
    /// Whether the features frame of this side is due.
    features_due: bool,
    /// Whether this side or the peer has offered shared memory on this connection.
    memory_offered: bool,
    memory_received: bool,
    /// The detail and the text of the peer's last close frame.
    close_detail: u32,
    close_words: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkPhase {
    /// There is no connection.
    Down,
    /// The peer's hello must arrive before this time.
    Handshake(Duration),
    Up,
    Over(LinkError),
}

/// What the peer's hello and features frames say.
#[derive(Clone, Copy, Debug, Default)]
struct PeerLimits {
    max_frame: u32,
    topics: usize,
    streams: usize,
    /// The number of streams of earlier connections that the peer has not named in a resume yet.
    known: usize,
    max_message: u32,
    max_open: usize,
    /// The peer's features beyond version 1; none until its features frame arrives.
    features: u32,
}

/// The size of the smallest fragment with all its extensions, in bytes.
const MIN_FRAGMENT: usize = HEADER_LEN + MOST_EXTENSIONS + 16 + 8;

impl<'b, const TOPICS: usize, const STREAMS: usize> Link<'b, TOPICS, STREAMS> {
    /// The size of the smallest send buffer.
    pub const MIN_BUFFER: usize = {
        let topic = 2 * MAX_CONTROL + STREAMS * (HEADER_LEN + size_of::<Resume>());
        // Room for two fragments, because one uses at most half of the room for messages.
        CONTROL_RESERVE + if topic > 2 * MIN_FRAGMENT { topic } else { 2 * MIN_FRAGMENT }
    };

    /// Creates a link without a connection, with this send buffer. The buffer limits the size of a
    /// batch and of a message's frame; a longer message is sent in fragments.
    ///
    /// # Errors
    /// If the buffer is shorter than [`MIN_BUFFER`](Link::MIN_BUFFER), or [`Config::check`] fails.
    pub fn new(config: Config, buffer: &'b mut [u8]) -> Result<Self, ConfigError> {
        config.check()?;
        if buffer.len() < Self::MIN_BUFFER {
            return Err(ConfigError::Buffer { least: Self::MIN_BUFFER, found: buffer.len() });
        }
        Ok(Link {
            out: Outbox::new(buffer, config.batching),
            phase: LinkPhase::Down,
            peer: PeerLimits { topics: TOPICS, ..PeerLimits::default() },
            config,
            interests: Table::new(),
            exports: Table::new(),
            incoming: Table::new(),
            outgoing: Table::new(),
            resumes: Vec::new(),
            stalled: false,
            topics_changed: false,
            streams_changed: false,
            confirm_at: None,
            partial: 0,
            confirmations: 0,
            next_unit: None,
            rest: None,
            last_number: 0,
            last_number_before: 0,
            last_received: Duration::ZERO,
            last_sent: Duration::ZERO,
            pong: None,
            features_due: false,
            close_detail: 0,
            close_words: Name::default(),
            memory_offered: false,
            memory_received: false,
        })
    }

    /// Starts the handshake on a new connection.
    pub fn open(&mut self, now: Duration) {
        self.lost();
        (self.close_detail, self.close_words) = (0, Name::default());
        self.phase = LinkPhase::Handshake(now.saturating_add(self.config.handshake));
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
        self.out.queue_control(now, 0, 0, &hello);
    }

    /// Handles the loss of the connection. Interests and incoming streams stay: the next connection
    /// subscribes again and resumes them. Interests that were unsubscribed are removed, and all
    /// [`ExportId`]s and [`OutgoingId`]s become invalid. A stream that has received the last
    /// possible sequence, 2⁶⁴ − 2, is removed, because nothing can follow.
    pub fn lost(&mut self) {
        self.phase = LinkPhase::Down;
        self.out.clear();
        (self.pong, self.next_unit) = (None, None);
        self.features_due = false;
        self.exports.retain(|_| false);
        self.outgoing.retain(|_| false);
        self.resumes.clear();
        (self.stalled, self.partial, self.confirm_at) = (false, 0, None);
        (self.memory_offered, self.memory_received) = (false, false);
        self.rest = None;
        for (_, stream) in self.incoming.iter_mut() {
            stream.lost();
        }
        self.incoming.retain(|stream| stream.next != u64::MAX);
        for place in 0..TOPICS {
            let Some((id, interest)) = self.interests.at(place) else { continue };
            match interest.state {
                InterestState::Unsubscribing
                | InterestState::UnsubscribeDue
                | InterestState::SubscribeThenUnsubscribeDue => self.forget_interest(id),
                InterestState::Due | InterestState::Subscribed | InterestState::Rejected => {
                    interest.state = InterestState::Due;
                }
            }
        }
    }

    /// Ends the link. The peer gets all earlier messages and confirmations, then a close frame with
    /// the reason. Without a connection the call has no effect.
    pub fn close(&mut self, now: Duration, reason: CloseReason) {
        self.finish(now, LinkError::LocallyClosed(reason), reason);
    }

    /// Returns whether the handshake is complete and the link has not ended.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.phase, LinkPhase::Up)
    }

    /// Returns why the link has ended, or `None`. After the end, close the connection once nothing
    /// is left to transmit.
    #[must_use]
    pub fn ended(&self) -> Option<LinkError> {
        match self.phase {
            LinkPhase::Over(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the number and the text of the peer's close frame, until the next connection; 0 and
    /// empty if there were none. They are only for people, because the peer may send anything.
    #[must_use]
    pub fn close_words(&self) -> (u32, &str) {
        (self.close_detail, self.close_words.as_str())
    }

    /// Returns whether the link is up and the peer has this feature on this connection.
    #[inline]
    fn peer_has(&self, feature: u32) -> bool {
        self.is_up() && self.peer.features & feature != 0
    }

    /// Removes an interest and its streams.
    fn forget_interest(&mut self, interest: InterestId) {
        self.interests.remove(interest);
        self.incoming.retain(|stream| stream.interest != interest);
    }

    /// Returns the number for the next interest or stream, or `None` if all are used. No number is
    /// used twice.
    fn next_number(&self) -> Option<u32> {
        self.last_number.checked_add(1)
    }
}

/// Tests of states that are out of reach through the public interface.
#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::descriptor::Digest;

    type TestLink<'b> = Link<'b, 2, 2>;

    /// Moves all bytes from one side to the other, until they are used or the other side fails.
    fn carry(from: &mut TestLink<'_>, to: &mut TestLink<'_>, mut on_event: impl FnMut(Event<'_>)) {
        let now = Duration::ZERO;
        let mut buffer = [0; 1024];
        while let Some(bytes) = from.poll_transmit(now) {
            let count = bytes.len();
            buffer[..count].copy_from_slice(bytes);
            from.transmitted(now, count);
            let mut start = 0;
            while let Ok(Input { used, event, .. }) =
                to.input(now, &buffer[start..count], |_, _| Ok(()))
                && used > 0
            {
                start += used;
                if let Some(event) = event {
                    on_event(event);
                }
            }
        }
    }

    #[test]
    fn numbers_are_used_once() {
        let now = Duration::ZERO;
        let (mut left, mut right) = ([0; 1024], [0; 1024]);
        let config = || Config::new(Name::truncated("node"), 1);
        let mut writer = TestLink::new(config(), &mut left).unwrap();
        let mut reader = TestLink::new(config(), &mut right).unwrap();
        let topic = Name::truncated("topic");
        let (type_id, digest, mode, window) = (1, Digest([0; 16]), ReaderMode::Gating, 4);
        let start = ReaderStart::Next;
        let interest =
            Interest { topic, type_id, digest, mode, start, window, unit: Unit::MESSAGE };
        reader.last_number = u32::MAX - 1;
        reader.subscribe(interest).unwrap();
        assert_eq!(reader.subscribe(interest), Err(SendError::Numbers));

        writer.open(now);
        reader.open(now);
        carry(&mut writer, &mut reader, |_| {});
        let mut subscribed = None;
        carry(&mut reader, &mut writer, |event| {
            if let Event::Subscribe { export, .. } = event {
                subscribed = Some(export);
            }
        });
        writer.last_number = u32::MAX - 1;
        let export = subscribed.unwrap();
        writer.open_stream(now, export, topic, StreamStart::new(5, 0, 64)).unwrap();
        assert_eq!(
            writer.open_stream(now, export, topic, StreamStart::new(6, 0, 64)),
            Err(SendError::Numbers)
        );
        carry(&mut writer, &mut reader, |event| assert!(!matches!(event, Event::Stream { .. })));
        assert_eq!(reader.ended(), Some(LinkError::Numbers));
    }
}
