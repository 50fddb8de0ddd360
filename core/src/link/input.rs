//! Reads received bytes frame by frame. Each frame is checked against the state of the link, and
//! then handled: messages here, control frames in `publishing` and `subscribing`.

use core::time::Duration;

use super::config::Unit;
use super::control::{Control, Hello, MAX_CONTROL, text};
use super::error::{CloseReason, LinkError};
use super::event::{Event, Input};
use super::streams::InterestState;
use super::tables::IncomingId;
use super::{Link, LinkPhase, PeerLimits, Rest};
use crate::frame::{ExtensionError, FrameError, FrameView, VERSION, kind};

/// The longest frame before the handshake is complete, in bytes.
const MAX_HELLO: u32 = 1024;

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Handles the start of `bytes`, which begin where the previous frame ended. It uses either all
    /// consecutive whole messages, and passes each to `take`, or one other frame, and returns that
    /// frame's event if it concerns the caller. Call it again until it uses no bytes; then read
    /// until there are as many bytes as it needs. If the bytes start at a multiple of 8, messages
    /// can be read in place.
    ///
    /// A [run](Link::send_run) and a [fragment](Link::send_fragment) are returned in parts, as their
    /// bytes arrive.
    ///
    /// If `take` refuses a message, that message counts as not received, and the link closes with
    /// the given reason.
    ///
    /// # Errors
    /// If the peer broke the protocol or closed the link. The link has ended then.
    // Inlined like `FrameView::parse`, because otherwise the result goes through memory.
    #[inline(always)]
    pub fn input<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        take: impl FnMut(IncomingId, FrameView<'a>) -> Result<(), CloseReason>,
    ) -> Result<Input<'a>, LinkError> {
        if let Some(rest) = self.rest {
            return self.input_rest(now, bytes, rest);
        }
        match self.input_messages(now, bytes, take) {
            0 => self.input_other(now, bytes),
            used => Ok(Input { used, needed: 0, event: None }),
        }
    }

    /// Handles whole messages until another frame follows. Returns the number of their bytes.
    #[inline(always)]
    fn input_messages<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        mut take: impl FnMut(IncomingId, FrameView<'a>) -> Result<(), CloseReason>,
    ) -> usize {
        if self.phase != LinkPhase::Up {
            return 0;
        }
        let mut rest = bytes;
        let mut refused = None;
        while let Ok((frame, next)) = FrameView::parse(rest, &self.config.limits) {
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
            stream.received_one(now, &frame, frame.payload().len());
            rest = next;
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

    /// Handles bytes of a run or a fragment whose header was handled before.
    #[inline(never)]
    fn input_rest<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        rest: Rest,
    ) -> Result<Input<'a>, LinkError> {
        if let LinkPhase::Over(error) = self.phase {
            return Err(error);
        }
        match rest {
            Rest::Run(run) => self.input_run(now, bytes, run),
            Rest::Fragment { number, left } => self.input_part(now, bytes, number, left),
        }
    }

    /// Handles the first frame that `input_messages` did not handle.
    #[inline(never)]
    fn input_other<'a>(&mut self, now: Duration, bytes: &'a [u8]) -> Result<Input<'a>, LinkError> {
        if let LinkPhase::Over(error) = self.phase {
            return Err(error);
        }
        let mut limits = self.config.limits;
        if self.phase != LinkPhase::Up {
            limits.max_frame = limits.max_frame.min(MAX_HELLO);
        }
        let (frame, used, length) = match FrameView::parse(bytes, &limits) {
            Ok((frame, rest)) => (frame, bytes.len() - rest.len(), frame.payload().len()),
            Err(FrameError::Incomplete { needed }) => {
                let has_part = bytes.len() >= self.least_part();
                let start = FrameView::start(bytes, &limits).filter(|_| has_part);
                match start.filter(|(frame, ..)| frame.fragment().is_some()) {
                    Some((frame, used, length)) => (frame, used, length),
                    None => return Ok(self.incomplete(now, bytes, needed)),
                }
            }
            Err(error) => return Err(self.fail(now, error.into())),
        };
        (self.last_received, self.partial) = (now, 0);
        let event = match frame.header().type_id() {
            0 => self.input_control(now, &frame),
            _ => self.input_message(now, frame, length),
        };
        match event {
            Ok(event) => Ok(Input { used, needed: 0, event }),
            Err(error) => Err(self.fail(now, error)),
        }
    }

    /// Reports an incomplete frame and uses no bytes. If there are more bytes than before, the peer
    /// is alive.
    pub(super) fn incomplete<'a>(
        &mut self,
        now: Duration,
        bytes: &[u8],
        needed: usize,
    ) -> Input<'a> {
        if bytes.len() > self.partial {
            (self.last_received, self.partial) = (now, bytes.len());
        }
        Input { used: 0, needed, event: None }
    }

    /// Ends the link because of an error.
    #[cold]
    pub(super) fn fail(&mut self, now: Duration, error: LinkError) -> LinkError {
        match error {
            // A close frame gets no answer.
            LinkError::PeerClosed(_) => {
                self.phase = LinkPhase::Over(error);
                error
            }
            LinkError::Version { .. } => self.finish(now, error, CloseReason::Version),
            // The peer made no mistake: this link has used all its numbers.
            LinkError::Numbers => self.finish(now, error, CloseReason::Shutdown),
            _ => self.finish(now, error, CloseReason::Protocol),
        }
    }

    /// Handles a fragment, a message to discard, or an invalid message. The payload of a fragment has
    /// `here` bytes, of which some may be missing.
    fn input_message<'a>(
        &mut self,
        now: Duration,
        frame: FrameView<'a>,
        here: usize,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let header = frame.header();
        let (number, sequence) = (header.stream(), header.sequence());
        if let LinkPhase::Handshake(_) | LinkPhase::Down = self.phase {
            return Err(LinkError::NoHello);
        }
        let (_, stream) = self.live_stream(number)?;
        if header.type_id() != stream.type_id {
            return Err(LinkError::Type { expected: stream.type_id, found: header.type_id() });
        }
        stream.check_sequence(number, sequence)?;
        // No message may have the last sequence, because there is none after it.
        if sequence == u64::MAX {
            return Err(LinkError::Sequence {
                stream: number,
                expected: sequence,
                found: sequence,
            });
        }
        let fragment = frame.fragment();
        let length = fragment.map_or(frame.payload().len(), |fragment| fragment.total as usize);
        if !stream.has_credit(length) {
            return Err(LinkError::Credit { stream: number });
        }
        if !stream.unsubscribed || fragment.is_some() || stream.open.is_some() {
            return self.input_fragment(now, number, frame, (fragment, here));
        }
        stream.received_one(now, &frame, length);
        self.schedule_confirm(now);
        self.discard(number, 1)?;
        Ok(None)
    }

    /// Schedules a confirmation, because messages or a gap of a stream have arrived.
    #[inline]
    pub(super) fn schedule_confirm(&mut self, now: Duration) {
        self.streams_changed = true;
        self.confirm_at.get_or_insert(now.saturating_add(self.config.confirm));
    }

    /// Counts and discards received messages of an unsubscribed interest.
    #[cold]
    pub(super) fn discard(&mut self, number: u32, count: u32) -> Result<(), LinkError> {
        let (_, stream) = self.live_stream(number)?;
        if stream.finished {
            // All messages of the stream had arrived, and only its end may follow.
            return Err(LinkError::Stream { number });
        }
        // Grants the whole window again: the peer sends messages until it learns of the
        // unsubscribe, and must not wait for credit.
        stream.granted = stream.used + u64::from(stream.window);
        let interest = stream.interest;
        if let Ok(interest) = self.interests.get(interest) {
            interest.discarded += u64::from(count);
        }
        Ok(())
    }

    #[inline(never)]
    fn input_control<'a>(
        &mut self,
        now: Duration,
        frame: &FrameView<'a>,
    ) -> Result<Option<Event<'a>>, LinkError> {
        let (number, sequence) = (frame.header().stream(), frame.header().sequence());
        // Control frames are never fragmented, so a fragment is an error.
        if frame.fragment().is_some() {
            let error = ExtensionError::Critical { kind: kind::FRAGMENT };
            return Err(FrameError::Extension(error).into());
        }
        let control = Control::parse(frame.payload())?;
        match (&control, self.phase) {
            (Control::Hello(hello), LinkPhase::Handshake(_)) => {
                return self.on_hello(hello).map(Some);
            }
            (Control::Hello(_), _) => return Err(LinkError::SecondHello),
            (Control::Close(close), _) => {
                if text(&close.words).is_ok() {
                    self.close_words = close.words;
                }
                self.close_detail = close.detail.get();
                return Err(LinkError::PeerClosed(CloseReason::of(close.reason.get())));
            }
            (_, LinkPhase::Handshake(_) | LinkPhase::Down) => return Err(LinkError::NoHello),
            _ => {}
        }
        // Every frame except a window frame may make a frame of this side due.
        if !matches!(control, Control::Window(_)) {
            (self.topics_changed, self.streams_changed) = (true, true);
        }
        match control {
            Control::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Control::Resume(resume) => self.on_resume(resume),
            Control::Unsubscribe(frame) => self.on_unsubscribe(frame.subscription.get()),
            Control::Left(frame) => self.on_left(frame.subscription.get()),
            Control::Accept(accept) => {
                let (interest, entry) = self.sent_interest(accept.subscription.get())?;
                let is_subscribed = entry.state == InterestState::Subscribed;
                Ok(is_subscribed.then_some(Event::Accepted { interest }))
            }
            Control::Reject(reject) => self.on_reject(reject),
            Control::Stream(stream) => self.on_stream(number, sequence, stream),
            Control::Gone(gone) => self.on_gone(gone),
            Control::Gap(gap) => self.on_gap(now, number, sequence, gap),
            Control::End(_) => self.on_end(number, sequence),
            Control::Window(window) => self.on_window(number, sequence, window.granted.get()),
            Control::Unit(unit) => {
                let bits = Unit::of_bits(unit.bits.get());
                self.next_unit = Some((unit.subscription.get(), bits));
                Ok(None)
            }
            Control::Features(features) => {
                self.peer.features = features.bits.get();
                Ok(None)
            }
            Control::Demand(_) => match self.outgoing.numbered(number) {
                Some((stream, _)) => Ok(Some(Event::Demand { stream })),
                None => self.unknown_stream(number),
            },
            Control::Run(run) => self.on_run(number, sequence, run).map(|()| None),
            Control::Memory(memory) => self.on_memory(memory.token),
            Control::Region(region) => self.on_region(number, sequence, region.number.get()),
            Control::Describe(describe) => {
                let (topic, offset) = (text(&describe.topic)?, describe.offset.get());
                Ok(Some(Event::Describe { topic, offset }))
            }
            Control::Piece(piece) => self.on_piece(piece),
            Control::Recall(recall) => Ok(self.on_recall(recall)),
            Control::Retained(retained) => {
                let fields = size_of::<super::control::Retained>();
                let bytes = frame.payload().get(fields..).unwrap_or_default();
                self.on_retained(sequence, retained, bytes)
            }
            Control::Ping(ping) => {
                self.pong = Some(ping.token.get());
                Ok(None)
            }
            Control::Pong(_) | Control::Unknown | Control::Hello(_) | Control::Close(_) => Ok(None),
        }
    }

    fn on_hello<'a>(&mut self, hello: &'a Hello) -> Result<Event<'a>, LinkError> {
        let (min, max) = (hello.min_version, hello.max_version);
        if !(min..=max).contains(&VERSION) {
            return Err(LinkError::Version { min, max });
        }
        let node = text(&hello.node)?;
        self.peer = PeerLimits {
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
        self.phase = LinkPhase::Up;
        (self.topics_changed, self.features_due) = (true, true);
        Ok(Event::Up { node, boot: hello.boot.get(), topics: hello.topics.get() })
    }
}
