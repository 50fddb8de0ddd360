//! The recording: encodes streams into the bytes of an MCAP file.
//!
//! Bytes are complete once their chunk is closed: [`Recording::take`] returns only whole chunks, so
//! a file to which they are appended can end anywhere and loses at most its last chunk. A message of
//! at most 1 MiB without maps needs no hash and no allocation.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcap::records::MessageHeader;
use mcap::write::NoSeek;
use mcap::{WriteOptions, Writer};
use mycelium_transports::local::GapReason;
use mycelium_transports::untyped::{Hex, LONGEST, Layout, MessageType, StructView, ViewError};
use zerocopy::IntoBytes;

use crate::error::RecordError;
use crate::format::{self, Counts, Event, flag, key};
use crate::totals::{Broken, End, StreamTotals, Totals};
use crate::{Recorded, Stream, StreamId, json, schema};

/// The number of the channel of events.
const EVENTS: u16 = 0;
/// The size of a message's record in a chunk, without its data.
const RECORD: usize = 1 + 8 + 2 + 4 + 8 + 8;
/// Invariants of the encoder, which writes into memory.
const IN_MEMORY: &str = "memory takes all bytes, and the channel is known";

/// Encodes streams into the bytes of a file.
///
/// Append what [`take`](Recording::take) returns to the file, now and then and in this order, and
/// at last what [`finish`](Recording::finish) returns.
pub struct Recording {
    writer: Writer<NoSeek<Bytes>>,
    bytes: Bytes,
    has_json: bool,
    totals: Totals,
    /// By stream.
    channels: Vec<Channel>,
    /// The streams that have changed since the last counts.
    changed: Vec<StreamId>,
    /// The schemas by topic and message type.
    schemas: HashMap<String, Vec<Schema>>,
    /// The number of schemas.
    schema_count: u16,
    /// How many times each stream has begun, by node, topic, publisher and epoch.
    begins: HashMap<(String, String, String, u64), u32>,
    /// The bytes of the open chunk, about.
    open: usize,
    /// The data of a message.
    data: Vec<u8>,
}

/// The channel of a stream.
struct Channel {
    layout: Arc<Layout>,
    number: u16,
    /// The channel with the fields as JSON.
    fields: Option<u16>,
    has_changed: bool,
}

/// The schema of a message type.
struct Schema {
    message: Arc<MessageType>,
    layout: Arc<Layout>,
    number: u16,
}

/// Complete bytes that were not taken yet, and how many there were before.
#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<(Vec<u8>, u64)>>);

impl Bytes {
    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Default for Recording {
    fn default() -> Recording {
        Recording::new()
    }
}

impl Recording {
    /// Creates a recording without streams.
    #[must_use]
    pub fn new() -> Recording {
        Recording::create(false)
    }

    /// Creates a recording that also has each message as JSON, in a second channel that is named
    /// as the topic and ` (fields)`, so that viewers show its fields. The reader ignores these
    /// channels. A message of more than 1 MiB, or that is longer than 16 MiB as JSON, is left out
    /// there.
    #[must_use]
    pub fn with_json() -> Recording {
        Recording::create(true)
    }

    fn create(has_json: bool) -> Recording {
        let bytes = Bytes::default();
        let options = WriteOptions::new()
            .profile(format::PROFILE)
            .library(concat!("mycelium-bus-record ", env!("CARGO_PKG_VERSION")))
            .compression(None)
            .chunk_size(None)
            .disable_seeking(true);
        let mut writer = options.create(NoSeek::new(bytes.clone())).expect(IN_MEMORY);
        let version = BTreeMap::from([(key::VERSION.to_owned(), format::VERSION.to_owned())]);
        let (topic, encoding) = (format::EVENTS, format::JSON);
        writer.add_channel_with_id(EVENTS, 0, topic, encoding, &version).expect(IN_MEMORY);
        Recording {
            writer,
            bytes,
            has_json,
            totals: Totals::default(),
            channels: Vec::new(),
            changed: Vec::new(),
            schemas: HashMap::new(),
            schema_count: 0,
            begins: HashMap::new(),
            open: 0,
            data: Vec::new(),
        }
    }

