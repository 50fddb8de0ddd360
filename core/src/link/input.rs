//! What the peer says, frame by frame, each checked against what it may say now.

use core::time::Duration;

use super::control::{self, Control, text};
use super::{
    CloseReason, Event, IncomingId, Input, Link, LinkError, MAX_CONTROL, Peer, Phase, VERSION,
};
use crate::frame::{ExtensionError, FrameError, FrameView, Limits, kind};

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Takes the first of `bytes`, which begin where the frame before ended: all the messages that stand there one after the
    /// other, each of which is given to `take`, or one frame of another kind, which is returned if it concerns the caller.
    /// Call it until it uses no bytes; then read until there are as many as it needs. Bytes that lie at a multiple of 8 let
    /// messages be read in place.
    ///
    /// Of a [run](Link::send_run) each call hands over the whole messages that are there, as an [`Event::Run`].
    ///
    /// A message that `take` refuses has not arrived, and ends the link for the reason given.
    ///
    /// # Errors
    /// If the peer broke the protocol or ended the link. The link has ended then.
    // As for `FrameView::parse`: what a call hands back here goes through memory.
    #[inline(always)]
    pub fn input<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        take: impl FnMut(IncomingId, FrameView<'a>) -> Result<(), CloseReason>,
    ) -> Result<Input<'a>, LinkError> {
        if let Some(incoming_run) = self.incoming_run {
            return self.input_run(now, bytes, incoming_run);
        }
        match self.input_messages(now, bytes, take) {
            0 => self.input_other(now, bytes),
            used => Ok(Input { used, needed: 0, event: None }),
        }
    }

    /// Takes whole messages as long as nothing else comes. Returns how many bytes they were.
    #[inline(always)]
    fn input_messages<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        mut take: impl FnMut(IncomingId, FrameView<'a>) -> Result<(), CloseReason>,
    ) -> usize {
        if self.phase != Phase::Up {
            return 0;
        }
        let mut rest = bytes;
        let mut refused = None;
        while let Ok((frame, behind)) = FrameView::parse(rest, &self.config.limits) {
            let (type_id, number) = (frame.header().type_id(), frame.header().stream());
            if type_id == 0 {
                break;
            }
            let Some((id, stream)) = self.incoming.find(|stream| stream.is_live(number)) else {
                break;
            };
            if !stream.accepts(&frame) {
                break;
            }
            if let Err(reason) = take(id, frame) {
                refused = Some(reason);
                break;
            }
            stream.received_one(now, &frame);
            rest = behind;
        }
        let used = bytes.len() - rest.len();
        if used > 0 {
            (self.last_received, self.partial) = (now, 0);
            self.schedule_confirm(now);
        }
        if let Some(reason) = refused {
            self.close(now, reason);
        }
        used
    }

    /// Takes the first frame, which is not a whole message that may come now.
    #[inline(never)]
    fn input_other<'a>(&mut self, now: Duration, bytes: &'a [u8]) -> Result<Input<'a>, LinkError> {
        if let Phase::Over(error) = self.phase {
            return Err(error);
        }
        let (frame, used) = match FrameView::parse(bytes, &self.limits()) {
            Ok((frame, rest)) => (frame, bytes.len() - rest.len()),
            Err(FrameError::Incomplete { needed }) => {
                if bytes.len() > self.partial {
                    // A peer in the middle of a long frame is not silent.
                    (self.last_received, self.partial) = (now, bytes.len());
                }
                return Ok(Input { used: 0, needed, event: None });
            }
            Err(error) => return Err(self.fail(now, error.into())),
        };
        (self.last_received, self.partial) = (now, 0);
        let event = match frame.header().type_id() {
            0 => self.input_control(now, &frame),
            _ => self.input_message(now, frame),
        };
        match event {
            Ok(event) => Ok(Input { used, needed: 0, event }),
            Err(error) => Err(self.fail(now, error)),
        }
    }

    /// A stranger gets no room for more than it takes to say who one is.
    #[inline]
    fn limits(&self) -> Limits {
        let limits = self.config.limits;
        match self.phase {
            Phase::Up => limits,
            _ => Limits { max_frame: limits.max_frame.min(MAX_HELLO) },
        }
    }

    #[cold]
    fn fail(&mut self, now: Duration, error: LinkError) -> LinkError {
        match error {
            // Who has said goodbye needs no answer.
            LinkError::PeerClosed(_) => {
                self.phase = Phase::Over(error);
                error
            }
            LinkError::Version { .. } => self.finish(now, error, CloseReason::Version),
            // Nobody broke anything: it has lived long enough.
            LinkError::Numbers => self.finish(now, error, CloseReason::Shutdown),
            _ => self.finish(now, error, CloseReason::Protocol),
        }
    }

    /// Part of a message, a message of a topic that was left, or one that should not be.
    fn input_message<'a>(
        &mut self,
        now: Duration,
        frame: FrameView<'a>,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let header = frame.header();
        let (number, sequence) = (header.stream(), header.sequence());
        // Streams begin after the handshake, so this is refused before it, too.
        let Some((_, stream)) = self.incoming.find(|stream| stream.is_live(number)) else {
            return Err(self.no_stream(number));
        };
        if header.type_id() != stream.type_id {
            return Err(LinkError::Type { expected: stream.type_id, found: header.type_id() });
        }
        // The last of all has none behind it.
        if sequence != stream.next || sequence == u64::MAX {
            return Err(LinkError::Sequence {
                stream: number,
                expected: stream.next,
                found: sequence,
            });
        }
        if stream.used >= stream.told {
            return Err(LinkError::Credit { stream: number });
        }
        let fragment = frame.fragment();
        if !stream.leaving || fragment.is_some() || stream.open.is_some() {
            return self.input_fragment(now, number, frame, fragment);
        }
        stream.received_one(now, &frame);
        self.schedule_confirm(now);
        self.discard(number)
    }

    /// Something of a stream has come, of which the peer is to be told in time.
    #[inline]
    pub(super) fn schedule_confirm(&mut self, now: Duration) {
        self.streams_changed = true;
        self.confirm_at.get_or_insert(now.saturating_add(self.config.confirm));
    }

    #[cold]
    fn no_stream(&self, number: u32) -> LinkError {
        match self.phase {
            Phase::Greeting(_) | Phase::Down => LinkError::NoHello,
            _ => LinkError::Stream { number },
        }
    }

    /// A message of a topic that was left.
    #[cold]
    pub(super) fn discard<'a>(&mut self, remote: u32) -> Result<Option<Event<'a>>, LinkError> {
        let (_, stream) = self.live_stream(remote)?;
        if stream.over {
            // All had come, and the peer said so itself.
            return Err(LinkError::Stream { number: remote });
        }
        // The peer goes on until it knows, and is not to wait for room.
        stream.granted = stream.used + u64::from(stream.window);
        let interest = stream.interest;
        if let Ok(interest) = self.interests.get(interest) {
            interest.discarded += 1;
        }
        Ok(None)
    }

    #[inline(never)]
    fn input_control<'a>(
        &mut self,
        now: Duration,
        frame: &FrameView<'a>,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (number, sequence) = (frame.header().stream(), frame.header().sequence());
        if frame.fragment().is_some() {
            return Err(FrameError::Extension(CRITICAL_HERE).into());
        }
        let control = Control::parse(frame.payload())?;
        match (&control, self.phase) {
            (Control::Hello(hello), Phase::Greeting(_)) => return self.on_hello(hello).map(Some),
            (Control::Hello(_), _) => return Err(LinkError::SecondHello),
            (Control::Close(close), _) => {
                return Err(LinkError::PeerClosed(CloseReason::of(close.reason.get())));
            }
            (_, Phase::Greeting(_) | Phase::Down) => return Err(LinkError::NoHello),
            _ => {}
        }
        // Anything but room for messages may have made something due.
        if !matches!(control, Control::Window(_)) {
            (self.topics_changed, self.streams_changed) = (true, true);
        }
        match control {
            Control::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Control::Resume(resume) => self.on_resume(resume),
            Control::Unsubscribe(frame) => self.on_unsubscribe(frame.subscription.get()),
            Control::Left(frame) => self.on_left(frame.subscription.get()),
            Control::Accept(accept) => self.on_accept(accept.subscription.get()),
            Control::Reject(reject) => self.on_reject(reject),
            Control::Stream(stream) => self.on_stream(number, sequence, stream),
            Control::Gone(gone) => self.on_gone(gone),
            Control::Gap(gap) => self.on_gap(now, number, sequence, gap),
            Control::End(_) => self.on_end(number, sequence),
            Control::Window(window) => self.on_window(number, sequence, window.granted.get()),
            Control::Features(features) => {
                self.peer.features = features.bits.get();
                Ok(None)
            }
            Control::Demand(_) => self.on_demand(number),
            Control::Run(run) => self.on_run(number, sequence, run).map(|()| None),
            Control::Describe(describe) => self.on_describe(describe),
            Control::Piece(piece) => self.on_piece(piece),
            Control::Ping(ping) => {
                self.pong = Some(ping.token.get());
                Ok(None)
            }
            Control::Pong(_) | Control::Unknown | Control::Hello(_) | Control::Close(_) => Ok(None),
        }
    }

    fn on_hello<'a>(&mut self, hello: &'a control::Hello) -> Result<Event<'a>, LinkError> {
        let (min, max) = (hello.min_version, hello.max_version);
        if !(min..=max).contains(&VERSION) {
            return Err(LinkError::Version { min, max });
        }
        let node = text(&hello.node)?;
        self.peer = Peer {
            max_frame: hello.max_frame.get(),
            topics: hello.topics.get().into(),
            streams: hello.streams.get().into(),
            known: hello.known.get().into(),
            max_message: hello.max_message.get(),
            max_open: hello.max_open.get().into(),
            features: 0,
        };
        if self.peer.max_frame < MAX_CONTROL as u32 {
            return Err(LinkError::Limit { limit: self.peer.max_frame });
        }
        self.phase = Phase::Up;
        (self.topics_changed, self.features_due) = (true, true);
        Ok(Event::Up { node, boot: hello.boot.get(), topics: hello.topics.get() })
    }
}

/// What the link itself says is never in parts.
const CRITICAL_HERE: ExtensionError = ExtensionError::Critical { kind: kind::FRAGMENT };

/// The longest frame of somebody who has not said who it is.
const MAX_HELLO: u32 = 1024;
