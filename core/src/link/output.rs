//! What goes to the peer and when: messages, what is to be said of topics and streams, and signs of life.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes};

use super::config::{Batching, Config, ConfigError};
use super::control::{
    Accept, Close, FEATURES, Features, Left, Name, Ping, Pong, Reject, Resume, Subscribe,
    Unsubscribe, Window,
};
use super::entries::{ExportState, Incoming, InterestEntry, InterestState};
use super::outbox::Outbox;
use super::{CLOSE_RESERVE, CloseReason, Link, LinkError, MAX_CONTROL, Phase, SendError};
use crate::envelope::Envelope;
use crate::frame::{HEADER_LEN, frame_len, write_frame};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// The sender has nothing more to send for now: what it sent goes at once.
    pub fn flush(&mut self) {
        self.out.flush();
    }

    /// Whether a batch had better be written before more is sent: it is full or hurried, and none of it is out. What the
    /// connection does not take at once may be added to.
    #[must_use]
    #[inline]
    pub fn is_due(&self) -> bool {
        self.out.is_due()
    }

    /// From now on batches are closed so.
    pub fn set_batching(&mut self, batching: Batching) {
        self.out.batching = batching;
    }

    /// From now on the peer is told so often that this side lives, and may itself be silent for so long.
    ///
    /// # Errors
    /// As for [`Config`]; the settings are as they were then.
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

    /// The bytes that are to be written now, if any. Where a [run](Link::send_run) comes next, these are the bytes before
    /// it, which may be none: see [`poll_vectored`](Link::poll_vectored).
    pub fn poll_transmit(&mut self, now: Duration) -> Option<&[u8]> {
        self.poll_vectored(now).map(|parts| parts.bytes)
    }

    /// Reports that `count` bytes are written of those that [`poll_transmit`](Link::poll_transmit)
    /// or [`poll_vectored`](Link::poll_vectored) returned on this connection.
    pub fn transmitted(&mut self, now: Duration, count: usize) {
        if self.out.sent(count) > 0 {
            self.last_sent = now;
        }
    }

    /// When [`handle_timeout`](Link::handle_timeout) is to be called, and [`poll_transmit`](Link::poll_transmit) after
    /// it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let alive = match self.phase {
            Phase::Down | Phase::Over(_) => None,
            Phase::Greeting(deadline) => Some(deadline),
            Phase::Up => {
                let silent = self.last_received.saturating_add(self.config.silence);
                Some(silent.min(self.last_sent.saturating_add(self.config.keep_alive)))
            }
        };
        // Without room for it, it waits for the connection and not for the time.
        let room = self.out.room() >= CLOSE_RESERVE + MAX_CONTROL;
        let confirm = self.confirm_at.filter(|_| room && self.is_up());
        alive.into_iter().chain(self.out.deadline()).chain(confirm).min()
    }

    /// Time has passed.
    ///
    /// # Errors
    /// If the peer did not say in time who it is, or has been silent for too long. The link has ended then.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), LinkError> {
        match self.phase {
            Phase::Greeting(deadline) if now >= deadline => {
                let error = LinkError::Handshake { deadline: self.config.handshake };
                Err(self.finish(now, error, CloseReason::Timeout))
            }
            Phase::Up if now >= self.last_received.saturating_add(self.config.silence) => {
                let error = LinkError::Silent { limit: self.config.silence };
                Err(self.finish(now, error, CloseReason::Timeout))
            }
            Phase::Up => {
                // Bytes that wait for the peer are a sign of life, if they ever get there.
                if now >= self.last_sent.saturating_add(self.config.keep_alive) {
                    if self.out.is_empty() {
                        self.queue_control(now, 0, 0, &Ping::new([0; 6], 0));
                    }
                    self.out.flush();
                    self.last_sent = now;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Puts what is to be said into the buffer, as far as there is room. It costs next to nothing where nothing can be due:
    /// it comes before each write.
    #[inline]
    pub(super) fn queue_due(&mut self, now: Duration) {
        let streams = self.streams_changed || self.confirm_at.is_some_and(|at| now >= at);
        if (self.topics_changed || streams || self.stalled) && self.is_up() {
            self.queue_due_slow(now);
        }
    }

    fn queue_due_slow(&mut self, now: Duration) {
        let owed = core::mem::take(&mut self.stalled);
        self.stalled |= !self.queue_features(now);
        if let Some(token) = self.pong {
            let said = self.queue_control(now, 0, 0, &Pong::new([0; 6], token));
            self.pong = self.pong.filter(|_| !said);
            self.stalled |= !said;
        }
        if core::mem::take(&mut self.topics_changed) || owed {
            // What was left goes before what is wanted instead, so that no topic is subscribed to twice.
            for is_left in [true, false] {
                for place in 0..TOPICS {
                    self.stalled |= !self.queue_interest(now, place, is_left);
                }
            }
            for place in 0..TOPICS {
                self.stalled |= !self.queue_export(now, place);
            }
        }
        let confirm = self.config.confirm;
        self.queue_windows(now, |stream| stream.is_due(now, confirm));
    }

    /// Says of streams how far they are and what may come.
    fn queue_windows(&mut self, now: Duration, is_due: impl Fn(&Incoming) -> bool) {
        let Link { incoming, out, stalled, ends, .. } = self;
        for (_, stream) in incoming.iter_mut() {
            let Some(remote) = stream.remote.filter(|_| is_due(stream)) else { continue };
            if stream.ended && stream.next == stream.confirmed
                || queue_control(
                    out,
                    now,
                    remote,
                    stream.done,
                    &Window::new([0; 6], stream.granted),
                )
            {
                stream.told = stream.granted;
                stream.confirmed = stream.done;
                stream.unconfirmed = None;
                if stream.ended && stream.done == stream.next {
                    stream.finish(ends);
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

    /// Says what is to be said of a want that was left, or of one that was not. False if something had no room.
    fn queue_interest(&mut self, now: Duration, place: usize, is_left: bool) -> bool {
        let Some((_, interest)) =
            self.interests.at(place).filter(|(_, interest)| interest.is_left() == is_left)
        else {
            return true;
        };
        if interest.is_due() && !self.peer_has_topic_room() {
            return true;
        }
        let Link { interests, incoming, out, .. } = self;
        let Some((id, interest)) = interests.at(place) else { return true };
        if interest.is_due() {
            let resumes = incoming.iter().filter(|(_, stream)| stream.interest == id).count();
            let needed = MAX_CONTROL + resumes * (HEADER_LEN + size_of::<Resume>());
            if out.room() < CLOSE_RESERVE + needed {
                return false;
            }
            let InterestEntry { type_id, number, digest, mode, window, topic, .. } = *interest;
            let resumes = resumes as u16; // at most `STREAMS`
            let subscribe =
                Subscribe::new(type_id, number, digest.0, mode.code(), 0, resumes, window, topic);
            queue_control(out, now, 0, 0, &subscribe);
            for (_, stream) in incoming.iter_mut().filter(|(_, stream)| stream.interest == id) {
                queue_control(out, now, 0, 0, &Resume::new(0, number, stream.epoch, stream.next));
                stream.resuming = true;
            }
            interest.state = if is_left { InterestState::LeaveDue } else { InterestState::Asked };
        }
        if interest.state == InterestState::LeaveDue {
            if !queue_control(out, now, 0, 0, &Unsubscribe::new(0, interest.number)) {
                return false;
            }
            interest.state = InterestState::Leaving;
        }
        true
    }

    /// Whether the peer serves one more topic.
    fn peer_has_topic_room(&self) -> bool {
        let asked = self.interests.iter().filter(|(_, interest)| !interest.is_due());
        asked.count() < self.peer.topics
    }

    /// False if something had no room.
    fn queue_export(&mut self, now: Duration, place: usize) -> bool {
        let Link { exports, out, .. } = self;
        let Some((id, export)) = exports.at(place) else { return true };
        let number = export.number;
        match export.state {
            ExportState::AcceptDue => {
                if !queue_control(out, now, 0, 0, &Accept::new(0, number)) {
                    return false;
                }
                export.state = ExportState::Accepted;
            }
            ExportState::RejectDue(..) | ExportState::LeaveDue => {
                let said = match export.state {
                    ExportState::RejectDue(reason, digest) => {
                        queue_control(out, now, 0, 0, &Reject::new(reason.code(), number, digest.0))
                    }
                    _ => queue_control(out, now, 0, 0, &Left::new(0, number)),
                };
                if !said {
                    return false;
                }
                export.state = ExportState::Rejected;
                if export.resumes == 0 {
                    exports.remove(id);
                }
            }
            ExportState::Open | ExportState::Accepted | ExportState::Rejected => {}
        }
        true
    }

    /// Right behind hello: what follows may depend on it. False if there was no room.
    fn queue_features(&mut self, now: Duration) -> bool {
        if self.features_due {
            self.features_due = !self.queue_control(now, 0, 0, &Features::new(0, FEATURES));
        }
        !self.features_due
    }

    /// As `say`, for what the caller asked for.
    pub(super) fn send_control(
        &mut self,
        now: Duration,
        stream: u32,
        sequence: u64,
        frame: &(impl IntoBytes + Immutable),
    ) -> Result<(), SendError> {
        if self.phase != Phase::Up {
            return Err(SendError::Down);
        }
        if self.queue_features(now) && self.queue_control(now, stream, sequence, frame) {
            return Ok(());
        }
        Err(SendError::Room { needed: MAX_CONTROL, capacity: self.out.capacity() })
    }

    pub(super) fn queue_control(
        &mut self,
        now: Duration,
        stream: u32,
        sequence: u64,
        frame: &(impl IntoBytes + Immutable),
    ) -> bool {
        queue_control(&mut self.out, now, stream, sequence, frame)
    }

    /// Ends the link, and tells the peer what is confirmed and why this is the end.
    pub(super) fn finish(
        &mut self,
        now: Duration,
        error: LinkError,
        reason: CloseReason,
    ) -> LinkError {
        if matches!(self.phase, Phase::Greeting(_) | Phase::Up) {
            self.queue_windows(now, |stream| stream.done != stream.confirmed);
            let close = Close::new(reason.code(), 0, Name::new());
            append(&mut self.out, now, 0, 0, &close, 0);
            self.phase = Phase::Over(error);
        }
        error
    }
}

/// Appends a frame of the link, which goes as soon as it can; false if there is no room.
fn queue_control(
    out: &mut Outbox<'_>,
    now: Duration,
    stream: u32,
    sequence: u64,
    frame: &(impl IntoBytes + Immutable),
) -> bool {
    append(out, now, stream, sequence, frame, CLOSE_RESERVE)
}

fn append(
    out: &mut Outbox<'_>,
    now: Duration,
    stream: u32,
    sequence: u64,
    frame: &(impl IntoBytes + Immutable),
    leave: usize,
) -> bool {
    let envelope = Envelope { stream, sequence, ..Envelope::default() };
    let payload = frame.as_bytes();
    let needed = frame_len(&envelope, payload.len()).unwrap_or(usize::MAX);
    if out.room() < needed.saturating_add(leave) {
        return false;
    }
    let said = out.append(now, needed, |place| {
        // At most some hundred bytes, for which there is room.
        _ = write_frame(place, &envelope, payload.len() as u16, payload);
    });
    out.flush();
    said
}
