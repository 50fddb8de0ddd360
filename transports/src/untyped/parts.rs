//! The traffic of a link over which several topics are read: a [`Session`] for each of them.

use std::task::Context;
use std::time::Duration;

use mycelium_core::FrameView;
use mycelium_core::descriptor::Digest;
use mycelium_core::link::{CloseReason, Event, IncomingId, InterestId, RejectReason};

use super::UntypedError;
use super::session::Session;
use crate::stream::{NodeLink, STREAMS, TOPICS, Traffic};

/// The sessions of a link.
pub(super) struct Parts {
    pub(super) sessions: Vec<Session>,
    /// The session of each stream, by the place in its id.
    owners: Vec<usize>,
}

impl Parts {
    pub(super) fn new(sessions: Vec<Session>) -> Parts {
        Parts { sessions, owners: Vec::new() }
    }

    /// Whether publishers wait for the readers.
    pub(super) fn gates(&self) -> bool {
        self.sessions.iter().any(Session::gates)
    }

    /// Whether everything that was needed has arrived, or all readers have left.
    pub(super) fn is_over(&self) -> bool {
        self.sessions.iter().all(|session| session.is_done() || session.has_left())
    }

    /// Whether a topic was accepted at least once.
    pub(super) fn has_read(&self) -> bool {
        self.sessions.iter().any(|session| session.has_read)
    }

    /// Whether messages have arrived since the last call.
    pub(super) fn take_received(&mut self) -> bool {
        let received = self.sessions.iter_mut().map(|it| std::mem::take(&mut it.has_received));
        received.fold(false, |any, has_received| any | has_received)
    }

    /// Passes the arrived items to the readers, and returns why reading has ended, if it has.
    pub(super) fn pass(&mut self) -> Option<UntypedError> {
        self.sessions.iter_mut().for_each(Session::pass);
        self.sessions.iter_mut().find_map(|session| session.error.take())
    }

    /// Handles the end of the connection.
    pub(super) fn disconnected(&mut self, link: &mut NodeLink<'_>, reason: &str) {
        for session in &mut self.sessions {
            session.disconnected(link, reason.to_owned());
        }
    }

    fn of_stream(&mut self, stream: IncomingId) -> Option<&mut Session> {
        let owner = self.owners.get(stream.place()).copied()?;
        self.sessions.get_mut(owner)
    }

    fn of_interest(&mut self, interest: InterestId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.has_interest(interest))
    }

    /// Passes the catalogue of the peer, once it has arrived, to the sessions that lack it.
    fn share_catalogue(&mut self) {
        let known = self.sessions.iter().find_map(Session::catalogue);
        if let Some(catalogue) = known.map(|(_, catalogue)| catalogue.clone()) {
            self.sessions.iter_mut().for_each(|session| session.set_catalogue(&catalogue));
        }
    }

    /// Notes whose stream this is.
    fn own(&mut self, stream: IncomingId, interest: InterestId) {
        let owner = self.sessions.iter().position(|session| session.has_interest(interest));
        // The list is as long as the highest place so far needs.
        if self.owners.len() <= stream.place() {
            self.owners.resize(stream.place() + 1, usize::MAX);
        }
        self.owners[stream.place()] = owner.unwrap_or(usize::MAX);
    }
}

impl Traffic<TOPICS, STREAMS> for Parts {
    fn message(&mut self, id: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        self.of_stream(id).map_or(Ok(()), |session| session.message(id, &frame))
    }

    fn on_event(&mut self, now: Duration, link: &mut NodeLink<'_>, event: Event<'_>) {
        let session = match &event {
            Event::Up { node, .. } => {
                return self.sessions.iter_mut().for_each(|session| session.up(now, link, node));
            }
            Event::Described { .. } => self.sessions.iter_mut().find(|it| it.is_asking()),
            Event::Stream { stream, interest, .. } => {
                self.own(*stream, *interest);
                self.of_interest(*interest)
            }
            Event::Accepted { interest }
            | Event::Rejected { interest, .. }
            | Event::Retained { interest, .. } => self.of_interest(*interest),
            Event::Fragment { stream, .. }
            | Event::Run { stream, .. }
            | Event::Gap { stream, .. }
            | Event::End { stream, .. }
            | Event::Gone { stream } => self.of_stream(*stream),
            // This side has no topics whose layout it could send.
            Event::Describe { offset, .. } => {
                _ = link.answer(now, None, *offset);
                return;
            }
            Event::Subscribe { export, .. } => {
                _ = link.reject(*export, RejectReason::Unknown, Digest([0; 16]));
                return;
            }
            _ => return,
        };
        let is_answer = matches!(event, Event::Described { .. });
        if let Some(session) = session {
            session.on_event(now, link, event);
        }
        if is_answer {
            self.share_catalogue();
        }
    }

    fn send(&mut self, now: Duration, link: &mut NodeLink<'_>, context: &mut Context<'_>) {
        if self.sessions.iter().all(Session::has_left) {
            let sessions = self.sessions.iter();
            let taken = sessions.map(|session| session.confirm(now, link, context.waker()));
            let reason = match taken.fold(false, |any, taken| any | taken.may_return) {
                // The reader may have taken messages that stay at publishers.
                true => CloseReason::Aborted,
                false => CloseReason::Shutdown,
            };
            return link.close(now, reason);
        }
        // One after the other asks the peer, which answers one request at a time.
        let mut may_ask = true;
        for session in &mut self.sessions {
            let wants = session.wants_to_ask();
            if wants && may_ask {
                session.ask(now, link);
            }
            may_ask &= !wants;
            session.send(now, link, context);
        }
    }
}
