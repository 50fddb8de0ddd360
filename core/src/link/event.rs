//! What a link tells its caller.

use super::tables::{ExportId, IncomingId, InterestId, OutgoingId};
use super::{RejectReason, RunShape};
use crate::descriptor::Digest;
use crate::frame::{Fragment, FrameView};

/// What became of some bytes of the peer.
#[derive(Debug)]
pub struct Input<'a> {
    /// How many bytes are used up.
    pub used: usize,
    /// How many bytes must be there before another call is useful, from the first unused byte on.
    pub needed: usize,
    /// What they said, if it concerns the caller.
    pub event: Option<Event<'a>>,
}

/// What the peer said.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Who it is. A caller that does not want it closes the link.
    Up {
        /// The node's name.
        node: &'a str,
        /// Another at each of its starts.
        boot: u64,
        /// How many topics it serves. If more are wanted, the others wait until one is left.
        topics: u16,
    },
    /// It wants a topic. The caller accepts, rejects, or lets it wait until there is such a topic.
    Subscribe {
        /// What to answer to.
        export: ExportId,
        /// The topic.
        topic: &'a str,
        /// The type of its messages.
        type_id: u16,
        /// Their layout.
        digest: Digest,
        /// What its publishers are to do when it is slower.
        mode: ReaderMode,
        /// How many [`Resume`](Event::Resume)s follow.
        resumes: u16,
    },
    /// It knows a stream from an earlier connection. The caller begins the stream again where it can, at this sequence or
    /// behind it, or says that it is gone; what the peer says is compared with what was sent.
    Resume {
        /// The topic.
        export: ExportId,
        /// The publisher's start.
        epoch: u64,
        /// All messages before this sequence have arrived. They need not be sent again, but only a
        /// [`Window`](Event::Window) confirms them.
        next: u64,
    },
    /// It wants the topic no more. Its streams are gone.
    Unsubscribe {
        /// The topic.
        export: ExportId,
    },
    /// It sends the topic, or will.
    Accepted {
        /// The topic.
        interest: InterestId,
    },
    /// It does not send the topic, or does so no more: its streams are gone. The link asks again on the next connection.
    Rejected {
        /// The topic.
        interest: InterestId,
        /// Why.
        reason: RejectReason,
        /// The digest that the peer knows the topic by; zero where it knows none.
        digest: Digest,
    },
    /// It has taken note that the topic is wanted no more: nothing comes after this. Said once for each
    /// [`Leave::Pending`](super::Leave), unless the connection is lost, which comes to the same.
    Unsubscribed {
        /// The topic.
        interest: InterestId,
        /// How many messages came after the caller had left.
        discarded: u64,
    },
    /// A publisher's messages begin, or go on after the connection was lost.
    Stream {
        /// What its messages come with.
        stream: IncomingId,
        /// The topic.
        interest: InterestId,
        /// The publisher.
        publisher: &'a str,
        /// Its start.
        epoch: u64,
        /// The sequence of its next message.
        first: u64,
        /// If the stream is known from before: how many messages were dropped meanwhile.
        resumed: Option<u64>,
    },
    /// Part of a message, in place, where the message is too long for one frame. The parts of a message come in order and
    /// without holes, and no other message of the stream between them; what travels with it comes with the first. The last
    /// is the one that ends at `fragment.total`: only then has the message come. Its rest does not come if there is a
    /// [`Gap`](Event::Gap), if the topic is [`Rejected`](Event::Rejected) or left, or if the connection is lost, after which
    /// the message begins anew.
    Fragment {
        /// The stream.
        stream: IncomingId,
        /// Which part it is.
        fragment: Fragment,
        /// Its bytes, which are the payload, and what came with them.
        frame: FrameView<'a>,
    },
    /// Messages of a run, in place, one after the other. There may be more of the same run in the next event.
    Run {
        /// The stream.
        stream: IncomingId,
        /// The sequence of the first of them.
        first: u64,
        /// How they lie in the bytes.
        shape: RunShape,
        /// Whole items.
        bytes: &'a [u8],
    },
    /// Messages that do not come.
    Gap {
        /// The stream.
        stream: IncomingId,
        /// How many.
        missed: u64,
        /// Why: a number that both ends of the topic know.
        reason: u16,
    },
    /// The publisher has ended. Everything that it sent has come.
    End {
        /// The stream. Nothing more comes of it; what is not confirmed yet can still be.
        stream: IncomingId,
    },
    /// The publisher ended while the connection was down, and nobody knows what it had sent.
    Gone {
        /// The stream, which is not there any more.
        stream: IncomingId,
    },
    /// The readers of a stream have asked for messages on this connection: one that comes now is in hand soon. Only a peer
    /// that [says so](super::Link::peer_signals_demand) does.
    Demand {
        /// The stream.
        stream: OutgoingId,
    },
    /// It asks how messages of a topic are laid out here. The caller [answers](super::Link::answer), now or later; it may
    /// forget a question when the next one comes.
    Describe {
        /// The topic.
        topic: &'a str,
        /// From which byte of the canonical form on.
        offset: u32,
    },
    /// It answers a [question](super::Link::describe).
    Described {
        /// From which byte of the canonical form on.
        offset: u32,
        /// How many bytes that form has; 0 if the peer does not tell.
        total: u32,
        /// Some of them, none from the end on.
        bytes: &'a [u8],
    },
    /// Messages are confirmed, or may be sent. For a stream that was ended the last one says that all are confirmed.
    Window {
        /// The stream.
        stream: OutgoingId,
        /// Those before this sequence are confirmed: they need not be kept any more.
        confirmed: u64,
    },
}

/// What the publisher does when a reader is slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderMode {
    /// It waits.
    Gating,
    /// It goes on, and the reader is told what it missed.
    Observing,
    /// It neither waits nor goes on: what it emits is refused until there is room. The reader misses nothing that was
    /// emitted.
    Rejecting,
}

impl ReaderMode {
    pub(super) fn code(self) -> u8 {
        match self {
            ReaderMode::Gating => 0,
            ReaderMode::Observing => 1,
            ReaderMode::Rejecting => 2,
        }
    }

    /// A mode that a later version has defined is one for which nobody waits.
    pub(super) fn of(code: u8) -> ReaderMode {
        match code {
            0 => ReaderMode::Gating,
            2 => ReaderMode::Rejecting,
            _ => ReaderMode::Observing,
        }
    }
}
