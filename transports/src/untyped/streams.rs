//! The streams of a peer's topic: turns their messages, gaps and ends into items for the reader.

use std::sync::Arc;

use mycelium_core::FrameView;
use mycelium_core::frame::Fragment;
use mycelium_core::link::IncomingId;

use super::queue::{Batch, Item, Source};
use crate::local::GapReason;
use crate::stream::NodeLink;

/// The streams that have begun, and items that were not passed to the reader yet.
#[derive(Default)]
pub(super) struct IncomingStreams {
    /// The streams, by the place of their ids.
    places: Vec<Option<IncomingStream>>,
    pub(super) batch: Batch,
    /// Whether messages are discarded, because the reader takes nothing.
    pub(super) discards: bool,
}

struct IncomingStream {
    id: IncomingId,
    source: Arc<Source>,
    /// The sequence of the next message.
    next: u64,
    /// How many messages before it were discarded, and are not in a gap yet.
    discarded: u64,
    /// How many of the discarded messages have used credit that was not granted again.
    ungranted: u32,
    /// The fragments of a message that have arrived, and when it was sent.
    fragments: Vec<u8>,
    sent_at: Option<u64>,
}

impl IncomingStreams {
    /// Begins or resumes a stream.
    pub(super) fn begin(
        &mut self,
        id: IncomingId,
        source: Source,
        first: u64,
        resumed: Option<u64>,
    ) {
        // The list is as long as the highest place so far, which is less than the number of streams
        // of a link.
        if self.places.len() <= id.place() {
            self.places.resize_with(id.place() + 1, || None);
        }
        let place = &mut self.places[id.place()];
        match place.as_mut().filter(|known| known.id == id) {
            Some(known) => {
                known.skip(&mut self.batch, resumed.unwrap_or(0), GapReason::Disconnected);
                known.next = first;
            }
            None => {
                let source = Arc::new(source);
                self.batch.items.push(Item::Began { source: source.clone(), first });
                *place = Some(IncomingStream {
                    id,
                    source,
                    next: first,
                    discarded: 0,
                    ungranted: 0,
                    fragments: Vec::new(),
                    sent_at: None,
                });
            }
        }
    }

    /// Handles the next message.
    pub(super) fn push(&mut self, id: IncomingId, bytes: &[u8], sent_at: Option<u64>) {
        let discards = self.discards;
        if let Some((stream, batch)) = self.get(id) {
            stream.push(batch, bytes, sent_at, discards);
        }
    }

    /// Handles a part of the next message.
    pub(super) fn push_fragment(
        &mut self,
        id: IncomingId,
        fragment: &Fragment,
        frame: FrameView<'_>,
    ) {
        let discards = self.discards;
        let Some((stream, batch)) = self.get(id) else { return };
        if fragment.offset == 0 {
            stream.fragments.clear();
            stream.sent_at = frame.sent_at();
        }
        stream.fragments.extend_from_slice(frame.payload());
        if stream.fragments.len() >= fragment.total as usize {
            let (bytes, sent_at) = (std::mem::take(&mut stream.fragments), stream.sent_at);
            stream.push(batch, &bytes, sent_at, discards);
        }
    }

    /// Handles missing messages: the next `missed` ones do not arrive.
    pub(super) fn skip(&mut self, id: IncomingId, missed: u64, reason: GapReason) {
        if let Some((stream, batch)) = self.get(id) {
            stream.skip(batch, missed, reason);
        }
    }

    /// Ends a stream, whose publisher has ended after the message before `next`.
    pub(super) fn end(&mut self, id: IncomingId, next: u64) {
        if let Some(mut stream) = self.take(id) {
            stream.report_discarded(&mut self.batch);
            self.batch.items.push(Item::Ended { source: stream.source, next });
        }
    }

    /// Ends a stream as lost: its end does not arrive.
    pub(super) fn lose(&mut self, id: IncomingId) {
        if let Some(stream) = self.take(id) {
            stream.lose(&mut self.batch);
        }
    }

    pub(super) fn lose_all(&mut self) {
        for stream in self.places.drain(..).flatten() {
            stream.lose(&mut self.batch);
        }
    }

    /// Handles the end of the connection. The link forgets a stream at the last sequence.
    pub(super) fn disconnected(&mut self) {
        for place in &mut self.places {
            if let Some(stream) = place.take_if(|stream| stream.next == u64::MAX) {
                stream.lose(&mut self.batch);
            }
        }
    }

    /// Forgets all streams, and does not tell the reader.
    pub(super) fn forget_all(&mut self) {
        self.places.clear();
    }

    /// Grants the credit of discarded messages, and reports these as gaps once messages are taken
    /// again.
    pub(super) fn grant_discarded(&mut self, link: &mut NodeLink<'_>) {
        for stream in self.places.iter_mut().flatten() {
            if !self.discards {
                stream.report_discarded(&mut self.batch);
            }
            _ = link.grant(stream.id, std::mem::take(&mut stream.ungranted));
        }
    }

    /// Grants the whole window of each stream.
    pub(super) fn grant_all(&self, link: &mut NodeLink<'_>) {
        for stream in self.places.iter().flatten() {
            _ = link.grant(stream.id, u32::MAX);
        }
    }

    /// Returns the publisher of a stream; empty if there is no such stream.
    pub(super) fn publisher(&mut self, id: IncomingId) -> String {
        self.get(id).map(|(stream, _)| stream.source.publisher.to_string()).unwrap_or_default()
    }

    fn get(&mut self, id: IncomingId) -> Option<(&mut IncomingStream, &mut Batch)> {
        let place = self.places.get_mut(id.place())?;
        let stream = place.as_mut().filter(|stream| stream.id == id)?;
        Some((stream, &mut self.batch))
    }

    fn take(&mut self, id: IncomingId) -> Option<IncomingStream> {
        self.places.get_mut(id.place())?.take_if(|stream| stream.id == id)
    }
}

impl IncomingStream {
    /// Skips the next `missed` messages, which do not arrive.
    fn skip(&mut self, batch: &mut Batch, missed: u64, reason: GapReason) {
        self.fragments.clear();
        if reason == GapReason::Overwritten && self.discarded > 0 {
            // Missed messages count as discarded, too, because they are missing for the same
            // reason, a slow reader.
            self.discarded = self.discarded.saturating_add(missed);
            self.next = self.next.saturating_add(missed);
            return;
        }
        self.report_discarded(batch);
        self.next = self.next.saturating_add(missed);
        if missed > 0 {
            let (source, next) = (self.source.clone(), self.next);
            batch.items.push(Item::Gap { source, next, missed, reason });
        }
    }

    /// Takes a message, or discards it.
    fn push(&mut self, batch: &mut Batch, bytes: &[u8], sent_at: Option<u64>, discards: bool) {
        if discards {
            self.discarded = self.discarded.saturating_add(1);
            self.ungranted = self.ungranted.saturating_add(1);
        } else {
            self.report_discarded(batch);
            batch.push(self.id, (&self.source, self.next), bytes, sent_at);
        }
        self.next = self.next.saturating_add(1);
    }

    /// Reports the discarded messages as a gap.
    fn report_discarded(&mut self, batch: &mut Batch) {
        let missed = std::mem::take(&mut self.discarded);
        if missed > 0 {
            let (source, next, reason) = (self.source.clone(), self.next, GapReason::Overwritten);
            batch.items.push(Item::Gap { source, next, missed, reason });
        }
    }

    /// Ends the stream as lost.
    fn lose(mut self, batch: &mut Batch) {
        self.report_discarded(batch);
        batch.items.push(Item::Lost { source: self.source, next: self.next });
    }
}
