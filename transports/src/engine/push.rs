//! Passes the messages of packets to feeds.

use mycelium_core::frame::FrameView;
use mycelium_core::link::RunShape;

use crate::local::{FeedError, GapReason, Metadata};
use crate::seam::Feed;

/// The gating readers leave no room.
pub(super) struct Full;

/// Records that the messages before `next` are missing, unless the feed has them.
pub(super) fn skip_to(feed: &mut Feed, next: u64) {
    if let Some(missed @ 1..) = next.checked_sub(feed.next()) {
        feed.skip(missed, GapReason::Disconnected);
    }
}

/// Passes a message, unless the feed is beyond it: then it is in a gap, or arrives a second time.
pub(super) fn push_message(
    feed: &mut Feed,
    frame: &FrameView<'_>,
    redelivered: bool,
) -> Result<(), Full> {
    let sequence = frame.header().sequence();
    skip_to(feed, sequence);
    if sequence < feed.next() {
        return Ok(());
    }
    let metadata = Metadata { trace: frame.trace(), sent_at: frame.sent_at() };
    done(feed.push_with(frame.payload(), redelivered, metadata), feed, 1)
}

/// Passes the messages of a run, as [`push_message`] does. If there is no room for all of them, it
/// passes the first ones.
pub(super) fn push_run(
    feed: &mut Feed,
    first: u64,
    shape: RunShape,
    bytes: &[u8],
    redelivered: bool,
) -> Result<(), Full> {
    skip_to(feed, first);
    let stride = shape.stride as usize;
    let late = usize::try_from(feed.next() - first).unwrap_or(usize::MAX);
    let Some(new @ [_, ..]) = bytes.get(late.saturating_mul(stride)..) else { return Ok(()) };
    if !redelivered {
        return done(feed.push_run(shape, new), feed, (new.len() / stride) as u64);
    }
    new.chunks(stride).try_for_each(|item| done(feed.push(shape.message(item), true), feed, 1))
}

/// A message that does not fit the topic is a gap.
fn done(pushed: Result<(), FeedError>, feed: &mut Feed, count: u64) -> Result<(), Full> {
    match pushed {
        Ok(()) | Err(FeedError::Ended) => {}
        Err(FeedError::Size { .. }) => feed.skip(count, GapReason::Undecodable),
        Err(FeedError::Full) => return Err(Full),
    }
    Ok(())
}
