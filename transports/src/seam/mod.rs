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
//! | [`Tap`], by [`Topic::tap`](crate::local::Topic::tap) | topic, and remote process or group of them | reads the publishers of this process as a subscription would, and holds them up as one |
//! | [`TapStream`] | start of a publisher | yields its messages as bytes, gaps and the end, and keeps messages until they are released |
//! | [`Feed`], by [`Topic::feed`](crate::local::Topic::feed) | start of a publisher elsewhere | takes its messages as bytes, says what is missing, and ends; its readers are the subscriptions of this process |
//!
//! Links ([`link`](crate::link)) are a transport with all [capabilities](Capabilities). They attach
//! [`memory`](crate::memory) here, too: a stream whose ring the reader's process has mapped
//! [moves](TapStream::move_to_memory) from the link to memory, and its feed
//! [continues there](Feed::continue_in_memory); what is asked for, confirmed, resumed and ended
//! stays with the link. Programs attach a [`Transport`] of their own to a node, such as a recorder
//! or an engine for many hosts.
//!
//! # To write a transport
//!
//! 1. Say in [`capabilities`](Transport::capabilities) what it keeps. The build of the node refuses
//!    a subscription whose policy needs more.
//! 2. Make the taps before [`carry`](Transport::carry) returns its future: no service runs before,
//!    so nothing is missed.
//! 3. In the future, visit the [streams](Tap::streams) of each tap and send their
//!    [items](TapStream::next_item). Say with each message its publisher, epoch and
//!    [sequence](TapStream::next); [advance](TapStream::advance) then, and
//!    [release](TapStream::release) it once the other side is done with it, or at once if the
//!    transport does not confirm. Remove a stream that is closed. [Park](Tap::park), and look once
//!    more before the task sleeps.
//! 4. On the other side make a feed at the first message of a publisher's epoch. Compare sequences:
//!    what is missing is [skipped](Feed::skip), and is told to each reader as a gap.
//!    [Push](Feed::push) while there is [room](Feed::room), then [flush](Feed::flush). A feed ends
//!    by [`end`](Feed::end), or by [`lose`](Feed::lose) if nobody knows how much is missing.
//! 5. End when [`Ends::draining`] is ready and the taps are over, or at once when [`Ends::stopped`]
//!    is.

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
