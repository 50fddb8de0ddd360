//! Packets: the messages of a topic for a carrier without connections.
//!
//! A packet is whole frames in one buffer. Its first frame names a start of a publisher and the
//! sequence of its next message, so a reader understands each packet alone, and finds out how many
//! messages it has missed before it. Messages of that start and its end may follow, and other
//! starts. Messages of one length may come as a run, with one header for all of them.
//!
//! A *list* is a packet that names all starts of its sender, and has no messages. A reader that has
//! a list knows that a start that it finds later has begun after it, with sequence 0. A sender
//! without publishers has an empty packet as its list.

use zerocopy::{Immutable, IntoBytes};

use super::control::{Control, End, Name, Run, Stream, text};
use super::error::{LinkError, RunError};
use super::event::RunShape;
use crate::envelope::Envelope;
use crate::frame::{FrameError, FrameView, Frames, HEADER_LEN, Limits, WriteError, write_frame};

/// The number of the streams in a list. In other packets a reader accepts any other number.
const LISTED: u32 = 0;
/// The number of the streams in the other packets.
const STREAM: u32 = 1;

/// The size of the frame that [`write_stream`] writes, in bytes.
pub const STREAM_LEN: usize = HEADER_LEN + size_of::<Stream>();
/// The size of the frame that [`write_end`] writes, in bytes.
pub const END_LEN: usize = HEADER_LEN + size_of::<End>();
/// The size of the header that [`write_run`] writes, in bytes.
pub const RUN_HEADER_LEN: usize = HEADER_LEN + size_of::<Run>();

/// Writes the frame with which a packet begins: the messages after it are those of `publisher` in
/// this `epoch`, and the next one has the sequence `next`. In a list, `is_listed` is set. Returns
/// its size.
///
/// # Errors
/// [`WriteError::Space`] if the buffer is too small.
pub fn write_stream(
    buf: &mut [u8],
    publisher: Name,
    epoch: u64,
    next: u64,
    is_listed: bool,
) -> Result<usize, WriteError> {
    let number = if is_listed { LISTED } else { STREAM };
    write(buf, number, next, &Stream::new(0, 0, epoch, 0, 0, publisher))
}

/// Writes the frame that ends a start of a publisher, which has sent the messages before `next`. It
/// belongs after the start's messages, not in a list. Returns its size.
///
/// # Errors
/// [`WriteError::Space`] if the buffer is too small.
pub fn write_end(buf: &mut [u8], next: u64) -> Result<usize, WriteError> {
    write(buf, STREAM, next, &End::new([0; 6]))
}

/// Writes a run: messages with the sequences from `first` on, which are in the two `pieces`, one
/// after the other, as `shape` describes. Returns its size.
///
/// # Errors
/// [`WriteError::Space`] if the buffer is too small.
pub fn write_run(
    buf: &mut [u8],
    first: u64,
    shape: RunShape,
    pieces: [&[u8]; 2],
) -> Result<usize, WriteError> {
    let bytes = pieces[0].len() + pieces[1].len();
    let needed = RUN_HEADER_LEN.saturating_add(bytes);
    let Some((header, rest)) =
        buf.get_mut(..needed).and_then(|buf| buf.split_at_mut_checked(RUN_HEADER_LEN))
    else {
        return Err(WriteError::Space { needed, available: buf.len() });
    };
    let count = (bytes as u64).checked_div(shape.stride.into()).unwrap_or_default();
    let count = u32::try_from(count).map_err(|_| WriteError::TooLong { payload: bytes })?;
    write(
        header,
        STREAM,
        first,
        &Run::new(shape.skip, count, shape.stride, u32::from(shape.length)),
    )?;
    let (one, other) = rest.split_at_mut(pieces[0].len());
    one.copy_from_slice(pieces[0]);
    other.copy_from_slice(pieces[1]);
    Ok(needed)
}

fn write(
    buf: &mut [u8],
    stream: u32,
    sequence: u64,
    frame: &(impl IntoBytes + Immutable),
) -> Result<usize, WriteError> {
    let payload = frame.as_bytes();
    // Control frames have at most some hundred bytes.
    let envelope = Envelope { stream, sequence, ..Envelope::default() };
    write_frame(buf, &envelope, payload.len() as u16, payload)
}

/// Returns the envelope of a message in a packet, for [`write_frame`].
#[must_use]
pub fn envelope(type_id: u16, sequence: u64) -> Envelope {
    Envelope { type_id, stream: STREAM, sequence, ..Envelope::default() }
}

