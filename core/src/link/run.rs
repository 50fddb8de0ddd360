//! Runs: neighbouring messages of one stream behind one header, with their bytes as they lie in their ring.
//!
//! The link does not copy these bytes. On the sending side the header goes into the link's buffer, and the caller writes
//! the bytes from where they are ([`Link::poll_vectored`]). On the receiving side each call of [`Link::input`] hands over
//! the whole messages of a run that have come ([`Event::Run`]). One run at a time is on its way out.

use core::time::Duration;

use super::control::{self, RUNS};
use super::error::RunError;
use super::{CONTROL_RESERVE, Event, Input, Link, LinkError, OutgoingId, Phase, SendError};
use crate::envelope::Envelope;
use crate::frame::{HEADER_LEN, write_frame};

/// How the messages of a run lie: each is an item of `stride` bytes, of which the first `skip` mean nothing, the next
/// `length` are the message, and the rest means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunShape {
    /// The bytes from one message to the next, a multiple of 8.
    pub stride: u32,
    /// The bytes in front of a message, a multiple of 8.
    pub skip: u16,
    /// The bytes of a message. All of them are its fixed part.
    pub length: u16,
}

impl RunShape {
    /// The message of an item.
    #[must_use]
    pub fn message<'a>(&self, item: &'a [u8]) -> &'a [u8] {
        let (skip, length) = (usize::from(self.skip), usize::from(self.length));
        item.get(skip..skip + length).unwrap_or_default()
    }

    /// Whether messages can lie like this.
    fn check(&self) -> bool {
        let message = u32::from(self.skip) + u32::from(self.length);
        self.length > 0
            && self.stride.is_multiple_of(8)
            && self.skip.is_multiple_of(8)
            && message <= self.stride
    }
}

/// Bytes of a run that the caller has to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunBytes {
    /// The stream that the run is of.
    pub stream: OutgoingId,
    /// The sequence of its first message.
    pub first: u64,
    /// How its messages lie.
    pub shape: RunShape,
    /// How many of its bytes are out.
    pub offset: usize,
    /// How many bytes follow, at least one.
    pub length: usize,
}

/// What is to be written next: bytes of the link, and behind them bytes of the caller.
#[derive(Debug)]
pub struct Transmit<'a> {
    /// Bytes from the link's buffer. Empty if only the caller's are to be written.
    pub bytes: &'a [u8],
    /// Bytes of a run.
    pub run: Option<RunBytes>,
}

/// A run on its way in.
#[derive(Clone, Copy, Debug)]
pub(super) struct IncomingRun {
    /// The peer's number of its stream.
    number: u32,
    shape: RunShape,
    /// Messages that have not come yet.
    left: u32,
}

