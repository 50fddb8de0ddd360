//! Requests for a peer's catalogue, or for the layout of a topic, piece by piece.

use std::time::Duration;

use mycelium_core::link::{Name, SendError};

use super::UntypedError;
use crate::stream::NodeLink;

/// The time limit for one piece.
const PIECE_WITHIN: Duration = Duration::from_secs(5);
/// The time limit for all pieces.
const ALL_WITHIN: Duration = Duration::from_secs(60);

/// A request, and the bytes that have arrived.
#[derive(Debug)]
pub(super) struct Query {
    /// Names the requested bytes in errors.
    what: &'static str,
    /// The topic; empty for the catalogue.
    topic: Name,
    longest: usize,
    bytes: Vec<u8>,
    /// A request was sent and is not answered yet.
    is_requested: bool,
    /// The times at which the present piece, and all pieces, are late.
    late: Duration,
    latest: Duration,
}

impl Query {
    pub(super) fn new(what: &'static str, topic: Name, longest: usize, now: Duration) -> Query {
        let (late, latest) = (now.saturating_add(PIECE_WITHIN), now.saturating_add(ALL_WITHIN));
        Query { what, topic, longest, bytes: Vec::new(), is_requested: false, late, latest }
    }

    /// Returns the time after which the peer is late.
    pub(super) fn deadline(&self) -> Duration {
        self.late.min(self.latest)
    }

    /// Requests the next piece, if it is due.
    ///
    /// # Errors
    /// If the peer is late.
    pub(super) fn request(
        &mut self,
        now: Duration,
        node: &str,
        link: &mut NodeLink<'_>,
    ) -> Result<(), UntypedError> {
        if now >= self.deadline() {
            let within = if now >= self.latest { ALL_WITHIN } else { PIECE_WITHIN };
            let (node, what) = (node.to_owned(), self.what);
            return Err(UntypedError::Silent { node, what, within });
        }
        if !self.is_requested {
            // The cast is lossless, because there are at most `longest` bytes.
            let offset = self.bytes.len() as u32;
            match link.describe(now, self.topic, offset) {
                Ok(()) => self.is_requested = true,
                // The error is `Gone` until the features of the peer have arrived. Both errors are
                // followed by another try.
                Err(SendError::Room { .. } | SendError::Gone) => {}
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes a piece. Returns all bytes once they have arrived; empty if the peer has none.
    ///
    /// # Errors
    /// If the piece was not requested.
    pub(super) fn take(
        &mut self,
        now: Duration,
        node: &str,
        (offset, total, bytes): (u32, u32, &[u8]),
    ) -> Result<Option<Vec<u8>>, UntypedError> {
        let answer = |problem| {
            let (node, what) = (node.to_owned(), self.what);
            Err(UntypedError::Answer { node, what, problem })
        };
        if !self.is_requested {
            return answer("bytes that were not requested");
        }
        if total == 0 {
            return Ok(Some(Vec::new()));
        }
        let total = total as usize;
        if total > self.longest {
            return answer("more bytes than are read");
        }
        if offset as usize != self.bytes.len() {
            return answer("other bytes than the requested ones");
        }
        if bytes.is_empty() {
            return answer("no bytes, before its end");
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > total {
            return answer("more bytes than it said");
        }
        (self.is_requested, self.late) = (false, now.saturating_add(PIECE_WITHIN));
        Ok((self.bytes.len() == total).then(|| std::mem::take(&mut self.bytes)))
    }
}