    /// Begins a stream, whose next message has the sequence `first`. A file of several begins one
    /// stream in each of them.
    ///
    /// # Errors
    /// [`RecordError::Full`] if this file has no number for the stream: begin a new file. Another
    /// error if a name or the layout is too long, or the layout is not valid.
    pub fn begin(&mut self, stream: Stream, first: u64, at: u64) -> Result<StreamId, RecordError> {
        let names = [
            ("a node", &stream.node),
            ("a topic", &stream.topic),
            ("a publisher", &stream.publisher),
        ];
        for (what, name) in names {
            let (found, limit) = (name.len(), format::LONGEST_NAME);
            if found > limit {
                return Err(RecordError::Name { what, found, limit });
            }
        }
        let each = 1 + usize::from(self.has_json);
        let id = StreamId(self.channels.len());
        let limit = usize::from(u16::MAX) / each;
        if id.0 >= limit {
            return Err(RecordError::Full { limit });
        }
        // The cast is lossless: see `limit`.
        let number = (1 + each * id.0) as u16;
        let (schema, layout) = self.schema(&stream)?;

        let Stream { node, topic, publisher, epoch, message } = &stream;
        let name = (node.clone(), topic.clone(), publisher.clone(), *epoch);
        let begin = self.begins.entry(name).or_insert(0);
        let mut metadata = BTreeMap::from([
            (key::NODE.to_owned(), node.clone()),
            (key::PUBLISHER.to_owned(), publisher.clone()),
            (key::EPOCH.to_owned(), format!("{epoch:016x}")),
            (key::TYPE.to_owned(), message.id.to_string()),
            (key::DIGEST.to_owned(), message.digest().to_string()),
            (key::FORM.to_owned(), Hex(&message.form).to_string()),
        ]);
        if *begin > 0 {
            metadata.insert(key::BEGIN.to_owned(), begin.to_string());
        }
        *begin += 1;
        let encoding = format::ENCODING;
        let added = self.writer.add_channel_with_id(number, schema, topic, encoding, &metadata);
        added.expect(IN_MEMORY);
        let fields = self.has_json.then(|| number + 1);
        if let Some(number) = fields {
            metadata.remove(key::FORM);
            let (topic, encoding) = (format!("{topic}{}", format::FIELDS), format::JSON);
            let added =
                self.writer.add_channel_with_id(number, schema, &topic, encoding, &metadata);
            added.expect(IN_MEMORY);
        }
        self.open += 2 * message.form.len();
        self.channels.push(Channel { layout, number, fields, has_changed: false });
        self.totals.streams.push(StreamTotals::new(Arc::new(stream), first));
        self.event(&Event::Began { channel: number, first }, at);
        self.changes(id);
        Ok(id)
    }

    /// Returns the number of the schema of a stream, and its layout.
    fn schema(&mut self, stream: &Stream) -> Result<(u16, Arc<Layout>), RecordError> {
        let Stream { topic, message, .. } = stream;
        let known = self.schemas.get(topic).into_iter().flatten();
        for Schema { message: known, layout, number } in known {
            if Arc::ptr_eq(known, message) || known == message {
                return Ok((*number, layout.clone()));
            }
        }
        let (found, limit) = (message.form.len(), format::LONGEST_FORM);
        if found > limit {
            return Err(RecordError::Form { topic: topic.clone(), found, limit });
        }
        let layout = message
            .layout()
            .map_err(|error| RecordError::Layout { topic: topic.clone(), error })?;
        let limit = usize::from(u16::MAX);
        let number = self.schema_count.checked_add(1).ok_or(RecordError::Full { limit })?;
        let json = schema::schema(&layout).to_string();
        let added = self.writer.add_schema_with_id(number, topic, "jsonschema", json.as_bytes());
        added.expect(IN_MEMORY);
        (self.schema_count, self.open) = (number, self.open + json.len());
        let layout = Arc::new(layout);
        let schema = Schema { message: message.clone(), layout: layout.clone(), number };
        self.schemas.entry(topic.clone()).or_default().push(schema);
        Ok((number, layout))
    }