/// The most bytes of a run.
pub(super) const MAX_RUN: u32 = 256 << 10;
const RUN_HEADER: usize = HEADER_LEN + size_of::<control::Run>();

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Whether the link is up and the peer takes runs. The peer says so right after its hello,
    /// before any other frame.
    #[must_use]
    #[inline]
    pub fn peer_takes_runs(&self) -> bool {
        self.peer_names(RUNS)
    }

    /// Sends the next messages of a stream as a run: as many of `count` as one run may have and the peer has room for.
    /// Returns how many these are. With 0 nothing is sent, and messages go one by one ([`send`](Link::send)): the peer
    /// takes no runs, or none of such messages.
    ///
    /// From then on until the run is out, [`poll_vectored`](Link::poll_vectored) names its bytes, and the caller keeps them
    /// unchanged, even if it rejects the topic meanwhile. The peer cannot confirm messages that are not out.
    ///
    /// # Errors
    /// With nothing changed: as [`send`](Link::send); [`SendError::Room`] also as long as a run is on its way out.
    pub fn send_run(
        &mut self,
        now: Duration,
        stream: OutgoingId,
        shape: RunShape,
        count: usize,
    ) -> Result<usize, SendError> {
        if !self.is_up() {
            return Err(SendError::Down);
        }
        let length = HEADER_LEN + usize::from(shape.length);
        let is_whole = length <= self.longest(&Envelope::default());
        if !self.peer_takes_runs() || !shape.check() || shape.stride > MAX_RUN || !is_whole {
            return Ok(0);
        }
        let capacity = self.out.capacity();
        let entry = self.outgoing.get(stream)?;
        entry.check()?;
        if entry.open.is_some() {
            return Err(SendError::Open);
        }
        let needed = RUN_HEADER + CONTROL_RESERVE;
        if self.stalled || self.out.has_run() || self.out.room() < needed {
            self.out.flush();
            return Err(SendError::Room { needed, capacity });
        }
        let credit = entry.granted - entry.sent;
        // The last sequence of all is nobody's.
        let most = credit.min(u64::from(MAX_RUN / shape.stride)).min(u64::MAX - entry.next);
        let count = most.min(count as u64) as u32; // at most `MOST`
        if count == 0 {
            return Ok(0);
        }
        let (number, first) = (entry.number, entry.next);
        let run = control::Run::new(shape.skip, count, shape.stride, u32::from(shape.length));
        let envelope = Envelope { stream: number, sequence: first, ..Envelope::default() };
        let payload = zerocopy::IntoBytes::as_bytes(&run);
        // It fits, so it is written.
        self.out.append(now, RUN_HEADER, |place| {
            _ = write_frame(place, &envelope, payload.len() as u16, payload);
        });
        let length = count as usize * shape.stride as usize;
        self.out.lend(RunBytes { stream, first, shape, offset: 0, length });
        entry.sent_many(count);
        Ok(count as usize)
    }

    /// As [`poll_transmit`](Link::poll_transmit), for callers that send runs: what is to be written now, if anything.
    /// Any number of these bytes may be reported by [`transmitted`](Link::transmitted).
    pub fn poll_vectored(&mut self, now: Duration) -> Option<Transmit<'_>> {
        self.queue_due(now);
        self.out.due(now)
    }

    /// The bytes of a run follow.
    pub(super) fn on_run(
        &mut self,
        number: u32,
        sequence: u64,
        run: &control::Run,
    ) -> Result<(), LinkError> {
        let wrong = |error| LinkError::Run { stream: number, error };
        let max_frame = self.config.limits.max_frame;
        let (_, stream) = self.live_stream(number)?;
        let (count, stride, length) = (run.count.get(), run.stride.get(), run.length.get());
        if sequence != stream.next {
            let expected = stream.next;
            return Err(LinkError::Sequence { stream: number, expected, found: sequence });
        }
        if stream.open.is_some() {
            return Err(wrong(RunError::Open));
        }
        let shape = u16::try_from(length).ok().map(|length| RunShape {
            stride,
            skip: run.skip.get(),
            length,
        });
        let Some(shape) = shape.filter(RunShape::check) else {
            return Err(wrong(RunError::Shape { stride, length }));
        };
        let bytes = u64::from(count) * u64::from(stride);
        if count == 0 || bytes > u64::from(MAX_RUN) || length + HEADER_LEN as u32 > max_frame {
            return Err(wrong(RunError::Length { found: bytes, limit: MAX_RUN }));
        }
        if u64::from(count) > stream.told - stream.used {
            return Err(LinkError::Credit { stream: number });
        }
        if sequence.checked_add(count.into()).is_none() {
            return Err(LinkError::Sequence { stream: number, expected: 0, found: sequence });
        }
        self.incoming_run = Some(IncomingRun { number, shape, left: count });
        Ok(())
    }

    /// Takes the whole messages of a run that are there.
    pub(super) fn input_run<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        incoming_run: IncomingRun,
    ) -> Result<Input<'a>, LinkError> {
        if let Phase::Over(error) = self.phase {
            return Err(error);
        }
        let IncomingRun { number, shape, left } = incoming_run;
        let stride = shape.stride as usize;
        let count = (bytes.len() / stride).min(left as usize) as u32; // at most `left`
        if count == 0 {
            if bytes.len() > self.partial {
                (self.last_received, self.partial) = (now, bytes.len());
            }
            return Ok(Input { used: 0, needed: stride, event: None });
        }
        (self.last_received, self.partial) = (now, 0);
        self.incoming_run =
            (count < left).then_some(IncomingRun { left: left - count, ..incoming_run });
        let used = count as usize * stride;
        let bytes = bytes.get(..used).unwrap_or(bytes);
        let Ok((id, stream)) = self.live_stream(number) else {
            // It was there at the header, and only the peer ends it.
            return Ok(Input { used, needed: 0, event: None });
        };
        let (first, leaving, interest) = (stream.next, stream.leaving, stream.interest);
        stream.received_many(now, count);
        if leaving {
            // As for single messages: the peer goes on until it knows.
            stream.granted = stream.used + u64::from(stream.window);
            if let Ok(interest) = self.interests.get(interest) {
                interest.discarded += u64::from(count);
            }
        }
        self.schedule_confirm(now);
        let event = (!leaving).then_some(Event::Run { stream: id, first, shape, bytes });
        Ok(Input { used, needed: 0, event })
    }
}
