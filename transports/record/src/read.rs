//! The reader: decodes and checks the bytes of a recording.
//!
//! The bytes are foreign. Each chunk is read as a whole, piece by piece as its bytes arrive, and
//! its checksum is checked before its first entry is returned. Sequences and counts are computed
//! again. Nothing here panics, or allocates memory by sizes that the file merely claims. (The
//! reader of the crate `mcap` does not check chunks whose checksum is 0, and lengths within a chunk
//! can overflow.)

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Read};
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use crc32fast::Hasher;
use mcap::MAGIC;
use mcap::records::op;
use mycelium_core::TraceContext;
use mycelium_transports::local::GapReason;
use mycelium_transports::untyped::{Layout, MessageType};
use zerocopy::FromBytes;

use crate::entry::Entry;
use crate::error::ReadError;
use crate::format::{self, Counts, Event, flag, key};
use crate::records::{Channel, Chunk, Message, PREFIX, Rest};
use crate::totals::{Broken, End, StreamTotals, Totals};
use crate::write::view;
use crate::{Recorded, Stream, StreamId};

/// Reads a recording from its start to its end.
pub struct Reader<R> {
    input: R,
    /// The end of the last whole record.
    offset: u64,
    section: Section,
    /// The content of the last record.
    body: Vec<u8>,
    /// The records of the open chunk that were not read yet, in `body`.
    chunk: Range<usize>,
    /// The place of `body` in the file.
    begin: u64,
    /// The checksum of the data so far, or of the summary.
    checksum: Hasher,
    /// The channel of events, once it is known.
    events: Option<u16>,
    channels: HashMap<u16, Known>,
    types: HashMap<(u16, Vec<u8>), Type>,
    /// By stream.
    streams: Vec<Open>,
    /// The streams that have changed since their last counts.
    changed: Vec<StreamId>,
    totals: Totals,
    /// The node, topic and reason of the last disconnection.
    texts: [String; 3],
    has_failed: bool,
}

/// The part of the file that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Data,
    Summary,
    /// After the end of a whole file.
    Whole,
    /// The file ends in the middle.
    Cut,
}

/// A message type.
#[derive(Clone)]
struct Type {
    message: Arc<MessageType>,
    layout: Arc<Layout>,
}

/// A channel.
enum Known {
    /// A stream that has not begun.
    Stream(Arc<Stream>, Arc<Layout>),
    /// A stream that has begun.
    Begun(StreamId),
    /// A channel of another program, or the fields of messages.
    Other,
}

/// A stream that has begun.
struct Open {
    channel: u16,
    layout: Arc<Layout>,
    has_changed: bool,
}

/// An entry whose texts are in the reader.
enum Found {
    Began(StreamId, u64),
    Message(StreamId, Header, Range<usize>),
    Gap(StreamId, u64, u64, GapReason, u64),
    End(StreamId, End, u64, u64),
    Disconnected(u64),
}

struct Header {
    sequence: u64,
    received_at: u64,
    sent_at: Option<u64>,
    trace: Option<TraceContext>,
    retained: bool,
}

impl<R: Read> Reader<R> {
    /// Creates a reader, and reads the header of the file.
    ///
    /// # Errors
    /// If the file has another header than a recording, or cannot be read. A file that ends within
    /// its header is a recording without entries that was cut off.
    pub fn new(input: R) -> Result<Reader<R>, ReadError> {
        let mut reader = Reader {
            input,
            offset: 0,
            section: Section::Data,
            body: Vec::new(),
            chunk: 0..0,
            begin: 0,
            checksum: Hasher::new(),
            events: None,
            channels: HashMap::new(),
            types: HashMap::new(),
            streams: Vec::new(),
            changed: Vec::new(),
            totals: Totals::default(),
            texts: Default::default(),
            has_failed: false,
        };
        let mut magic = [0; MAGIC.len()];
        let count = reader.fill(&mut magic)?;
        if magic[..count] != MAGIC[..count] {
            return Err(ReadError::NotMcap);
        }
        if count < MAGIC.len() {
            reader.section = Section::Cut;
            return Ok(reader);
        }
        reader.checksum.update(&magic);
        reader.offset = MAGIC.len() as u64;
        match reader.record()? {
            None => {}
            Some(op::HEADER) => match Rest(&reader.body).text() {
                Some(format::PROFILE) => {}
                Some(profile) => {
                    return Err(ReadError::NotRecording { profile: shown(profile) });
                }
                None => return Err(reader.damaged(0, None, "a profile", "the end of the header")),
            },
            Some(kind) => {
                return Err(reader.damaged(0, None, "a header", format_args!("record {kind}")));
            }
        }
        Ok(reader)
    }

