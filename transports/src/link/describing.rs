//! Requests the layout of a topic from a peer if it differs from the layout here, and answers such
//! requests. A reader whose messages have [grown](Growth) then subscribes with the peer's layout.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::descriptor::{Descriptor, Digest};
use mycelium_core::link::{Name, SendError};

use super::growth::Growth;
use super::layout::{CatalogueEntry, Difference, LONGEST_FORM, LayoutMismatch, in_struct};
use crate::layout::Layout;
use crate::local::{Schema, Topic};
use crate::stream::NodeLink;

/// Checks that programs with these messages of one topic can read each other's: the messages are the
/// same, or have grown.
///
/// # Errors
/// The first difference, with the first of the two as here.
pub fn check_readable(here: &Schema, there: &Schema) -> Result<(), Difference> {
    if here == there {
        return Ok(());
    }
    let [of_here, of_there] = [here, there].map(|schema| Layout::of(schema.descriptor));
    let (Ok(of_here), Ok(of_there)) = (of_here, of_there) else {
        let [here, there] = [here, there].map(|schema| schema.name().to_owned());
        return Err(Difference { field: String::new(), here, there });
    };
    let ids = [here, there].map(|schema| format!("`{}` with id {}", schema.name(), schema.id));
    if (here.name(), here.id) != (there.name(), there.id) {
        let [here, there] = ids;
        return Err(Difference { field: String::new(), here, there });
    }
    let first = || in_struct(here.descriptor, &of_there, "");
    let forth = Growth::between(here, &of_there).map_err(|reason| reason.or_else(first));
    let back = Growth::between(there, &of_here).map_err(|reason| {
        let reason = reason.map(|it| Difference { here: it.there, there: it.here, ..it });
        reason.or_else(first)
    });
    match forth.and(back) {
        Ok(_) => Ok(()),
        Err(difference) => Err(difference.unwrap_or_else(|| {
            let [here, there] = ids;
            Difference { field: String::new(), here, there }
        })),
    }
}

/// The time limit for a peer to send a layout.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(5);

/// How a topic whose layout differs can be read, and the layout's digest; or why it cannot.
pub(crate) type Fit = Result<(Growth, Digest), LayoutMismatch>;

/// The topics whose layout differs at the peer. One layout is requested at a time.
#[derive(Default)]
pub(crate) struct LayoutQueries(VecDeque<LayoutQuery>);

struct LayoutQuery {
    topic: Arc<Topic>,
    peer_digest: Digest,
    /// The bytes of the layout that have arrived.
    form: Vec<u8>,
    /// The time to stop waiting; set by the first request.
    deadline: Option<Duration>,
    /// A request was sent and is not answered yet.
    is_requested: bool,
}

impl LayoutQueries {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a topic that the peer has rejected because its layout differs. Does nothing if there is
    /// a query for the topic already, because the peer may reject the topic again meanwhile.
    pub(crate) fn add(&mut self, topic: Arc<Topic>, peer_digest: Digest) {
        if self.0.iter().all(|known| known.topic.name() != topic.name()) {
            let (form, deadline, is_requested) = (Vec::new(), None, false);
            self.0.push_back(LayoutQuery { topic, peer_digest, form, deadline, is_requested });
        }
    }

    /// Requests the next piece of a layout. Returns a mismatch if the peer did not answer in time;
    /// then call this again, for the next topic.
    pub(crate) fn request(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
    ) -> Option<(Arc<Topic>, Fit)> {
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

    /// Takes a piece of a layout that the peer has sent. Returns the result of the comparison if this
    /// was the last piece, or was not the requested one.
    pub(crate) fn on_piece(
        &mut self,
        offset: u32,
        total: u32,
        bytes: &[u8],
    ) -> Option<(Arc<Topic>, Fit)> {
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

    /// Removes the first query, and compares the layouts. Without the peer's whole layout, the
    /// mismatch names no field.
    pub(crate) fn finish(&mut self, is_whole: bool) -> Option<(Arc<Topic>, Fit)> {
        let LayoutQuery { topic, peer_digest, form, .. } = self.0.pop_front()?;
        let (own, form) = (topic.schema(), is_whole.then_some(&*form));
        let is_theirs = |form: &&[u8]| Digest::of_canonical(form) == peer_digest;
        let layout = form.filter(is_theirs).and_then(|form| Layout::parse(form).ok());
        let layout = layout.filter(|_| peer_digest != own.digest);
        let mut mismatch = LayoutMismatch::new(own, peer_digest, form);
        let fit = match layout.map(|layout| Growth::between(own, &layout)) {
            Some(Ok(growth)) => Ok((growth, peer_digest)),
            Some(Err(reason)) => {
                mismatch.first = reason.or(mismatch.first);
                Err(mismatch)
            }
            None => Err(mismatch),
        };
        Some((topic, fit))
    }
}

/// The answer to a peer's request for a layout or the catalogue. It waits here until the send
/// buffer has room for it.
#[derive(Default)]
pub(crate) struct LayoutAnswer {
    pending: Option<Pending>,
    /// The catalogue from which the peer requests pieces.
    catalogue: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Pending {
    Layout(Option<&'static Descriptor>, u32),
    Catalogue(u32),
}

impl LayoutAnswer {
    /// Answers with the layout from the byte `offset` on; `None` if the peer may not know it. Drops
    /// a pending answer, because a peer waits for an answer before its next request. Returns whether
    /// the last piece was sent.
    pub(crate) fn answer(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        descriptor: Option<&'static Descriptor>,
        offset: u32,
    ) -> bool {
        self.try_answer(now, link, Pending::Layout(descriptor, offset))
    }

    /// Answers with the catalogue from the byte `offset` on, as [`answer`](LayoutAnswer::answer)
    /// does. The catalogue is made at a request for its start, so that the pieces fit together.
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

    /// Tries again to send the answer. Returns whether the last piece of a layout was sent.
    pub(crate) fn retry(&mut self, now: Duration, link: &mut NodeLink<'_>) -> bool {
        self.pending.is_some_and(|pending| self.try_answer(now, link, pending))
    }

    fn try_answer(&mut self, now: Duration, link: &mut NodeLink<'_>, pending: Pending) -> bool {
        let answered = match pending {
            Pending::Layout(descriptor, offset) => link.answer(now, descriptor, offset),
            Pending::Catalogue(offset) => {
                link.answer_catalogue(now, &self.catalogue, offset).map(|()| false)
            }
        };
        let no_room = matches!(answered, Err(SendError::Room { .. }));
        self.pending = no_room.then_some(pending);
        answered == Ok(true)
    }
}
