//! Output to the peer and its timing: batches, due control frames, keep-alive and the close frame.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes};

use super::config::{Batching, Config, ConfigError, Interest, Unit};
use super::control::{
    self, Accept, CLOSE_RESERVE, Close, FEATURES, Features, Left, MAX_CONTROL, MEMORY, Name, Ping,
    Pong, Reject, Resume, Subscribe, Unsubscribe, Window,
};
use super::error::{CloseReason, LinkError, SendError};
use super::event::Transmit;
use super::streams::{ExportState, Incoming, InterestState};
use super::tables::Id;
use super::{Link, LinkPhase};
use crate::frame::HEADER_LEN;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Makes the batch due at once. Call it when there is nothing more to send for now.
    pub fn flush(&mut self) {
        self.out.flush();
    }

    /// Returns whether to write the batch before sending more: it is full or flushed, and none of
    /// it is written. A partly written batch may still grow.
    #[must_use]
    #[inline]
    pub fn is_due(&self) -> bool {
        self.out.is_due()
    }

    /// Returns the limits at which a batch is sent.
    #[must_use]
    pub fn batching(&self) -> Batching {
        self.out.batching
    }

    /// Changes the limits at which a batch is sent.
    pub fn set_batching(&mut self, batching: Batching) {
        self.out.batching = batching;
    }

    /// Changes [`Config::keep_alive`] and [`Config::silence`].
    ///
    /// # Errors
    /// As [`Config::check`]. The settings are unchanged then.
    pub fn set_times(
        &mut self,
        keep_alive: Duration,
        silence: Duration,
    ) -> Result<(), ConfigError> {
        let config = Config { keep_alive, silence, ..self.config };
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Returns the bytes to write now, if any. Before bytes of a [run](Link::send_run) it returns
    /// only the bytes in front of them, maybe none: use [`poll_vectored`](Link::poll_vectored) for
    /// runs.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<&[u8]> {
        self.poll_vectored(now).map(|transmit| transmit.bytes)
    }

    /// Returns the bytes to write now, if any, for callers that send runs. The caller may write any
    /// part of them before it calls [`transmitted`](Link::transmitted).
    pub fn poll_vectored(&mut self, now: Duration) -> Option<Transmit<'_>> {
        self.queue_due(now);
        self.out.due(now)
    }

    /// Records that `count` bytes from [`poll_transmit`](Link::poll_transmit) or
    /// [`poll_vectored`](Link::poll_vectored) were written on this connection.
    pub fn transmitted(&mut self, now: Duration, count: usize) {
        if self.out.sent(count) > 0 {
            self.last_sent = now;
        }
    }

    /// Returns when to call [`handle_timeout`](Link::handle_timeout) and then
    /// [`poll_transmit`](Link::poll_transmit).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let alive = match self.phase {
            LinkPhase::Down | LinkPhase::Over(_) => None,
            LinkPhase::Handshake(deadline) => Some(deadline),
            LinkPhase::Up => {
                let silent = self.last_received.saturating_add(self.config.silence);
                Some(silent.min(self.last_sent.saturating_add(self.config.keep_alive)))
            }
        };
        // A confirmation that has no room waits for the connection, not for time.
        let room = self.out.room() >= CLOSE_RESERVE + MAX_CONTROL;
        let confirm = self.confirm_at.filter(|_| room && self.is_up());
        alive.into_iter().chain(self.out.deadline()).chain(confirm).min()
    }

    /// Queues a ping, or ends the link, if the time for it has come.
    ///
    /// # Errors
    /// If the peer's hello is late, or the peer has sent nothing for too long. The link has ended
    /// then.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), LinkError> {
        match self.phase {
            LinkPhase::Handshake(deadline) if now >= deadline => {
                let error = LinkError::Handshake { deadline: self.config.handshake };
                Err(self.finish(now, error, CloseReason::Timeout))
            }
            LinkPhase::Up if now >= self.last_received.saturating_add(self.config.silence) => {
                let error = LinkError::Silent { limit: self.config.silence };
                Err(self.finish(now, error, CloseReason::Timeout))
            }
            LinkPhase::Up => {
                if now >= self.last_sent.saturating_add(self.config.keep_alive) {
                    // Other bytes that wait to be written also show that this side is alive, so no
                    // ping is needed.
                    if self.out.is_empty() {
                        self.out.queue_control(now, 0, 0, &Ping::new([0; 6], 0));
                    }
                    self.out.flush();
                    self.last_sent = now;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Queues due control frames as far as there is room. Runs before each write, so it is cheap if
    /// none can be due.
    #[inline]
    pub(super) fn queue_due(&mut self, now: Duration) {
        let streams = self.streams_changed || self.confirm_at.is_some_and(|at| now >= at);
        if (self.topics_changed || streams || self.stalled) && self.is_up() {
            self.queue_due_slow(now);
        }
    }

    fn queue_due_slow(&mut self, now: Duration) {
        let stalled = core::mem::take(&mut self.stalled);
        self.stalled |= !self.queue_features(now);
        if let Some(token) = self.pong {
            let queued = self.out.queue_control(now, 0, 0, &Pong::new([0; 6], token));
            self.pong = self.pong.filter(|_| !queued);
            self.stalled |= !queued;
        }
        if core::mem::take(&mut self.topics_changed) || stalled {
            // Unsubscribe first, so that no topic has two subscriptions at once.
            for unsubscribe in [true, false] {
                for place in 0..TOPICS {
                    self.stalled |= !self.queue_interest(now, place, unsubscribe);
                }
            }
            for place in 0..TOPICS {
                self.stalled |= !self.queue_export(now, place);
            }
        }
        let confirm = self.config.confirm;
        self.queue_windows(now, |stream| stream.is_due(now, confirm));
    }

    /// Queues window frames, which grant credit and confirm.
    fn queue_windows(&mut self, now: Duration, is_due: impl Fn(&Incoming) -> bool) {
        let Link { incoming, out, stalled, confirmations, .. } = self;
        for (_, stream) in incoming.iter_mut() {
            let Some(remote) = stream.remote.filter(|_| is_due(stream)) else { continue };
            let window = Window::new([0; 6], stream.granted);
            if stream.has_ended() && stream.next == stream.confirmed_sent
                || out.queue_control(now, remote, stream.confirmed, &window)
            {
                stream.granted_sent = stream.granted;
                if stream.confirmed_sent != stream.confirmed {
                    *confirmations += 1;
                    stream.last_confirmation = *confirmations;
                }
                stream.confirmed_sent = stream.confirmed;
                stream.unconfirmed = None;
                if stream.has_ended() && stream.confirmed == stream.next {
                    stream.finish();
                }
            } else {
                *stalled = true;
            }
        }
        let live = incoming.iter().filter(|(_, stream)| stream.remote.is_some());
        let oldest = live.filter_map(|(_, stream)| stream.unconfirmed).min();
        self.confirm_at = oldest.map(|since| since.saturating_add(self.config.confirm));
        self.streams_changed = false;
    }

    /// Queues the due frames of an interest: with `unsubscribe`, if an unsubscribe frame is due,
    /// and without it, if none is due. Returns `false` if a frame had no room.
    fn queue_interest(&mut self, now: Duration, place: usize, unsubscribe: bool) -> bool {
        let Some((_, interest)) = self.interests.at(place) else { return true };
        if interest.is_unsubscribe_due() != unsubscribe {
            return true;
        }
        if interest.is_due() {
            // If the peer has no room for another subscription, this one waits.
            let sent = self.interests.iter().filter(|(_, interest)| !interest.is_due());
            if sent.count() >= self.peer.topics {
                return true;
            }
        }
        let Link { interests, incoming, out, .. } = self;
        let Some((id, interest)) = interests.at(place) else { return true };
        if interest.is_due() {
            let resumes = incoming.iter().filter(|(_, stream)| stream.interest == id).count();
            let needed = 2 * MAX_CONTROL + resumes * (HEADER_LEN + size_of::<Resume>());
            if out.room() < CLOSE_RESERVE + needed {
                return false;
            }
            let number = id.number();
            let Interest { topic, type_id, digest, mode, start, window, unit } = interest.interest;
            if unit != Unit::MESSAGE {
                out.queue_control(now, 0, 0, &control::Unit::new(unit.bits(), number));
            }
            let resumes = resumes as u16; // at most `STREAMS`
            let (mode, start) = (mode as u8, start as u8);
            let subscribe =
                Subscribe::new(type_id, number, digest.0, mode, start, resumes, window, topic);
            out.queue_control(now, 0, 0, &subscribe);
            for (_, stream) in incoming.iter().filter(|(_, stream)| stream.interest == id) {
                let moved = u16::from(stream.in_memory);
                out.queue_control(
                    now,
                    0,
                    0,
                    &Resume::new(moved, number, stream.epoch, stream.next),
                );
            }
            interest.state =
                if unsubscribe { InterestState::UnsubscribeDue } else { InterestState::Subscribed };
        }
        if interest.state == InterestState::UnsubscribeDue {
            if !out.queue_control(now, 0, 0, &Unsubscribe::new(0, id.number())) {
                return false;
            }
            interest.state = InterestState::Unsubscribing;
        }
        true
    }

    /// Queues the due frame of an export. Returns `false` if there is no room.
    fn queue_export(&mut self, now: Duration, place: usize) -> bool {
        let Link { exports, out, .. } = self;
        let Some((id, export)) = exports.at(place) else { return true };
        let number = id.number();
        let queued = match export.state {
            ExportState::AcceptDue => out.queue_control(now, 0, 0, &Accept::new(0, number)),
            ExportState::RejectDue(reason, digest) => {
                out.queue_control(now, 0, 0, &Reject::new(reason.code(), number, digest.0))
            }
            ExportState::LeftDue => out.queue_control(now, 0, 0, &Left::new(0, number)),
            ExportState::Undecided | ExportState::Accepted | ExportState::Rejected => return true,
        };
        if queued && export.state == ExportState::AcceptDue {
            export.state = ExportState::Accepted;
        } else if queued {
            export.state = ExportState::Rejected;
            if export.resumes == 0 {
                exports.remove(id);
            }
        }
        queued
    }

    /// Queues the features frame. It must be the first after the hello, because later frames may
    /// depend on it. Returns `false` if there is no room.
    fn queue_features(&mut self, now: Duration) -> bool {
        if self.features_due {
            let features = FEATURES | if self.config.memory { MEMORY } else { 0 };
            self.features_due = !self.out.queue_control(now, 0, 0, &Features::new(0, features));
        }
        !self.features_due
    }

    /// Queues a control frame that the caller requested, and flushes.
    pub(super) fn send_control(
        &mut self,
        now: Duration,
        stream: u32,
        sequence: u64,
        frame: &(impl IntoBytes + Immutable),
    ) -> Result<(), SendError> {
        if self.phase != LinkPhase::Up {
            return Err(SendError::Down);
        }
        if self.queue_features(now) && self.out.queue_control(now, stream, sequence, frame) {
            return Ok(());
        }
        Err(SendError::Room { needed: MAX_CONTROL, capacity: self.out.capacity() })
    }

    /// Ends the link: queues the last confirmations and the reason for the peer.
    pub(super) fn finish(
        &mut self,
        now: Duration,
        error: LinkError,
        reason: CloseReason,
    ) -> LinkError {
        if matches!(self.phase, LinkPhase::Handshake(_) | LinkPhase::Up) {
            self.queue_windows(now, |stream| stream.confirmed != stream.confirmed_sent);
            let close = Close::new(reason.code(), 0, Name::new());
            self.out.append_control(now, 0, 0, &close, 0);
            self.phase = LinkPhase::Over(error);
        }
        error
    }
}
