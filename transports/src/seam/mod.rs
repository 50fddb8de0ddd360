//! The seam, where a transport attaches to the topics of a process.
//!
//! A transport carries the messages of topics from processes that publish them to processes that
//! read them. A topic does not know how; a transport does not know the publishers, the readers or
//! other transports. A transport may use `local` and the executor trait, and has two ends:
//!
//! ```text
//! publishers ─▶ rings ─▶ Tap ─▶ a transport ─▶ Feed ─▶ ring ─▶ subscriptions
//! ```
//!
//! | end | for each | it |
//! | --- | --- | --- |
//! | [`Tap`], by [`Ends::tap`] | topic, and remote process or group | reads the publishers of this process, and blocks them, as a subscription would |
//! | [`TapStream`] | start of a publisher | returns its messages as bytes, gaps and the end, and keeps messages until they are released |
//! | [`Feed`], by [`Topic::feed`](crate::local::Topic::feed) | start of a publisher in another process | takes its messages as bytes, missing messages and the end; its readers are the subscriptions of this process |
//!
//! Links ([`link`](crate::link)) are a transport with all [capabilities](Capabilities). They also
//! use shared [`memory`](crate::memory) here: a stream whose ring the reader's process has mapped
//! [moves](TapStream::move_to_memory) from the link to shared memory, and its feed [continues
//! there](Feed::continue_in_memory); requests, confirmations, resumption and the end stay with the
//! link. A program may attach its own [`Transport`] to a node, such as a recorder or an engine for
//! many hosts.
//!
//! # To write a transport
//!
//! 1. Return its promises in [`capabilities`](Transport::capabilities). The build of the node
//!    refuses a service that reads with a policy that needs more. It does not see subscriptions
//!    that other code creates later.
//! 2. Create the taps by [`Ends::tap`] in [`carry`](Transport::carry), before it returns its
//!    future. No service runs before that, so no message is missed. Without credit, tap with
//!    [`DropOldest`](crate::local::Policy::DropOldest), or take messages at the pace of the engine,
//!    as [`engine`](crate::engine) does.
//! 3. In the future, park the waker at each [tap](Tap::park), then visit its
//!    [streams](Tap::streams): new ones appear by themselves. Send each
//!    [item](TapStream::next_item) with the publisher's name, its epoch and the
//!    [sequence](TapStream::next), then [advance](TapStream::advance). Send the end, too, with its
//!    sequence; otherwise the loss of the last messages is not noticed.
//! 4. [Release](TapStream::release) messages when the other side has finished them, or at once if
//!    the transport does not confirm. Remove a stream when its end is sent and all of its messages
//!    are released; [`Closed`](TapItem::Closed) alone means only that all messages were read. A
//!    stream may be taken out of its tap. A transport that resumes [rewinds](TapStream::rewind) to
//!    the first message that is not confirmed.
//! 5. Send the other side the id and the digest of the [schema](crate::local::Topic::schema) once.
//!    A feed checks the size of messages only: refuse a publisher with another digest.
//! 6. Create a feed at the first message of an epoch. `first` is the sequence from which its
//!    readers count: messages between `first` and the first one that arrives are a gap. Drop a
//!    message before [`next`](Feed::next): it is too late. Before a message after `next`,
//!    [skip](Feed::skip) the missing ones. [Push](Feed::push_with) while there is
//!    [room](Feed::room), then [flush](Feed::flush); [`redelivered`](Feed::push) marks messages
//!    that an earlier process may have had. Confirm messages that are [done](Feed::done);
//!    [`park`](Feed::park) wakes the task when there are more.
//! 7. When the other side has sent the end, skip the missing messages, and [end](Feed::end) the
//!    feed. If the connection is lost for good, [lose](Feed::lose) the feed: a feed that is dropped
//!    ends without a gap.
//! 8. When [`Ends::draining`] is ready, publishers have ended: end when no tap has a stream. When
//!    [`Ends::stopped`] is ready, end at once: a transport that does not end is dropped, or logged
//!    if it is held elsewhere. If a tap that blocks publishers still keeps messages at the end of
//!    the node, or has left some, this is an error of the node, M0062.

mod control;
mod credit;
mod feed;
mod moved;
mod tap;
mod transport;

pub use control::Control;
pub(crate) use control::{BusyGuard, PeerEnd, Phase};
pub use credit::Credit;
pub use feed::{Feed, MappedFeed};
pub use tap::{Tap, TapItem, TapStream};
pub use transport::{Audience, Capabilities, Ends, Engine, Transport};
