//! Runs: consecutive messages of one stream after one header, in the layout of their ring.
//!
//! The link does not copy these bytes. To send, it writes the header into its buffer, and the
//! caller writes the messages from their ring ([`Link::poll_vectored`]). To receive, each call of
//! [`Link::input`] returns the messages that are complete ([`Event::Run`]). One run is sent at a
//! time.

use core::time::Duration;

use super::{IncomingRun, Rest};
use crate::envelope::Envelope;
use crate::frame::{HEADER_LEN, write_frame};
use crate::link::Link;
use crate::link::config::Unit;
use crate::link::control::{self, CONTROL_RESERVE, RUNS};
use crate::link::error::{LinkError, RunError, SendError};
use crate::link::event::{Event, Input, LentBytes, RunShape};
use crate::link::tables::{Id, OutgoingId};

/// The longest run in bytes.
const MAX_RUN: u32 = 256 << 10;
const RUN_HEADER: usize = HEADER_LEN + size_of::<control::Run>();

impl<const TOPICS: usize, const STREAMS: usize> Link<'_, TOPICS, STREAMS> {
    /// Returns whether the link is up and the peer accepts runs. The peer's features frame, its
    /// first after the hello, says so.
    #[must_use]
    #[inline]
    pub fn peer_accepts_runs(&self) -> bool {
        self.peer_has(RUNS)
    }

    /// Sends the next messages of a stream as a run: at most `count`, limited by the size of a run
    /// and by the credit. Returns the number of messages. If it is 0, the peer does not accept
    /// runs, or not runs of such messages: send them one by one ([`send`](Link::send)).
    ///
    /// Until the run is written, [`poll_vectored`](Link::poll_vectored) returns its bytes, and the
    /// caller must keep them unchanged, even if it rejects the topic. The peer cannot confirm
    /// messages that are not written.
    ///
    /// # Errors
    /// The call has no effect then. The errors of [`send`](Link::send); also [`SendError::Room`]
    /// until the previous run, or a lent fragment, is written.
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
        if !self.peer_accepts_runs() || !shape.check() || shape.stride > MAX_RUN || !is_whole {
            return Ok(0);
        }
        let capacity = self.out.capacity();
        let entry = self.outgoing.get(stream)?;
        entry.check(shape.length.into())?;
        if entry.open.is_some() {
            return Err(SendError::Open);
        }
        let needed = RUN_HEADER + CONTROL_RESERVE;
        if self.stalled || self.out.has_lent() || self.out.room() < needed {
            self.out.flush();
            return Err(SendError::Room { needed, capacity });
        }
        let credit = entry.unit.messages(entry.granted - entry.sent, shape.length.into());
        // No message has the last sequence.
        let most = credit.min(u64::from(MAX_RUN / shape.stride)).min(u64::MAX - entry.next);
        let count = most.min(count as u64) as u32; // at most `MOST`
        if count == 0 {
            return Ok(0);
        }
        let first = entry.next;
        let run = control::Run::new(shape.skip, count, shape.stride, u32::from(shape.length));
        let envelope = Envelope { stream: stream.number(), sequence: first, ..Envelope::default() };
        let payload = zerocopy::IntoBytes::as_bytes(&run);
        // Cannot fail, because the header fits.
        self.out.append(now, RUN_HEADER, |place| {
            _ = write_frame(place, &envelope, payload.len() as u16, payload);
        });
        let length = count as usize * shape.stride as usize;
        let lent = LentBytes { stream, first, shape: Some(shape), offset: 0, length };
        self.out.append_lent(lent);
        entry.sent_many(count, shape.length.into());
        Ok(count as usize)
    }

    /// Handles the header of a run. The run's messages follow.
    pub(in crate::link) fn on_run(
        &mut self,
        number: u32,
        sequence: u64,
        run: &control::Run,
    ) -> Result<(), LinkError> {
        let wrong = |error| LinkError::Run { stream: number, error };
        let max_frame = self.config.limits.max_frame;
        let (_, stream) = self.live_stream(number)?;
        let (count, stride, length) = (run.count.get(), run.stride.get(), run.length.get());
        stream.check_sequence(number, sequence)?;
        if stream.open.is_some() {
            return Err(wrong(RunError::Open));
        }
        let shape = u16::try_from(length).ok().map(|length| RunShape {
            stride,
            skip: run.skip.get(),
            length,
        });
        // The messages of a run have one length, so only fixed ones come in runs.
        let shape = shape.filter(|_| stream.unit == Unit::MESSAGE);
        let Some(shape) = shape.filter(RunShape::check) else {
            return Err(wrong(RunError::Shape { stride, length }));
        };
        let bytes = u64::from(count) * u64::from(stride);
        if count == 0 || bytes > u64::from(MAX_RUN) || length + HEADER_LEN as u32 > max_frame {
            return Err(wrong(RunError::Length { found: bytes, limit: MAX_RUN }));
        }
        let credit = stream.granted_sent - stream.used;
        if u64::from(count) > stream.unit.messages(credit, length as usize) {
            return Err(LinkError::Credit { stream: number });
        }
        if sequence.checked_add(count.into()).is_none() {
            return Err(LinkError::Sequence { stream: number, expected: 0, found: sequence });
        }
        self.rest = Some(Rest::Run(IncomingRun { number, shape, left: count }));
        Ok(())
    }

    /// Returns the messages of a run that are complete.
    pub(in crate::link) fn input_run<'a>(
        &mut self,
        now: Duration,
        bytes: &'a [u8],
        run: IncomingRun,
    ) -> Result<Input<'a>, LinkError> {
        let IncomingRun { number, shape, left } = run;
        let stride = shape.stride as usize;
        let count = (bytes.len() / stride).min(left as usize) as u32; // at most `left`
        if count == 0 {
            return Ok(self.incomplete(now, bytes, stride));
        }
        (self.last_received, self.partial) = (now, 0);
        self.rest = (count < left).then_some(Rest::Run(IncomingRun { left: left - count, ..run }));
        let used = count as usize * stride;
        let bytes = bytes.get(..used).unwrap_or(bytes);
        let Ok((id, stream)) = self.live_stream(number) else {
            // Cannot happen: the stream was open at the header, and only the peer can end it.
            return Ok(Input { used, needed: 0, event: None });
        };
        let (first, unsubscribed) = (stream.next, stream.unsubscribed);
        stream.received_many(now, count, shape.length.into());
        self.schedule_confirm(now);
        if unsubscribed {
            return match self.discard(number, count) {
                Ok(()) => Ok(Input { used, needed: 0, event: None }),
                Err(error) => Err(self.fail(now, error)),
            };
        }
        Ok(Input { used, needed: 0, event: Some(Event::Run { stream: id, first, shape, bytes }) })
    }
}