    /// Returns the next entry; `None` at the end of the file, or where it was cut off, and after an
    /// error.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or was not written by a [`Recording`].
    ///
    /// [`Recording`]: crate::Recording
    #[allow(clippy::should_implement_trait, reason = "an entry borrows the reader")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, ReadError> {
        if self.has_failed {
            return Ok(None);
        }
        match self.find() {
            Ok(found) => Ok(found.map(|found| self.entry(found))),
            Err(error) => {
                self.has_failed = true;
                Err(error)
            }
        }
    }

    /// Returns the sums of the entries that were returned.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Returns whether the end of a whole file was reached.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.section == Section::Whole
    }

    /// Returns the place in the file up to which it was read: the end of the last whole record. It
    /// is the end of the last whole chunk, if the file was cut off.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Finds the next entry.
    fn find(&mut self) -> Result<Option<Found>, ReadError> {
        loop {
            while !self.chunk.is_empty() {
                let at = self.chunk.start;
                let Some((kind, record)) = Rest(&self.body[self.chunk.clone()]).record() else {
                    return Err(self.damaged(at, None, "a whole record", "the end of its chunk"));
                };
                let content = at + PREFIX..at + PREFIX + record.len();
                self.chunk.start = content.end;
                let found = match kind {
                    op::CHANNEL => {
                        self.channel(at, content)?;
                        None
                    }
                    op::MESSAGE => self.message(at, content)?,
                    // Records of later versions have other types.
                    op::SCHEMA => None,
                    kind if kind > op::DATA_END => None,
                    _ => {
                        let expected = "channels, schemas and messages in a chunk";
                        let found = format_args!("record {kind}");
                        return Err(self.damaged(at, None, expected, found));
                    }
                };
                if self.chunk.is_empty() {
                    self.end_chunk()?;
                }
                if found.is_some() {
                    return Ok(found);
                }
            }
            match self.section {
                Section::Whole | Section::Cut => return Ok(None),
                Section::Data | Section::Summary => {}
            }
            match self.record()? {
                Some(op::CHUNK) => self.open_chunk()?,
                Some(kind @ (op::HEADER | op::MESSAGE)) => {
                    let found = format_args!("record {kind} outside of one");
                    return Err(self.damaged(0, None, "messages in chunks", found));
                }
                _ => {}
            }
        }
    }

    /// Returns an entry with its texts.
    fn entry(&self, found: Found) -> Entry<'_> {
        let stream = |id: StreamId| &self.totals.streams[id.0].stream;
        let layout = |id: StreamId| &self.streams[id.0].layout;
        match found {
            Found::Began(id, at) => {
                let first = self.totals.streams[id.0].first;
                Entry::Began { id, stream: stream(id), layout: layout(id), first, at }
            }
            Found::Message(id, header, range) => {
                let Header { sequence, received_at, sent_at, trace, retained } = header;
                let bytes = &self.body[range];
                let message = Recorded { sequence, received_at, sent_at, trace, retained, bytes };
                Entry::Message { id, stream: stream(id), layout: layout(id), message }
            }
            Found::Gap(id, next, missed, reason, at) => {
                Entry::Gap { id, stream: stream(id), next, missed, reason, at }
            }
            Found::End(id, End::Ended, next, at) => {
                Entry::Ended { id, stream: stream(id), next, at }
            }
            Found::End(id, End::Lost, next, at) => Entry::Lost { id, stream: stream(id), next, at },
            Found::Disconnected(at) => {
                let [node, topic, reason] = &self.texts;
                Entry::Disconnected { node, topic, reason, at }
            }
        }
    }

    /// Reads the next record into `body`, and returns its type; `None` at the end of the file.
    fn record(&mut self) -> Result<Option<u8>, ReadError> {
        let mut prefix = [0; PREFIX];
        let count = self.fill(&mut prefix)?;
        self.begin = self.offset + PREFIX as u64;
        let mut rest = Rest(&prefix);
        let (Some(kind), Some(length)) = (rest.byte(), rest.u64()) else { return Ok(None) };
        if count < PREFIX {
            self.section = Section::Cut;
            return Ok(None);
        }
        if kind == 0 || length > format::LONGEST_RECORD {
            let expected = format_args!("a record of at most {} bytes", format::LONGEST_RECORD);
            let found = format_args!("type {kind} with {length} bytes");
            return Err(self.damaged(0, None, expected, found));
        }
        if self.body.capacity() > 8 * format::CHUNK {
            self.body = Vec::new();
        }
        self.body.clear();
        // Reserves memory only for bytes that have arrived.
        let read = (&mut self.input).take(length).read_to_end(&mut self.body);
        read.map_err(|error| ReadError::Input { offset: self.begin, error })?;
        if (self.body.len() as u64) < length {
            self.section = Section::Cut;
            return Ok(None);
        }
        match (kind, self.section) {
            (op::DATA_END, Section::Data) => {
                let found = mem::take(&mut self.checksum).finalize();
                self.checked("the data", Rest(&self.body).u32(), found)?;
                self.section = Section::Summary;
            }
            (op::FOOTER, Section::Summary) => {
                let mut footer = Rest(&self.body);
                let places = footer.take(16).unwrap_or_default();
                let mut checksum = mem::take(&mut self.checksum);
                checksum.update(&prefix);
                checksum.update(places);
                self.checked("the summary", footer.u32(), checksum.finalize())?;
                self.offset = self.begin + length;
                self.end()?;
                return Ok(None);
            }
            (op::CHUNK | op::DATA_END, Section::Summary) | (op::FOOTER, _) => {
                let found = format_args!("record {kind}");
                return Err(self.damaged(0, None, "the data before the summary", found));
            }
            _ => {
                self.checksum.update(&prefix);
                self.checksum.update(&self.body);
            }
        }
        self.offset = self.begin + length;
        Ok(Some(kind))
    }

    /// Checks the checksum of a section. The value 0 says that there is none.
    fn checked(&self, what: &str, said: Option<u32>, found: u32) -> Result<(), ReadError> {
        match said {
            Some(said) if said == 0 || said == found => Ok(()),
            Some(said) => {
                let expected = format_args!("{what} with checksum {said:08x}");
                Err(self.damaged(0, None, expected, format_args!("{found:08x}")))
            }
            None => Err(self.damaged(0, None, "a checksum", "the end of its record")),
        }
    }

    /// Reads the end of the file after its last record.
    fn end(&mut self) -> Result<(), ReadError> {
        let mut magic = [0; MAGIC.len() + 1];
        let count = self.fill(&mut magic)?;
        self.begin = self.offset + PREFIX as u64;
        if magic[..count.min(MAGIC.len())] != MAGIC[..count.min(MAGIC.len())] {
            return Err(self.damaged(0, None, "the end of an MCAP file", "other bytes"));
        }
        if count > MAGIC.len() {
            return Err(self.damaged(0, None, "no bytes after the end of the file", "more bytes"));
        }
        self.section = if count == MAGIC.len() { Section::Whole } else { Section::Cut };
        self.offset += if count == MAGIC.len() { count as u64 } else { 0 };
        Ok(())
    }

    /// Reads as many bytes as there are room and input for, and returns their number.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let mut count = 0;
        while count < buffer.len() {
            match self.input.read(&mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Input { offset: self.offset, error }),
            }
        }
        Ok(count)
    }

    /// Begins with the records of a chunk.
    fn open_chunk(&mut self) -> Result<(), ReadError> {
        let Some(Chunk { size, crc, compression, records }) = Chunk::parse(&self.body) else {
            return Err(self.damaged(0, None, "a chunk", "other lengths in its header"));
        };
        if !compression.is_empty() || size != records.len() as u64 {
            let found = format_args!("`{}`, {size} bytes", shown(compression));
            let expected = format_args!("a chunk without compression, {} bytes", records.len());
            return Err(self.damaged(0, None, expected, found));
        }
        let found = crc32fast::hash(records);
        if found != crc {
            let expected = format_args!("a chunk with checksum {crc:08x}");
            return Err(self.damaged(0, None, expected, format_args!("{found:08x}")));
        }
        self.chunk = self.body.len() - records.len()..self.body.len();
        Ok(())
    }

    /// Checks at the end of a chunk that it has the counts of all of its streams.
    fn end_chunk(&mut self) -> Result<(), ReadError> {
        let at = self.body.len();
        if let Some(id) = self.changed.iter().find(|id| self.streams[id.0].has_changed) {
            let topic = Some(&*self.totals.streams[id.0].stream.topic);
            return Err(self.damaged(at, topic, "counts of all streams", "the end of the chunk"));
        }
        self.changed.clear();
        Ok(())
    }

    /// Handles a channel.
    fn channel(&mut self, at: usize, content: Range<usize>) -> Result<(), ReadError> {
        let Some(channel) = Channel::parse(&self.body[content]) else {
            return Err(self.damaged(at, None, "a channel", "other lengths in its record"));
        };
        let Channel { number, topic, encoding, metadata } = channel;
        let damaged = |expected: &str, found: &dyn Display| {
            Err(self.damaged(at, Some(topic), expected, found))
        };
        if encoding != format::ENCODING {
            let is_events = topic == format::EVENTS && encoding == format::JSON;
            let known = self.channels.get(&number);
            if !known.is_none_or(|known| matches!(known, Known::Other)) {
                return damaged(
                    "one channel of each number",
                    &format_args!("channel {number} again"),
                );
            }
            if is_events && self.events.is_none() {
                match metadata.get(key::VERSION) {
                    Some(&format::VERSION) => self.events = Some(number),
                    found => {
                        let (expected, found) = (format::VERSION, found.copied().unwrap_or("none"));
                        return Err(ReadError::Version { expected, found: shown(found) });
                    }
                }
            }
            self.channels.insert(number, Known::Other);
            return Ok(());
        }

        let text = |key: &str| metadata.get(key).copied();
        let texts = (text(key::NODE), text(key::PUBLISHER), text(key::EPOCH), text(key::TYPE));
        let (Some(node), Some(publisher), Some(epoch), Some(id)) = texts else {
            return damaged("metadata `node`, `publisher`, `epoch` and `type`", &"others");
        };
        let (Ok(epoch), Ok(id)) = (u64::from_str_radix(epoch, 16), id.parse::<u16>()) else {
            return damaged("an epoch in hex and a number of a type", &"others");
        };
        let Some(form) = text(key::FORM).and_then(bytes_of_hex) else {
            return damaged("metadata `form` in hex", &"none");
        };
        let of = (id, form);
        let Type { message, layout } = match self.types.get(&of) {
            Some(known) => known.clone(),
            None => {
                let message = MessageType { id, form: of.1.clone() };
                let layout = match message.layout() {
                    Ok(layout) => Arc::new(layout),
                    Err(error) => return damaged("a layout", &error),
                };
                let known = Type { message: Arc::new(message), layout };
                self.types.insert(of, known.clone());
                known
            }
        };
        let digest = message.digest().to_string();
        if text(key::DIGEST) != Some(&digest) {
            let found = shown(text(key::DIGEST).unwrap_or("none"));
            return Err(self.damaged(at, Some(topic), format_args!("digest {digest}"), found));
        }
        let (node, publisher) = (node.to_owned(), publisher.to_owned());
        let stream = Stream { node, topic: topic.to_owned(), publisher, epoch, message };
        let is_known = match self.channels.get(&number) {
            None => false,
            Some(Known::Stream(known, _)) if **known == stream => true,
            Some(Known::Begun(id)) if *self.totals.streams[id.0].stream == stream => true,
            Some(_) => {
                let expected = "one channel of each number";
                return Err(self.damaged(at, Some(&stream.topic), expected, "another one"));
            }
        };
        if !is_known {
            self.channels.insert(number, Known::Stream(Arc::new(stream), layout));
        }
        Ok(())
    }

    /// Handles a message: an entry of a stream, or an event. Returns `None` for the channels of
    /// others, and for counts.
    fn message(&mut self, at: usize, content: Range<usize>) -> Result<Option<Found>, ReadError> {
        let Some(record) = Message::parse(&self.body[content.clone()]) else {
            return Err(self.damaged(at, None, "a message", "the end of its record"));
        };
        let Message { channel, sequence: low, log_time, publish_time, data } = record;
        if self.events == Some(channel) {
            let event = serde_json::from_slice(data);
            let event: Event<'static> =
                event.map_err(|error| self.damaged(at, None, "an event", error))?;
            return self.event(at, event, log_time);
        }
        let id = match self.channels.get(&channel) {
            Some(Known::Begun(id)) => *id,
            Some(Known::Other) => return Ok(None),
            Some(Known::Stream(stream, _)) => {
                let topic = Some(&*stream.topic);
                return Err(self.damaged(at, topic, "the begin of the stream", "a message"));
            }
            None => {
                let found = format_args!("channel {channel}");
                return Err(self.damaged(at, None, "a message of a known channel", found));
            }
        };
        let open = &self.streams[id.0];
        let topic = Some(&*self.totals.streams[id.0].stream.topic);
        let mut rest = Rest(data);
        let (Some(flags), Some(sequence)) = (rest.byte(), rest.u64()) else {
            return Err(self.damaged(at, topic, "flags and a sequence", "the end of the message"));
        };
        let has = |flag| flags & flag != 0;
        let trace = match has(flag::TRACE).then(|| TraceContext::read_from_prefix(rest.0)) {
            None => None,
            Some(Ok((trace, after))) => {
                rest = Rest(after);
                Some(trace)
            }
            Some(Err(_)) => {
                return Err(self.damaged(at, topic, "a trace", "the end of the message"));
            }
        };
        let sent_at = has(flag::SENT_AT).then_some(publish_time);
        let is_known = flags & !(flag::RETAINED | flag::SENT_AT | flag::TRACE) == 0;
        if !is_known || low != sequence as u32 || publish_time != sent_at.unwrap_or(log_time) {
            let found = format_args!("flags {flags}, sequences {sequence} and {low}");
            let expected = "known flags, one sequence and a send time";
            return Err(self.damaged(at, topic, expected, found));
        }
        let (received_at, retained, bytes) = (log_time, has(flag::RETAINED), rest.0);
        if let Err(error) = view(&open.layout, bytes) {
            return Err(self.damaged(at, topic, "a message of its layout", error));
        }
        let recorded = Recorded { sequence, received_at, sent_at, trace, retained, bytes };
        let range = content.end - bytes.len()..content.end;
        if let Err(broken) = self.totals.streams[id.0].add(&recorded) {
            return Err(self.broken(at, id, broken));
        }
        self.changes(id);
        let header = Header { sequence, received_at, sent_at, trace, retained };
        Ok(Some(Found::Message(id, header, range)))
    }

    /// Handles an event.
    fn event(
        &mut self,
        at: usize,
        event: Event<'static>,
        time: u64,
    ) -> Result<Option<Found>, ReadError> {
        let (id, found) = match event {
            Event::Began { channel, first } => {
                let Some(Known::Stream(stream, layout)) = self.channels.get(&channel) else {
                    let found = format_args!("channel {channel}");
                    return Err(self.damaged(at, None, "the channel of a new stream", found));
                };
                let (stream, layout) = (stream.clone(), layout.clone());
                let id = StreamId(self.streams.len());
                self.channels.insert(channel, Known::Begun(id));
                self.streams.push(Open { channel, layout, has_changed: false });
                self.totals.streams.push(StreamTotals::new(stream, first));
                (id, Found::Began(id, time))
            }
            Event::Gap { channel, next, missed, reason } => {
                let id = self.begun(at, channel)?;
                let Some(reason) = GapReason::of_word(&reason) else {
                    return Err(self.damaged(at, None, "the reason of a gap", shown(&reason)));
                };
                let skipped = self.totals.streams[id.0].skip(next, missed);
                skipped.map_err(|broken| self.broken(at, id, broken))?;
                (id, Found::Gap(id, next, missed, reason, time))
            }
            Event::Ended { channel, next } => self.finish(at, channel, (End::Ended, next), time)?,
            Event::Lost { channel, next } => self.finish(at, channel, (End::Lost, next), time)?,
            Event::Disconnected { node, topic, reason } => {
                self.totals.disconnections += 1;
                self.texts = [node, topic, reason].map(|text| text.into_owned());
                return Ok(Some(Found::Disconnected(time)));
            }
            Event::Counts { streams } => {
                for counts in streams {
                    self.counts(at, counts)?;
                }
                return Ok(None);
            }
        };
        self.changes(id);
        Ok(Some(found))
    }

    /// Returns the stream of a channel that an event names.
    fn begun(&self, at: usize, channel: u16) -> Result<StreamId, ReadError> {
        match self.channels.get(&channel) {
            Some(Known::Begun(id)) => Ok(*id),
            _ => {
                let found = format_args!("channel {channel}");
                Err(self.damaged(at, None, "a stream that has begun", found))
            }
        }
    }

    fn finish(
        &mut self,
        at: usize,
        channel: u16,
        (end, next): (End, u64),
        time: u64,
    ) -> Result<(StreamId, Found), ReadError> {
        let id = self.begun(at, channel)?;
        let finished = self.totals.streams[id.0].finish(end, next);
        finished.map_err(|broken| self.broken(at, id, broken))?;
        Ok((id, Found::End(id, end, next, time)))
    }

    /// Compares the counts of the file with those of its entries.
    fn counts(&mut self, at: usize, found: Counts) -> Result<(), ReadError> {
        let id = self.begun(at, found.channel)?;
        let expected = Counts::of(self.streams[id.0].channel, &self.totals.streams[id.0]);
        if found != expected {
            let topic = Some(&*self.totals.streams[id.0].stream.topic);
            return Err(self.damaged(at, topic, expected, found));
        }
        self.streams[id.0].has_changed = false;
        Ok(())
    }

    fn changes(&mut self, id: StreamId) {
        if !mem::replace(&mut self.streams[id.0].has_changed, true) {
            self.changed.push(id);
        }
    }

    /// Creates the error of a fault at a place in `body`.
    fn damaged(
        &self,
        at: usize,
        topic: Option<&str>,
        expected: impl Display,
        found: impl Display,
    ) -> ReadError {
        // The place of a record is that of its type, before its content.
        let offset = self.begin + at as u64 - if at == 0 { PREFIX as u64 } else { 0 };
        let (expected, found) = (expected.to_string(), found.to_string());
        ReadError::Damaged { offset, topic: topic.map(str::to_owned), expected, found }
    }

    /// Creates the error of an entry that breaks the sum of its stream.
    fn broken(&self, at: usize, id: StreamId, broken: Broken) -> ReadError {
        let Stream { topic, publisher, .. } = &*self.totals.streams[id.0].stream;
        let publisher = publisher.escape_debug();
        let expected = match broken.expected {
            Some(expected) => format!("sequence {expected} of publisher `{publisher}`"),
            None => format!("no entry after the end of publisher `{publisher}`"),
        };
        self.damaged(at, Some(topic), expected, format_args!("sequence {}", broken.found))
    }
}

/// Returns the beginning of a foreign text, escaped.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_reserves_no_memory() {
        let (file, _) = crate::Recording::new().finish();
        let header = PREFIX + usize::from(file[MAGIC.len() + 1]);
        let mut file = file[..MAGIC.len() + header].to_vec();
        file.push(0x80);
        file.extend(format::LONGEST_RECORD.to_le_bytes());
        file.extend([7; 100]);
        let mut reader = Reader::new(&file[..]).unwrap();
        assert!(reader.next().unwrap().is_none() && !reader.is_whole());
        assert!(reader.body.capacity() < 1 << 10, "{}", reader.body.capacity());
    }
}
