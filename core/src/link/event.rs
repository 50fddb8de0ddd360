//! The output of a link to its caller: events, which report what the peer did, and the bytes to
//! write to the connection. Most bytes are in the link's buffer. The messages of a *run*
//! (consecutive messages of a stream that share one header) and long fragments are *lent*: they stay
//! in the caller's memory.

use super::config::{ReaderMode, ReaderStart};
use super::error::RejectReason;
use super::tables::{ExportId, IncomingId, InterestId, OutgoingId};
use crate::descriptor::Digest;
use crate::envelope::Envelope;
use crate::frame::Fragment;

/// The result of a call of [`Link::input`](super::Link::input).
#[derive(Debug)]
pub struct Input<'a> {
    /// The number of used bytes.
    pub used: usize,
    /// The number of bytes that the next call needs, counted from the first unused byte.
    pub needed: usize,
    /// The event in these bytes, if it concerns the caller.
    pub event: Option<Event<'a>>,
}

/// What the peer did.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The handshake is complete. A caller that does not accept the peer closes the link.
    Up {
        /// The name of the peer's node.
        node: &'a str,
        /// A random number that the peer drew at its start.
        boot: u64,
        /// The number of topics that the peer exports at once. Further interests wait for a free
        /// place.
        topics: u16,
    },
    /// The peer subscribes to a topic. The caller accepts, rejects, or decides later.
    Subscribe {
        /// The subscription, for the answer.
        export: ExportId,
        /// The topic.
        topic: &'a str,
        /// The type of the topic's messages.
        type_id: u16,
        /// The digest of the messages' layout.
        digest: Digest,
        /// What the publishers do when the peer is slower than they are.
        mode: ReaderMode,
        /// Where a stream starts if the peer does not know it.
        start: ReaderStart,
        /// The number of [`Resume`](Event::Resume)s that follow.
        resumes: u16,
    },
    /// The peer knows a stream from an earlier connection. The caller opens it again, at `next` or
    /// later, or [refuses](super::Link::refuse_resume). The caller must check `next` against what
    /// it has sent.
    Resume {
        /// The subscription.
        export: ExportId,
        /// The publisher's epoch.
        epoch: u64,
        /// All messages before this sequence have arrived and need not be sent again. They are
        /// not confirmed yet: only a [`Window`](Event::Window) confirms. A stream that
        /// [moved](super::Link::move_stream) resumes where it moved, unless the peer has [left
        /// the memory](super::Link::leave_memory).
        next: u64,
        /// Whether the stream has moved and the peer has not left the memory. A caller that does
        /// not know of the move must refuse it.
        has_moved: bool,
    },
    /// The peer unsubscribed from the topic. The topic's streams no longer exist.
    Unsubscribe {
        /// The subscription.
        export: ExportId,
    },
    /// The peer sends the topic, or will.
    Accepted {
        /// The topic.
        interest: InterestId,
    },
    /// The peer does not send the topic, or stops sending it. Its streams no longer exist. The link
    /// subscribes again on the next connection.
    Rejected {
        /// The topic.
        interest: InterestId,
        /// The reason.
        reason: RejectReason,
        /// The digest of the peer's layout; zero if it has none.
        digest: Digest,
    },
    /// The peer has confirmed the end of a subscription. This is its last event. It follows each
    /// [`UnsubscribeProgress::Pending`](super::UnsubscribeProgress::Pending), unless the connection
    /// is lost first, which also ends the subscription.
    Unsubscribed {
        /// The topic.
        interest: InterestId,
        /// The number of messages that arrived after the caller had unsubscribed.
        discarded: u64,
    },
    /// A stream is open: a publisher's messages start, or continue after a lost connection.
    Stream {
        /// The stream.
        stream: IncomingId,
        /// The topic.
        interest: InterestId,
        /// The publisher.
        publisher: &'a str,
        /// The publisher's epoch.
        epoch: u64,
        /// The sequence of the next message.
        first: u64,
        /// For a stream of an earlier connection, the number of messages that were dropped since
        /// then. For a stream that [moved](Event::Region), this is 0, and `first` is the first
        /// message of the region, even if later ones were already read.
        resumed: Option<u64>,
        /// Whether what the publisher retains follows, as [`Retained`](Event::Retained)s and a
        /// [`RetainedEnd`](Event::RetainedEnd), before all other events of the stream.
        retains: bool,
    },
    /// A part of a long message, in place: a fragment, or as much of it as is there. The parts arrive
    /// in order and without holes, and no other message of the stream arrives between them. The last
    /// part ends at `fragment.total`; all others have a multiple of 8 bytes. The rest is not sent
    /// after a [`Gap`](Event::Gap), after the topic is [`Rejected`](Event::Rejected) or
    /// unsubscribed, or after a lost connection; only then is the message sent again from its start.
    Fragment {
        /// The stream.
        stream: IncomingId,
        /// The place of this part in the message.
        fragment: Fragment,
        /// The envelope. Only the first part has that of the message; the others have the sequence.
        envelope: Envelope,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Consecutive messages of a stream that share one header (a *run*), in place. The next event
    /// may have more messages of the same run.
    Run {
        /// The stream.
        stream: IncomingId,
        /// The sequence of the first message.
        first: u64,
        /// The layout of the messages in the bytes.
        shape: RunShape,
        /// A whole number of items.
        bytes: &'a [u8],
    },
    /// The next messages of the stream are not sent.
    Gap {
        /// The stream.
        stream: IncomingId,
        /// The number of messages that are not sent.
        missed: u64,
        /// The reason, as a number whose meaning both ends of the topic know.
        reason: u16,
    },
    /// The publisher offers shared memory: at most once per connection, and only to a side that
    /// [supports it](super::Config::memory).
    Memory {
        /// Identifies this side on the control connection that passes the regions.
        token: [u8; 16],
    },
    /// The next messages of the stream are in shared memory. Only its [`End`](Event::End) may
    /// follow on this connection. On a later connection the stream resumes at `first`, and this
    /// event is repeated, unless the caller already had the stream's end.
    Region {
        /// The stream.
        stream: IncomingId,
        /// The region's number between the two sides.
        number: u32,
        /// The sequence of the first message in shared memory.
        first: u64,
    },
    /// The publisher has ended, and all its messages have arrived or are in [shared
    /// memory](Event::Region). The caller can still confirm messages.
    End {
        /// The stream.
        stream: IncomingId,
        /// The sequence after its last message.
        next: u64,
    },
    /// The publisher ended while the connection was down. The number of missed messages is unknown.
    Gone {
        /// The stream, which no longer exists.
        stream: IncomingId,
    },
    /// A reader of the stream waits for messages, so a message that is sent now is delivered soon.
    /// Only a peer that [supports it](super::Link::peer_signals_demand) sends this.
    Demand {
        /// The stream.
        stream: OutgoingId,
    },
    /// The peer requests the layout of a topic's messages, or the catalogue. The bytes of a layout
    /// are its [canonical form](crate::Descriptor::canonical). The caller
    /// [answers](super::Link::answer) now or later. A later request replaces this one.
    Describe {
        /// The topic; empty for the [catalogue](super::Link::answer_catalogue).
        topic: &'a str,
        /// The first byte that the peer needs, as an offset in the layout's canonical form.
        offset: u32,
    },
    /// The answer to [`describe`](super::Link::describe).
    Described {
        /// Where the bytes start in the layout's canonical form.
        offset: u32,
        /// The length of the layout's whole canonical form; 0 if the peer sends no layout.
        total: u32,
        /// Some bytes of the canonical form; empty at its end.
        bytes: &'a [u8],
    },
    /// The peer [requests](super::Link::recall) what the publisher with this epoch retains. The
    /// caller answers now or later, with nothing if it does not know the publisher. A later request
    /// for the topic replaces this one.
    Recall {
        /// The subscription, for the answer.
        export: ExportId,
        /// The publisher's epoch.
        epoch: u64,
        /// The peer's readers get the messages from this sequence on in the stream.
        before: u64,
    },
    /// A part of a message that the publisher with this epoch retains. The parts of a message come
    /// one after the other; nothing checks that they do.
    Retained {
        /// The topic.
        interest: InterestId,
        /// The publisher's epoch.
        epoch: u64,
        /// The sequence of the message.
        sequence: u64,
        /// The place of the bytes in the message.
        offset: u32,
        /// The length of the message.
        total: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// All that the publisher with this epoch retains was sent.
    RetainedEnd {
        /// The topic.
        interest: InterestId,
        /// The publisher's epoch.
        epoch: u64,
    },
    /// Messages are confirmed, or credit is granted. For a stream that was ended, the last such
    /// event confirms all its messages; for a stream that [moved](super::Link::move_stream), all
    /// messages before the move.
    Window {
        /// The stream.
        stream: OutgoingId,
        /// The messages before this sequence are confirmed and need not be kept.
        confirmed: u64,
    },
}

/// The layout of a run's messages. Each message is in an item of `stride` bytes: `skip` bytes to
/// ignore, `length` bytes of message, and padding to ignore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunShape {
    /// The size of an item in bytes, a multiple of 8.
    pub stride: u32,
    /// The bytes to ignore before a message, a multiple of 8.
    pub skip: u16,
    /// The size of a message in bytes. All these bytes are its fixed part.
    pub length: u16,
}