    /// Adds a message.
    ///
    /// # Errors
    /// If the message is not the next one of its stream, the stream has ended, or the bytes do not
    /// match its layout. The recording is as before.
    pub fn message(&mut self, id: StreamId, message: &Recorded<'_>) -> Result<(), RecordError> {
        let Recorded { sequence, received_at, sent_at, trace, retained, bytes } = *message;
        let (Some(channel), Some(totals)) =
            (self.channels.get(id.0), self.totals.streams.get_mut(id.0))
        else {
            return Err(RecordError::Stream { index: id.0 });
        };
        let view = view(&channel.layout, bytes).map_err(|error| {
            let Stream { topic, publisher, .. } = &*totals.stream;
            RecordError::Message { topic: topic.clone(), publisher: publisher.clone(), error }
        })?;
        totals.add(message).map_err(|broken| refused(&totals.stream, broken))?;

        let flags = if retained { flag::RETAINED } else { 0 }
            | if sent_at.is_some() { flag::SENT_AT } else { 0 }
            | if trace.is_some() { flag::TRACE } else { 0 };
        self.data.clear();
        self.data.push(flags);
        self.data.extend_from_slice(&sequence.to_le_bytes());
        if let Some(trace) = &trace {
            self.data.extend_from_slice(trace.as_bytes());
        }
        self.data.extend_from_slice(bytes);
        let mut header = MessageHeader {
            channel_id: channel.number,
            // The low half.
            sequence: sequence as u32,
            log_time: received_at,
            publish_time: sent_at.unwrap_or(received_at),
        };
        self.writer.write_to_known_channel(&header, &self.data).expect(IN_MEMORY);
        self.open += RECORD + self.data.len();

        if let Some(fields) = channel.fields
            && bytes.len() <= format::LONGEST_JSON_OF
        {
            self.data.clear();
            json::fields(&mut self.data, &view);
            if self.data.len() <= format::LONGEST_JSON {
                header.channel_id = fields;
                self.writer.write_to_known_channel(&header, &self.data).expect(IN_MEMORY);
                self.open += RECORD + self.data.len();
            }
        }
        if self.data.capacity() > format::CHUNK {
            self.data = Vec::new();
        }
        self.changes(id);
        Ok(())
    }

    /// Adds a gap: `missed` messages before the sequence `next` are missing.
    ///
    /// # Errors
    /// If the gap does not begin at the next message, or the stream has ended.
    pub fn gap(
        &mut self,
        id: StreamId,
        next: u64,
        missed: u64,
        reason: GapReason,
        at: u64,
    ) -> Result<(), RecordError> {
        let (totals, channel) = self.stream(id)?;
        totals.skip(next, missed).map_err(|broken| refused(&totals.stream, broken))?;
        let reason = Cow::Borrowed(reason.word());
        self.event(&Event::Gap { channel, next, missed, reason }, at);
        self.changes(id);
        Ok(())
    }

    /// Ends a stream before the sequence `next`.
    ///
    /// # Errors
    /// If `next` is not the sequence of the next message, or the stream has ended already.
    pub fn end(&mut self, id: StreamId, end: End, next: u64, at: u64) -> Result<(), RecordError> {
        let (totals, channel) = self.stream(id)?;
        totals.finish(end, next).map_err(|broken| refused(&totals.stream, broken))?;
        let event = match end {
            End::Ended => Event::Ended { channel, next },
            End::Lost => Event::Lost { channel, next },
        };
        self.event(&event, at);
        self.changes(id);
        Ok(())
    }

