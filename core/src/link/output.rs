//! What goes to the peer and when: messages, what is to be said of topics and streams, and signs of life.

use core::time::Duration;

use zerocopy::{Immutable, IntoBytes};

use super::config::{Batching, Config, ConfigError};
use super::control::{
    Accept, Close, FEATURES, Features, Left, Name, Ping, Pong, Reject, Resume, Subscribe,
    Unsubscribe, Window,
};
use super::entries::{Incoming, ServeState, Want, WantState};
use super::outbox::Outbox;
use super::{CloseReason, LAST_WORD, LONGEST, Link, LinkError, Phase, SendError};
use crate::envelope::Envelope;
use crate::frame::{HEADER_LEN, frame_len, write_frame};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// The sender has nothing more to send for now: what it sent goes at once.
    pub fn flush(&mut self) {
        self.out.hurry();
    }

    /// Whether a batch had better be written before more is sent: it is full or hurried, and none of it is out. What the
    /// connection does not take at once may be added to.
    #[must_use]
    #[inline]
    pub fn is_due(&self) -> bool {
        self.out.is_due()
    }

    /// From now on batches are closed so.
    pub fn batch(&mut self, batching: Batching) {
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
    /// it, which may be none: see [`poll_parts`](Link::poll_parts).
    pub fn poll_transmit(&mut self, now: Duration) -> Option<&[u8]> {
        self.poll_parts(now).map(|parts| parts.bytes)
    }

    /// Reports that `count` bytes are written of those that [`poll_transmit`](Link::poll_transmit)
    /// or [`poll_parts`](Link::poll_parts) returned on this connection.
    pub fn transmitted(&mut self, now: Duration, count: usize) {
        if self.out.sent(count) > 0 {
            self.spoke = now;
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
                let silent = self.heard.saturating_add(self.config.silence);
                Some(silent.min(self.spoke.saturating_add(self.config.keep_alive)))
            }
        };
        // Without room for it, it waits for the connection and not for the time.
        let room = self.out.room() >= LAST_WORD + LONGEST;
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
            Phase::Up if now >= self.heard.saturating_add(self.config.silence) => {
                let error = LinkError::Silent { limit: self.config.silence };
                Err(self.finish(now, error, CloseReason::Timeout))
            }
            Phase::Up => {
                // Bytes that wait for the peer are a sign of life, if they ever get there.
                if now >= self.spoke.saturating_add(self.config.keep_alive) {
                    if self.out.is_empty() {
                        self.say(now, 0, 0, &Ping::new([0; 6], 0));
                    }
                    self.out.hurry();
                    self.spoke = now;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Puts what is to be said into the buffer, as far as there is room. It costs next to nothing where nothing can be due:
    /// it comes before each write.
    #[inline]
    pub(super) fn fill(&mut self, now: Duration) {
        let streams = self.streams_changed || self.confirm_at.is_some_and(|at| now >= at);
        if (self.topics_changed || streams || self.owing) && self.is_up() {
            self.fill_up(now);
        }
    }

    fn fill_up(&mut self, now: Duration) {
        let owed = core::mem::take(&mut self.owing);
        self.owing |= !self.say_features(now);
        if let Some(token) = self.pong {
            let said = self.say(now, 0, 0, &Pong::new([0; 6], token));
            self.pong = self.pong.filter(|_| !said);
            self.owing |= !said;
        }
        if core::mem::take(&mut self.topics_changed) || owed {
            // What was left goes before what is wanted instead, so that no topic is subscribed to twice.
            for is_left in [true, false] {
                for place in 0..TOPICS {
                    self.owing |= !self.fill_want(now, place, is_left);
                }
            }
            for place in 0..TOPICS {
                self.owing |= !self.fill_serve(now, place);
            }
        }
        let confirm = self.config.confirm;
        self.say_windows(now, |stream| stream.is_due(now, confirm));
    }

    /// Says of streams how far they are and what may come.
    fn say_windows(&mut self, now: Duration, is_due: impl Fn(&Incoming) -> bool) {
        let Link { incoming, out, owing, ends, .. } = self;
        for (_, stream) in incoming.iter_mut() {
            let Some(remote) = stream.remote.filter(|_| is_due(stream)) else { continue };
            if stream.ended && stream.next == stream.confirmed
                || say(out, now, remote, stream.done, &Window::new([0; 6], stream.granted))
            {
                stream.told = stream.granted;
                stream.confirmed = stream.done;
                stream.unconfirmed = None;
                if stream.ended && stream.done == stream.next {
                    stream.finish(ends);
                }
            } else {
                *owing = true;
            }
        }
        let live = incoming.iter().filter(|(_, stream)| stream.remote.is_some());
        let oldest = live.filter_map(|(_, stream)| stream.unconfirmed).min();
        self.confirm_at = oldest.map(|since| since.saturating_add(self.config.confirm));
        self.streams_changed = false;
    }

    /// Says what is to be said of a want that was left, or of one that was not. False if something had no room.
    fn fill_want(&mut self, now: Duration, place: usize, is_left: bool) -> bool {
        let Some((_, want)) = self.wants.at(place).filter(|(_, want)| want.is_left() == is_left)
        else {
            return true;
        };
        if want.is_due() && !self.may_ask() {
            return true;
        }
        let Link { wants, incoming, out, .. } = self;
        let Some((id, want)) = wants.at(place) else { return true };
        if want.is_due() {
            let resumes = incoming.iter().filter(|(_, stream)| stream.want == id).count();
            let needed = LONGEST + resumes * (HEADER_LEN + size_of::<Resume>());
            if out.room() < LAST_WORD + needed {
                return false;
            }
            let Want { type_id, number, digest, mode, window, topic, .. } = *want;
            let resumes = resumes as u16; // at most `STREAMS`
            let subscribe =
                Subscribe::new(type_id, number, digest.0, mode.code(), 0, resumes, window, topic);
            say(out, now, 0, 0, &subscribe);
            for (_, stream) in incoming.iter_mut().filter(|(_, stream)| stream.want == id) {
                say(out, now, 0, 0, &Resume::new(0, number, stream.epoch, stream.next));
                stream.resuming = true;
            }
            want.state = if is_left { WantState::LeaveDue } else { WantState::Asked };
        }
        if want.state == WantState::LeaveDue {
            if !say(out, now, 0, 0, &Unsubscribe::new(0, want.number)) {
                return false;
            }
            want.state = WantState::Leaving;
        }
        true
    }

    /// Whether the peer serves one more topic.
    fn may_ask(&self) -> bool {
        let asked = self.wants.iter().filter(|(_, want)| !want.is_due());
        asked.count() < self.peer.topics
    }

    /// False if something had no room.
    fn fill_serve(&mut self, now: Duration, place: usize) -> bool {
        let Link { serves, out, .. } = self;
        let Some((id, serve)) = serves.at(place) else { return true };
        let number = serve.number;
        match serve.state {
            ServeState::AcceptDue => {
                if !say(out, now, 0, 0, &Accept::new(0, number)) {
                    return false;
                }
                serve.state = ServeState::Accepted;
            }
            ServeState::RejectDue(..) | ServeState::LeaveDue => {
                let said = match serve.state {
                    ServeState::RejectDue(reason, digest) => {
                        say(out, now, 0, 0, &Reject::new(reason.code(), number, digest.0))
                    }
                    _ => say(out, now, 0, 0, &Left::new(0, number)),
                };
                if !said {
                    return false;
                }
                serve.state = ServeState::Rejected;
                if serve.resumes == 0 {
                    serves.remove(id);
                }
            }
            ServeState::Open | ServeState::Accepted | ServeState::Rejected => {}
        }
        true
    }

    /// Right behind hello: what follows may depend on it. False if there was no room.
    fn say_features(&mut self, now: Duration) -> bool {
        if self.features_due {
            self.features_due = !self.say(now, 0, 0, &Features::new(0, FEATURES));
        }
        !self.features_due
    }

    /// As `say`, for what the caller asked for.
    pub(super) fn tell(
        &mut self,
        now: Duration,
        stream: u32,
        sequence: u64,
        frame: &(impl IntoBytes + Immutable),
    ) -> Result<(), SendError> {
        if self.phase != Phase::Up {
            return Err(SendError::Down);
        }
        if self.say_features(now) && self.say(now, stream, sequence, frame) {
            return Ok(());
        }
        Err(SendError::Room { needed: LONGEST, capacity: self.out.capacity() })
    }

    pub(super) fn say(
        &mut self,
        now: Duration,
        stream: u32,
        sequence: u64,
        frame: &(impl IntoBytes + Immutable),
    ) -> bool {
        say(&mut self.out, now, stream, sequence, frame)
    }

    /// Ends the link, and tells the peer what is confirmed and why this is the end.
    pub(super) fn finish(
        &mut self,
        now: Duration,
        error: LinkError,
        reason: CloseReason,
    ) -> LinkError {
        if matches!(self.phase, Phase::Greeting(_) | Phase::Up) {
            self.say_windows(now, |stream| stream.done != stream.confirmed);
            let close = Close::new(reason.code(), 0, Name::new());
            append(&mut self.out, now, 0, 0, &close, 0);
            self.phase = Phase::Over(error);
        }
        error
    }
}

/// Appends a frame of the link, which goes as soon as it can; false if there is no room.
fn say(
    out: &mut Outbox<'_>,
    now: Duration,
    stream: u32,
    sequence: u64,
    frame: &(impl IntoBytes + Immutable),
) -> bool {
    append(out, now, stream, sequence, frame, LAST_WORD)
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
    out.hurry();
    said
}
