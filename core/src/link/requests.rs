//! Received frames of a subscriber: subscriptions, streams to resume, demand, credit and
//! confirmations.

use super::Link;
use super::control::{Resume, Subscribe, text};
use super::error::LinkError;
use super::event::Event;
use super::interest::{ReaderMode, ReaderStart};
use super::streams::OutgoingState;
use super::topics::{ExportEntry, ExportState, PendingResume};
use crate::descriptor::Digest;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    pub(super) fn on_subscribe<'a>(
        &mut self,
        subscribe: &'a Subscribe,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let number = subscribe.subscription.get();
        if self.exports.numbered(number).is_some() || subscribe.type_id.get() == 0 {
            return Err(LinkError::Subscription { number });
        }
        let topic = text(&subscribe.topic)?;
        let (type_id, resumes) = (subscribe.type_id.get(), subscribe.resumes.get());
        let (window, state) = (subscribe.window.get(), ExportState::Undecided);
        let entry = ExportEntry { number, type_id, window, resumes, state };
        let export = self.exports.insert(entry).ok_or(LinkError::TooMany { limit: TOPICS })?;
        let digest = Digest(subscribe.digest);
        let (mode, start) = (ReaderMode::of(subscribe.mode), ReaderStart::of(subscribe.start));
        Ok(Some(Event::Subscribe { export, topic, type_id, digest, mode, start, resumes }))
    }

    pub(super) fn on_resume<'a>(
        &mut self,
        resume: &Resume,
    ) -> Result<Option<Event<'a>>, LinkError> {
        self.peer.known = self.peer.known.saturating_sub(1);
        let number = resume.subscription.get();
        let found = self.exports.numbered(number).filter(|(_, entry)| entry.resumes > 0);
        let (export, entry) = found.ok_or(LinkError::Subscription { number })?;
        entry.resumes -= 1;
        if !entry.is_open() {
            // The subscription was answered before all its resumes arrived.
            if entry.resumes == 0 && entry.state == ExportState::Rejected {
                self.exports.remove(export);
            }
            return Ok(None);
        }
        let (epoch, next) = (resume.epoch.get(), resume.next.get());
        if next == u64::MAX {
            return Err(LinkError::Sequence { stream: 0, expected: next - 1, found: next });
        }
        if self.resumes.find(|known| known.export == export && known.epoch == epoch).is_some() {
            return Err(LinkError::SecondStream { number: 0 });
        }
        let pending = PendingResume { export, epoch };
        self.resumes.insert(pending).ok_or(LinkError::TooMany { limit: STREAMS })?;
        let has_moved = resume.moved.get() == 1;
        Ok(Some(Event::Resume { export, epoch, next, has_moved }))
    }

    pub(super) fn on_unsubscribe<'a>(
        &mut self,
        number: u32,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let Some((export, entry)) = self.exports.numbered(number) else {
            // A reject crossed this frame. Answer with left all the same.
            let state = ExportState::LeftDue;
            let entry = ExportEntry { number, type_id: 0, window: 0, resumes: 0, state };
            return match self.exports.insert(entry) {
                Some(_) => Ok(None),
                None => Err(LinkError::TooMany { limit: TOPICS }),
            };
        };
        // If a reject is due, the caller knows that the export is over.
        let was_open = entry.is_open();
        entry.state = ExportState::LeftDue;
        // The peer discards messages of this topic, but it still accepts runs of a rejected topic.
        let Link { out, outgoing, .. } = self;
        out.discard_run(|stream| outgoing.get(stream).is_ok_and(|stream| stream.export == export));
        self.forget_streams(export);
        Ok(was_open.then_some(Event::Unsubscribe { export }))
    }

    pub(super) fn on_demand<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        match self.outgoing.numbered(number) {
            Some((stream, _)) => Ok(Some(Event::Demand { stream })),
            None => self.unknown_stream(number),
        }
    }

    pub(super) fn on_window<'a>(
        &mut self,
        number: u32,
        confirmed: u64,
        granted: u64,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let Some((id, stream)) = self.outgoing.numbered(number) else {
            return self.unknown_stream(number);
        };
        // Messages of a run count as sent, but those not transmitted cannot have arrived.
        let transmitted = self.out.first_untransmitted(id).unwrap_or(stream.next);
        if confirmed < stream.confirmed || confirmed > transmitted || granted < stream.granted {
            return Err(LinkError::Window { stream: number });
        }
        (stream.confirmed, stream.granted) = (confirmed, granted);
        if stream.state == OutgoingState::Ended && confirmed == stream.next {
            self.outgoing.remove(id);
        }
        Ok(Some(Event::Window { stream: id, confirmed }))
    }

    /// A frame about a stream that does not exist. It is valid if the stream's number was used on
    /// this connection: the stream ended, or its topic was unsubscribed, while the frame was on its
    /// way.
    #[cold]
    fn unknown_stream<'a>(&self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        if number > self.last_number_before && number <= self.last_number {
            return Ok(None);
        }
        Err(LinkError::Stream { number })
    }
}