    /// Notes that the connection to a node was lost. Names and reasons are cut after 4096 bytes.
    pub fn disconnected(&mut self, node: &str, topic: &str, reason: &str, at: u64) {
        self.totals.disconnections += 1;
        let [node, topic, reason] = [node, topic, reason].map(|text| Cow::Borrowed(cut(text)));
        self.event(&Event::Disconnected { node, topic, reason }, at);
        self.roll();
    }

    /// Writes the counts of the streams that have changed, and closes the chunk, if it has any
    /// entries. The recording does so by itself once a chunk has 1 MiB.
    pub fn close_chunk(&mut self) {
        if !self.changed.is_empty() {
            let mut at = 0;
            let changed = mem::take(&mut self.changed);
            let streams = changed.iter().filter_map(|id| {
                let (channel, totals) =
                    (self.channels.get_mut(id.0)?, self.totals.streams.get(id.0)?);
                channel.has_changed = false;
                at = at.max(totals.received_at.map_or(0, |(_, last)| last));
                Some(Counts::of(channel.number, totals))
            });
            let event = Event::Counts { streams: streams.collect() };
            self.event(&event, at);
            self.changed = changed;
            self.changed.clear();
        }
        if self.open > 0 {
            self.writer.flush().expect(IN_MEMORY);
            self.open = 0;
        }
    }

    /// Returns the complete bytes since the last call, which are to be appended to the file.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let (bytes, before) = &mut *self.bytes.lock();
        *before += bytes.len() as u64;
        mem::take(bytes)
    }

    /// Returns the number of bytes of the file so far, with about those of the open chunk.
    #[must_use]
    pub fn written(&self) -> u64 {
        let (bytes, before) = &*self.bytes.lock();
        before + bytes.len() as u64 + self.open as u64
    }

    /// Returns the sums so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Ends the file. Returns its last bytes, and the sums.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, Totals) {
        self.close_chunk();
        self.writer.finish().expect(IN_MEMORY);
        (self.take(), self.totals)
    }

    fn stream(&mut self, id: StreamId) -> Result<(&mut StreamTotals, u16), RecordError> {
        match (self.totals.streams.get_mut(id.0), self.channels.get(id.0)) {
            (Some(totals), Some(channel)) => Ok((totals, channel.number)),
            _ => Err(RecordError::Stream { index: id.0 }),
        }
    }

    /// Notes that a stream has changed, and closes a full chunk.
    #[inline]
    fn changes(&mut self, id: StreamId) {
        let channel = &mut self.channels[id.0];
        if !mem::replace(&mut channel.has_changed, true) {
            self.changed.push(id);
        }
        self.roll();
    }

    #[inline]
    fn roll(&mut self) {
        if self.open >= format::CHUNK {
            self.close_chunk();
        }
    }

    fn event(&mut self, event: &Event<'_>, at: u64) {
        let data = serde_json::to_vec(event).expect("events have a form in JSON");
        let header =
            MessageHeader { channel_id: EVENTS, sequence: 0, log_time: at, publish_time: at };
        self.writer.write_to_known_channel(&header, &data).expect(IN_MEMORY);
        self.open += RECORD + data.len();
    }
}

/// Returns the fields of a message of a layout.
#[inline]
pub(crate) fn view<'a>(layout: &'a Layout, bytes: &'a [u8]) -> Result<StructView<'a>, ViewError> {
    match bytes.len() {
        found if found > LONGEST => Err(ViewError::TooLong { found }),
        _ => layout.view(bytes),
    }
}

fn refused(stream: &Stream, broken: Broken) -> RecordError {
    let (topic, publisher, found) = (stream.topic.clone(), stream.publisher.clone(), broken.found);
    match broken.expected {
        Some(expected) => RecordError::Sequence { topic, publisher, expected, found },
        None => RecordError::Ended { topic, publisher, found },
    }
}

/// Returns the beginning of a text.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(format::LONGEST_NAME)]
}
