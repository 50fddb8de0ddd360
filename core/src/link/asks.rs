//! What the peer asks of this side: topics, streams that are to go on, and room for more.

use super::control;
use super::control::text;
use super::entries::{ExportEntry, ExportState, PendingResume};
use super::writer::is_open;
use super::{Event, Link, LinkError, ReaderMode};
use crate::descriptor::Digest;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    pub(super) fn on_subscribe<'a>(
        &mut self,
        subscribe: &'a control::Subscribe,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let number = subscribe.subscription.get();
        if self.exports.numbered(number).is_some() || subscribe.type_id.get() == 0 {
            return Err(LinkError::Subscription { number });
        }
        let topic = text(&subscribe.topic)?;
        let (type_id, resumes) = (subscribe.type_id.get(), subscribe.resumes.get());
        let window = subscribe.window.get();
        let export = ExportEntry { number, type_id, window, resumes, state: ExportState::Open };
        let Some(export) = self.exports.put(export) else {
            return Err(LinkError::TooMany { limit: TOPICS });
        };
        let digest = Digest(subscribe.digest);
        let mode = ReaderMode::of(subscribe.mode);
        Ok(Some(Event::Subscribe { export, topic, type_id, digest, mode, resumes }))
    }

    pub(super) fn on_resume<'a>(
        &mut self,
        resume: &control::Resume,
    ) -> Result<Option<Event<'a>>, LinkError> {
        self.peer.known = self.peer.known.saturating_sub(1);
        let number = resume.subscription.get();
        let Some((export, entry)) =
            self.exports.numbered(number).filter(|(_, entry)| entry.resumes > 0)
        else {
            return Err(LinkError::Subscription { number });
        };
        entry.resumes -= 1;
        let (state, over) = (entry.state, entry.resumes == 0);
        if !is_open(state) {
            // The rest of a question that was answered at its beginning.
            if over && state == ExportState::Rejected {
                self.exports.remove(export);
            }
            return Ok(None);
        }
        let (epoch, next) = (resume.epoch.get(), resume.next.get());
        if next == u64::MAX {
            return Err(LinkError::Sequence { stream: 0, expected: next - 1, found: next });
        }
        if self.resumed.find(|known| known.export == export && known.epoch == epoch).is_some() {
            return Err(LinkError::SecondStream { number: 0 });
        }
        let resumed = PendingResume { export, epoch };
        if self.resumed.put(resumed).is_none() {
            return Err(LinkError::TooMany { limit: STREAMS });
        }
        Ok(Some(Event::Resume { export, epoch, next }))
    }

    pub(super) fn on_unsubscribe<'a>(
        &mut self,
        number: u32,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let Some((export, entry)) = self.exports.numbered(number) else {
            // It was rejected while this was on its way, and is answered as the others are.
            let state = ExportState::LeaveDue;
            let export = ExportEntry { number, type_id: 0, window: 0, resumes: 0, state };
            return match self.exports.put(export) {
                Some(_) => Ok(None),
                None => Err(LinkError::TooMany { limit: TOPICS }),
            };
        };
        // A rejection that has not gone out yet says enough.
        let told = is_open(entry.state);
        entry.state = ExportState::LeaveDue;
        // The peer discards what comes of this topic's streams. A run of a topic that this side rejected it takes.
        let Link { out, outgoing, .. } = self;
        out.discard_run(|stream| outgoing.get(stream).is_ok_and(|stream| stream.export == export));
        self.forget_export(export);
        Ok(told.then_some(Event::Unsubscribe { export }))
    }

    pub(super) fn on_demand<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        match self.outgoing.numbered(number) {
            Some((stream, _)) => Ok(Some(Event::Demand { stream })),
            None => self.unknown_stream(number),
        }
    }

    /// The peer speaks of a stream that is not there. If its number was given on this connection, it ended, or the topic was
    /// left, while that was on its way.
    #[cold]
    fn unknown_stream<'a>(&self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        if number > self.last_number_before && number <= self.last_number {
            return Ok(None);
        }
        Err(LinkError::Stream { number })
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
        // Messages of a run that are not out are sent, and cannot have arrived.
        let out = self.out.first_untransmitted(id).unwrap_or(stream.next);
        if confirmed < stream.confirmed || confirmed > out || granted < stream.granted {
            return Err(LinkError::Window { stream: number });
        }
        (stream.confirmed, stream.granted) = (confirmed, granted);
        if stream.ended && confirmed == stream.next {
            self.outgoing.remove(id);
        }
        Ok(Some(Event::Window { stream: id, confirmed }))
    }
}
