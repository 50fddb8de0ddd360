//! One link over one stream of bytes: the driver that Unix sockets and TCP share.
//!
//! A [`Driver`] reads, hands every frame to its [`Link`], asks its [`Traffic`] for more to send, and writes, until nothing
//! moves; then it waits for the stream, the clock or whatever the traffic waits for. One read takes all that is there and
//! decodes all the frames it holds, in place; one write takes the whole batch. Dropping it between two polls, or for
//! good, loses nothing that the link has not said to be lost: a frame of which a half is out is finished by the next poll.

mod driver;
mod read_buffer;

pub use driver::{DriveError, Driver, Traffic};

use mycelium_core::link::Link;

/// A link with room for the topics and streams that one process may have of another.
pub type NodeLink<'b> = Link<'b, TOPICS, STREAMS>;

/// How many topics one process may read from another.
pub const TOPICS: usize = 64;
/// How many publishers of these topics one process may read from at once.
pub const STREAMS: usize = 128;
