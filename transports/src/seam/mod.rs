//! The seam: where a transport attaches to the topics of a process.
//!
//! A transport carries the messages of topics from processes that publish them to processes that
//! read them. A topic does not know how; a transport does not know who publishes and who reads, and
//! no other transport. It has two ends, and may use `local` and the executor trait:
//!
//! ```text
//! publishers ─▶ rings ─▶ Tap ─▶ a transport ─▶ Feed ─▶ ring ─▶ subscriptions
//! ```
//!
//! | end | for each | it |
//! | --- | --- | --- |
//! | [`Tap`], by [`Ends::tap`] | topic, and remote process or group of them | reads the publishers of this process as a subscription would, and holds them up as one |
//! | [`TapStream`] | start of a publisher | yields its messages as bytes, gaps and the end, and keeps messages until they are released |
//! | [`Feed`], by [`Topic::feed`](crate::local::Topic::feed) | start of a publisher elsewhere | takes its messages as bytes, says what is missing, and ends; its readers are the subscriptions of this process |
//!
//! Links ([`link`](crate::link)) are a transport with all [capabilities](Capabilities). They also
//! use shared [`memory`](crate::memory) here: a stream whose ring the reader's process has mapped
//! [moves](TapStream::move_to_memory) from the link to shared memory, and its feed [continues
//! there](Feed::continue_in_memory); requests, confirmations, resumption and the end stay with the
//! link. Programs attach a [`Transport`] of their own to a node, such as a recorder or an engine
//! for many hosts.
//!
//! # To write a transport
//!
//! 1. Say in [`capabilities`](Transport::capabilities) what it promises. The build of the node
//!    refuses a service that reads with a policy which needs more. It does not see subscriptions
//!    that code outside the services makes later.
//! 2. Make the taps by [`Ends::tap`] in [`carry`](Transport::carry), before it returns its future:
//!    no service runs before, so nothing is missed. Without credit, tap with
//!    [`DropOldest`](crate::local::Policy::DropOldest).
//! 3. In the future, park the waker at each [tap](Tap::park), then visit its
//!    [streams](Tap::streams): new ones appear by themselves. Send each
//!    [item](TapStream::next_item) with the publisher's name, its epoch and the
//!    [sequence](TapStream::next), then [advance](TapStream::advance). Send the end, too, with its
//!    sequence, or the loss of the last messages goes unnoticed.
//! 4. [Release](TapStream::release) messages when the other side is done with them, or at once if
//!    the transport does not confirm. Remove a stream when its end is sent and all of its messages
//!    are released; [`Closed`](TapItem::Closed) alone says only that all were read. A stream may be
//!    taken out of its tap. A transport that resumes [rewinds](TapStream::rewind) to the first
//!    message that is not confirmed.
//! 5. Tell the other side the id and the digest of the [schema](crate::local::Topic::schema), once.
//!    A feed checks the size of messages only: refuse a publisher with another digest.
//! 6. Make a feed at the first message of an epoch. `first` is the sequence from which its readers
//!    count: messages between `first` and the first one that arrives are a gap. A message before
//!    [`next`](Feed::next) has come too late: drop it. If one is after `next`, [skip](Feed::skip)
//!    the missing ones. [Push](Feed::push_with) while there is [room](Feed::room), then
//!    [flush](Feed::flush); [`redelivered`](Feed::push) marks messages that an earlier process may
//!    have had. Confirm messages that are [done](Feed::done); [`park`](Feed::park) wakes when there
//!    are more.
//! 7. At the end that the other side has sent, skip the missing messages, and [end](Feed::end) the
//!    feed. If the connection is lost for good, [lose](Feed::lose) the feed: a feed that is dropped
//!    ends without a gap.
//! 8. When [`Ends::draining`] is ready, publishers have ended: end when no tap has a stream. End at
//!    once when [`Ends::stopped`] is ready: what does not end is dropped, or logged if it is held
//!    elsewhere. The messages that a tap which holds up publishers keeps or has left at the end of
//!    the node are an error of it, M0062.

mod control;
mod feed;
mod moved;
mod tap;
mod transport;

pub use control::Control;
pub(crate) use control::{BusyGuard, PeerEnd, Phase};
pub use feed::{Feed, MappedFeed};
pub use tap::{Tap, TapItem, TapStream};
pub use transport::{Audience, Capabilities, Ends, Transport};
