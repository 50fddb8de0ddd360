//! Requests the layout of a topic from a peer where it differs from the layout here, and answers
//! such requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::descriptor::{Descriptor, Digest};
use mycelium_core::link::{Name, SendError};

use super::catalogue::CatalogueEntry;
use super::layout::{LONGEST_FORM, LayoutMismatch};
use crate::local::Topic;
use crate::stream::NodeLink;

/// How long a peer has to send a layout.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(5);

/// The topics whose layout differs at the peer. One layout is requested at a time.
#[derive(Default)]
pub(crate) struct LayoutQueries(VecDeque<LayoutQuery>);

struct LayoutQuery {
    topic: Arc<Topic>,
    peer_digest: Digest,
    /// The bytes of the layout that have arrived.
    form: Vec<u8>,
    /// When to stop waiting; set by the first request.
    deadline: Option<Duration>,
    /// A request was sent and not answered.
    is_requested: bool,
}

impl LayoutQueries {
    /// Adds a topic that the peer has rejected because its layout differs. The peer may reject the
    /// topic again while this query is under way: one query is enough.
    pub(crate) fn add(&mut self, topic: Arc<Topic>, peer_digest: Digest) {
        if self.0.iter().all(|known| known.topic.name() != topic.name()) {
            let (form, deadline, is_requested) = (Vec::new(), None, false);
            self.0.push_back(LayoutQuery { topic, peer_digest, form, deadline, is_requested });
        }
    }

    /// Requests the next piece of a layout. Returns a mismatch if the peer does not answer in time:
    /// then call it again, for the next topic.
    pub(crate) fn request(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
    ) -> Option<(Arc<Topic>, LayoutMismatch)> {
        let query = self.0.front_mut()?;
        let deadline = *query.deadline.get_or_insert(now.saturating_add(DESCRIBE_WITHIN));
        if now < deadline && query.is_requested {
            return None;
        }
        let topic = Name::try_from(query.topic.name()).unwrap_or_default();
        // The cast is lossless, because a form has at most `LONGEST_FORM` bytes.
        let offset = query.form.len() as u32;
        match link.describe(now, topic, offset) {
            Ok(()) if now < deadline => {
                query.is_requested = true;
                None
            }
            Err(SendError::Room { .. }) if now < deadline => None,
            _ => self.finish(false),
        }
    }

    /// Takes a piece of a layout that the peer has sent. Returns the mismatch if that was the last
    /// piece, or not the requested one.
    pub(crate) fn on_piece(
        &mut self,
        offset: u32,
        total: u32,
        bytes: &[u8],
    ) -> Option<(Arc<Topic>, LayoutMismatch)> {
        let query = self.0.front_mut().filter(|first| first.is_requested)?;
        let total = total as usize;
        let is_next = offset as usize == query.form.len() && !bytes.is_empty();
        if !is_next || total > LONGEST_FORM {
            return self.finish(false);
        }
        query.is_requested = false;
        query.form.extend_from_slice(bytes);
        if query.form.len() >= total { self.finish(true) } else { None }
    }

    /// Gives up the first query at the end of the connection. Returns its mismatch, as far as the
    /// peer has described the layout.
    pub(crate) fn abandon(&mut self) -> Option<(Arc<Topic>, LayoutMismatch)> {
        self.finish(false)
    }

    /// Removes the first query, and returns its mismatch. The mismatch names a field only if the
    /// peer has sent all of its layout.
    fn finish(&mut self, is_whole: bool) -> Option<(Arc<Topic>, LayoutMismatch)> {
        let LayoutQuery { topic, peer_digest, form, .. } = self.0.pop_front()?;
        let form = is_whole.then_some(&*form);
        let mismatch = LayoutMismatch::new(topic.schema(), peer_digest, form);
        Some((topic, mismatch))
    }
}

/// The answer to a peer's request for a layout or the catalogue. It waits here until the send
/// buffer has room for it.
#[derive(Default)]
pub(crate) struct LayoutAnswer {
    pending: Option<Pending>,
    /// The catalogue of which the peer has requested a piece.
    catalogue: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Pending {
    Layout(Option<&'static Descriptor>, u32),
    Catalogue(u32),
}

impl LayoutAnswer {
    /// Answers with the layout from the byte `offset` on; `None` if the peer may not know it. A
    /// pending answer is forgotten: a peer waits for the answer before it sends the next request.
    pub(crate) fn answer(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        descriptor: Option<&'static Descriptor>,
        offset: u32,
    ) {
        self.try_answer(now, link, Pending::Layout(descriptor, offset));
    }

    /// Answers with the catalogue from the byte `offset` on, as [`answer`](LayoutAnswer::answer)
    /// does. The topics are those of the last request for its start: the pieces fit together.
    pub(crate) fn answer_catalogue(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        topics: impl FnOnce() -> Vec<CatalogueEntry>,
        offset: u32,
    ) {
        if offset == 0 || self.catalogue.is_empty() {
            self.catalogue = CatalogueEntry::to_bytes(&topics());
        }
        self.try_answer(now, link, Pending::Catalogue(offset));
    }

    /// Tries again to send the answer.
    pub(crate) fn retry(&mut self, now: Duration, link: &mut NodeLink<'_>) {
        if let Some(pending) = self.pending {
            self.try_answer(now, link, pending);
        }
    }

    fn try_answer(&mut self, now: Duration, link: &mut NodeLink<'_>, pending: Pending) {
        let answered = match pending {
            Pending::Layout(descriptor, offset) => link.answer(now, descriptor, offset),
            Pending::Catalogue(offset) => link.answer_catalogue(now, &self.catalogue, offset),
        };
        let no_room = matches!(answered, Err(SendError::Room { .. }));
        self.pending = no_room.then_some(pending);
    }
}