impl RunShape {
    /// Returns the message in an item.
    #[must_use]
    pub fn message<'a>(&self, item: &'a [u8]) -> &'a [u8] {
        let (skip, length) = (usize::from(self.skip), usize::from(self.length));
        item.get(skip..skip + length).unwrap_or_default()
    }

    /// Returns whether a run may have this layout.
    pub(super) fn check(&self) -> bool {
        let message = u32::from(self.skip) + u32::from(self.length);
        self.length > 0
            && self.stride.is_multiple_of(8)
            && self.skip.is_multiple_of(8)
            && message <= self.stride
    }
}

/// Bytes of a run or a fragment that the caller must write from its own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LentBytes {
    /// The stream of the messages.
    pub stream: OutgoingId,
    /// The sequence of the run's first message, or of the message in fragments.
    pub first: u64,
    /// The layout of the run's messages; `None` for a fragment.
    pub shape: Option<RunShape>,
    /// The number of bytes before these: bytes of the run that are already written, or the bytes of
    /// the message before these.
    pub offset: usize,
    /// The number of bytes left to write, at least one.
    pub length: usize,
}

/// What to write next: bytes of the link, then lent ones.
#[derive(Debug)]
pub struct Transmit<'a> {
    /// Bytes of the link's buffer. Empty if only lent bytes are left.
    pub bytes: &'a [u8],
    /// The lent bytes to write after `bytes`.
    pub lent: Option<LentBytes>,
}
