//! What the peer asks of this side: topics, streams that are to go on, and room for more.

use super::control;
use super::control::text;
use super::entries::{Resumed, Serve, ServeState};
use super::writer::is_open;
use super::{Event, Link, LinkError, Mode};
use crate::descriptor::Digest;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    pub(super) fn subscribe<'a>(
        &mut self,
        subscribe: &'a control::Subscribe,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let number = subscribe.subscription.get();
        if self.serves.numbered(number).is_some() || subscribe.type_id.get() == 0 {
            return Err(LinkError::Subscription { number });
        }
        let topic = text(&subscribe.topic)?;
        let (type_id, resumes) = (subscribe.type_id.get(), subscribe.resumes.get());
        let window = subscribe.window.get();
        let serve = Serve { number, type_id, window, resumes, state: ServeState::Open };
        let Some(serve) = self.serves.put(serve) else {
            return Err(LinkError::Many { limit: TOPICS });
        };
        let digest = Digest(subscribe.digest);
        let mode = Mode::of(subscribe.mode);
        Ok(Some(Event::Wanted { serve, topic, type_id, digest, mode, resumes }))
    }

    pub(super) fn resume<'a>(
        &mut self,
        resume: &control::Resume,
    ) -> Result<Option<Event<'a>>, LinkError> {
        self.peer.known = self.peer.known.saturating_sub(1);
        let number = resume.subscription.get();
        let Some((serve, entry)) =
            self.serves.numbered(number).filter(|(_, entry)| entry.resumes > 0)
        else {
            return Err(LinkError::Subscription { number });
        };
        entry.resumes -= 1;
        let (state, over) = (entry.state, entry.resumes == 0);
        if !is_open(state) {
            // The rest of a question that was answered at its beginning.
            if over && state == ServeState::Rejected {
                self.serves.remove(serve);
            }
            return Ok(None);
        }
        let (epoch, next) = (resume.epoch.get(), resume.next.get());
        if next == u64::MAX {
            return Err(LinkError::Sequence { stream: 0, expected: next - 1, found: next });
        }
        if self.resumed.find(|known| known.serve == serve && known.epoch == epoch).is_some() {
            return Err(LinkError::SecondStream { number: 0 });
        }
        let resumed = Resumed { serve, epoch };
        if self.resumed.put(resumed).is_none() {
            return Err(LinkError::Many { limit: STREAMS });
        }
        Ok(Some(Event::Resume { serve, epoch, next }))
    }

    pub(super) fn unsubscribe<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        let Some((serve, entry)) = self.serves.numbered(number) else {
            // It was rejected while this was on its way, and is answered as the others are.
            let state = ServeState::LeaveDue;
            let serve = Serve { number, type_id: 0, window: 0, resumes: 0, state };
            return match self.serves.put(serve) {
                Some(_) => Ok(None),
                None => Err(LinkError::Many { limit: TOPICS }),
            };
        };
        // A rejection that has not gone out yet says enough.
        let told = is_open(entry.state);
        entry.state = ServeState::LeaveDue;
        // The peer discards what comes of this topic's streams. A run of a topic that this side rejected it takes.
        let Link { out, outgoing, .. } = self;
        out.void_run(|stream| outgoing.get(stream).is_ok_and(|stream| stream.serve == serve));
        self.forget_serve(serve);
        Ok(told.then_some(Event::Unwanted { serve }))
    }

    pub(super) fn asks<'a>(&mut self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        match self.outgoing.numbered(number) {
            Some((stream, _)) => Ok(Some(Event::Asks { stream })),
            None => self.not_there(number),
        }
    }

    /// The peer speaks of a stream that is not there. If its number was given on this connection, it ended, or the topic was
    /// left, while that was on its way.
    #[cold]
    fn not_there<'a>(&self, number: u32) -> Result<Option<Event<'a>>, LinkError> {
        if number > self.numbers_before && number <= self.numbers {
            return Ok(None);
        }
        Err(LinkError::Stream { number })
    }

    pub(super) fn window<'a>(
        &mut self,
        number: u32,
        taken: u64,
        granted: u64,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let Some((id, stream)) = self.outgoing.numbered(number) else {
            return self.not_there(number);
        };
        // Messages of a run that are not out are sent, and cannot have arrived.
        let out = self.out.not_out(id).unwrap_or(stream.next);
        if taken < stream.taken || taken > out || granted < stream.granted {
            return Err(LinkError::Window { stream: number });
        }
        (stream.taken, stream.granted) = (taken, granted);
        if stream.ended && taken == stream.next {
            self.outgoing.remove(id);
        }
        Ok(Some(Event::Window { stream: id, taken }))
    }
}
