//! Packets: the messages of a topic for a carrier without connections.
//!
//! A packet is whole frames in one buffer. Its first frame names a start of a publisher and the
//! sequence of its next message, so a reader understands each packet alone, and finds out how many
//! messages it has missed before it. Messages of that start and its end may follow, and other
//! starts. Messages of one length may come as a run, with one header for all of them.
//!
//! A sender numbers its starts on the topic, and each packet says how many there were. So a reader
//! that finds a start knows whether it has begun after the first packet that it has had, with the
//! sequence 0. A *list* is a packet that names all starts that live or have ended recently.

use zerocopy::{Immutable, IntoBytes};

use super::control::{Control, End, Name, Run, Stream, text};
use super::error::{LinkError, RunError};
use super::event::RunShape;
use crate::envelope::Envelope;
use crate::frame::{FrameError, FrameView, Frames, HEADER_LEN, Limits, WriteError, write_frame};

/// The number of each stream in a packet that is written here. A reader accepts any.
const STREAM: u32 = 1;

/// The size of the frame that [`write_start`] or [`write_list`] writes, in bytes.
pub const START_LEN: usize = HEADER_LEN + size_of::<Stream>();
/// The size of the frame that [`write_end`] writes, in bytes.
pub const END_LEN: usize = HEADER_LEN + size_of::<End>();
/// The size of the header that [`write_run`] writes, in bytes.
pub const RUN_HEADER_LEN: usize = HEADER_LEN + size_of::<Run>();

/// A start of a publisher, as a packet names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start<N> {
    /// The publisher's name.
    pub publisher: N,
    /// The publisher's epoch.
    pub epoch: u64,
    /// The sequence of its next message; the messages before it were sent in other packets.
    pub next: u64,
    /// The number of this start among those of its sender on the topic, from 0 on.
    pub ordinal: u32,
    /// How many starts the sender has had.
    pub starts: u32,
    /// The number of messages before the next one that the carrier had not confirmed when the packet
    /// was made. It is 0 if it confirms none.
    pub unstored: u32,
}

/// Writes the frame with which a packet begins: the messages after it are those of this start.
/// Returns its size. The name is not empty.
///
/// # Errors
/// [`WriteError::Space`] if the buffer is too small.
pub fn write_start(buf: &mut [u8], start: &Start<Name>) -> Result<usize, WriteError> {
    let Start { publisher, epoch, next, ordinal, starts, unstored } = *start;
    write(buf, next, &Stream::new(0, ordinal, epoch, starts, unstored, publisher))
}

/// Writes the frame with which a list begins. Its starts follow. Returns its size.
///
/// # Errors
/// [`WriteError::Space`] if the buffer is too small.
pub fn write_list(buf: &mut [u8], starts: u32) -> Result<usize, WriteError> {
    write(buf, 0, &Stream::new(0, 0, 0, starts, 0, Name::default()))
}

/// Writes the frame that ends a start of a publisher, which has sent the messages before `next`. It
/// belongs after the start and its messages. Returns its size.
///
/// # Errors
/// [`WriteError::Space`] if the buffer is too small.
pub fn write_end(buf: &mut [u8], next: u64) -> Result<usize, WriteError> {
    write(buf, next, &End::new([0; 6]))
}

/// Writes the header of a run: messages with the sequences from `first` on, as `shape` describes. The
/// caller appends this number of bytes with them. Returns the size of the header.
///
/// # Errors
/// [`WriteError::Space`] if the buffer is too small.
pub fn write_run(
    buf: &mut [u8],
    first: u64,
    shape: RunShape,
    bytes: usize,
) -> Result<usize, WriteError> {
    let count = (bytes as u64).checked_div(shape.stride.into()).unwrap_or_default();
    let count = u32::try_from(count).map_err(|_| WriteError::TooLong { payload: bytes })?;
    write(buf, first, &Run::new(shape.skip, count, shape.stride, u32::from(shape.length)))
}

fn write(
    buf: &mut [u8],
    sequence: u64,
    frame: &(impl IntoBytes + Immutable),
) -> Result<usize, WriteError> {
    let payload = frame.as_bytes();
    // Control frames have at most some hundred bytes.
    let envelope = Envelope { stream: STREAM, sequence, ..Envelope::default() };
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
    /// The packet is a list, of a sender that has had this many starts.
    List(u32),
    /// The items up to the next one of this kind belong to this start of a publisher.
    Start(Start<&'a str>),
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
                let (ordinal, starts) = (stream.subscription.get(), stream.keeps.get());
                let (publisher, epoch) = (text(&stream.publisher)?, stream.epoch.get());
                self.stream = (!publisher.is_empty()).then_some(number);
                let (next, unstored) = (sequence, stream.unstored.get());
                let start = Start { publisher, epoch, next, ordinal, starts, unstored };
                Ok(Some(if publisher.is_empty() { Item::List(starts) } else { Item::Start(start) }))
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