/// A part of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// The items up to the next one of this kind belong to this start of a publisher.
    Stream {
        /// The publisher's name.
        publisher: &'a str,
        /// The publisher's epoch.
        epoch: u64,
        /// The sequence of its next message; the messages before it were sent in other packets.
        next: u64,
        /// Whether the packet is a list.
        is_listed: bool,
    },
    /// A message.
    Message(FrameView<'a>),
    /// Messages of one length.
    Run {
        /// The sequence of the first message.
        first: u64,
        /// Where the messages are in the bytes.
        shape: RunShape,
        /// A whole number of items, at least one.
        bytes: &'a [u8],
    },
    /// The publisher has ended before the message with this sequence.
    End(u64),
}

/// The items of a packet. They end after the first error.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    frames: Frames<'a>,
    limits: Limits,
    type_id: u16,
    /// The number of the stream to which the next frame belongs; `None` before the first frame and
    /// after an error.
    stream: Option<u32>,
}

impl<'a> Packet<'a> {
    /// Reads the packet of a topic with this type. The bytes may be any.
    #[must_use]
    pub fn new(bytes: &'a [u8], type_id: u16, limits: Limits) -> Packet<'a> {
        Packet { frames: Frames::new(bytes, limits), limits, type_id, stream: None }
    }

    fn item(&mut self, frame: FrameView<'a>) -> Result<Option<Item<'a>>, LinkError> {
        let (number, found) = (frame.header().stream(), frame.header().type_id());
        let sequence = frame.header().sequence();
        let is_known = self.stream == Some(number);
        let known = if is_known { Ok(()) } else { Err(LinkError::Stream { number }) };
        if found != 0 {
            known?;
            let expected = self.type_id;
            if found != expected {
                return Err(LinkError::Type { expected, found });
            }
            if sequence == u64::MAX {
                let (stream, expected) = (number, u64::MAX - 1);
                return Err(LinkError::Sequence { stream, expected, found: sequence });
            }
            return Ok(Some(Item::Message(frame)));
        }
        match Control::parse(frame.payload())? {
            Control::Stream(stream) => {
                self.stream = Some(number);
                let (publisher, epoch) = (text(&stream.publisher)?, stream.epoch.get());
                let is_listed = number == LISTED;
                Ok(Some(Item::Stream { publisher, epoch, next: sequence, is_listed }))
            }
            Control::End(_) => known.map(|()| Some(Item::End(sequence))),
            Control::Run(run) => known.and_then(|()| self.run(number, sequence, run).map(Some)),
            _ => Ok(None),
        }
    }

    fn run(&mut self, stream: u32, first: u64, run: &Run) -> Result<Item<'a>, LinkError> {
        let (stride, length) = (run.stride.get(), run.length.get());
        let wrong = |error| LinkError::Run { stream, error };
        let shape = u16::try_from(length).ok().map(|length| {
            let skip = run.skip.get();
            RunShape { stride, skip, length }
        });
        let Some(shape) = shape.filter(RunShape::check) else {
            return Err(wrong(RunError::Shape { stride, length }));
        };
        let (count, rest) = (run.count.get(), self.frames.rest());
        let needed = u64::from(count) * u64::from(stride);
        let split = usize::try_from(needed).ok().and_then(|needed| rest.split_at_checked(needed));
        let Some((bytes @ [_, ..], rest)) = split else {
            let limit = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            return Err(wrong(RunError::Length { found: needed, limit }));
        };
        if first.checked_add(count.into()).is_none() {
            return Err(LinkError::Sequence { stream, expected: 0, found: first });
        }
        self.frames = Frames::new(rest, self.limits);
        Ok(Item::Run { first, shape, bytes })
    }
}

impl<'a> Iterator for Packet<'a> {
    type Item = Result<Item<'a>, LinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.frames.rest().len();
            let found = match self.frames.next() {
                Some(Ok(frame)) => self.item(frame),
                Some(Err(error)) => Err(error.into()),
                None if rest == 0 => return None,
                // A carrier passes whole packets.
                None => Err(FrameError::Incomplete { needed: rest + 1 }.into()),
            };
            match found {
                Ok(None) => {}
                Ok(Some(item)) => return Some(Ok(item)),
                Err(error) => {
                    self.frames = Frames::new(&[], Limits::default());
                    return Some(Err(error));
                }
            }
        }
    }
}
