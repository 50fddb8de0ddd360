//! Compares two recordings.
//!
//! Streams are matched by topic and publisher, in the order of their begins; nodes count only where
//! a publisher of one name is on several. Messages are compared in order by their bytes, and gaps
//! by their number of messages. Epochs, sequences and times differ between runs and do not count,
//! and neither do ends, nor streams without messages and gaps.
//!
//! The first pass computes a hash with a random key for each stream. If one differs, the second
//! pass reads this stream of both files side by side. So memory is limited by the number of
//! streams, whatever the length of the files and the order in which streams alternate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::io::{Read, Seek};
use std::sync::Arc;

use mycelium_core::debug_as_display;
use mycelium_transports::untyped::Layout;
use thiserror::Error;

use crate::entry::Entry;
use crate::error::ReadError;
use crate::read::Reader;
use crate::totals::Totals;
use crate::{Stream, StreamId};

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both recordings have the same messages. Has the sums of the first one.
    Equal(Totals),
    /// The first difference, in the order of topics, publishers and messages.
    Different(Box<Difference>),
    /// A recording was cut off. Both have the same messages before.
    Cut {
        /// The recording.
        side: Side,
        /// The end of its last whole record.
        offset: u64,
    },
}

/// A difference of two recordings. Its text calls them `first` and `second`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The topic.
    pub topic: String,
    /// The publisher.
    pub publisher: String,
    /// What differs.
    pub kind: DifferenceKind,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// Only one recording has the stream.
    Stream {
        /// The recording that has it.
        only_in: Side,
    },
    /// The messages have different types.
    Type,
    /// An item of the stream.
    Item {
        /// The number of the item in its stream, from 0.
        number: u64,
        /// The items of the first and the second recording; `None` after the last one.
        items: [Option<Item>; 2],
        /// The first field that differs, with its values, if both items are messages.
        field: Option<(String, [String; 2])>,
    },
}

/// One of the two recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first one.
    First,
    /// The second one.
    Second,
}

/// A message or a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message.
    Message {
        /// The sequence of the message.
        sequence: u64,
        /// The publisher has retained it for readers that join later.
        retained: bool,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A gap.
    Gap {
        /// The sequence after the missing messages.
        next: u64,
        /// The number of missing messages.
        missed: u64,
    },
}

/// Why recordings cannot be compared.
#[derive(Error)]
#[error("{side}: {error}")]
pub struct CompareError {
    /// The recording that cannot be read.
    pub side: Side,
    /// The reason.
    pub error: ReadError,
}

debug_as_display!(CompareError);

/// Compares two recordings, which are read from their beginning, and twice if they differ.
///
/// # Errors
/// If a recording cannot be read, or is damaged. One that was cut off is a difference, after those
/// before.
pub fn compare<A, B>(mut a: A, mut b: B) -> Result<Comparison, CompareError>
where
    A: Read + Seek,
    B: Read + Seek,
{
    let keys = [RandomState::new(), RandomState::new()];
    let first = Summary::of(&mut a, &keys).map_err(of(Side::First))?;
    let second = Summary::of(&mut b, &keys).map_err(of(Side::Second))?;
    let shared = first.shared().union(&second.shared()).cloned().collect();
    let (left, right) = (first.by_name(&shared), second.by_name(&shared));
    for name in left.keys().chain(right.keys()).collect::<BTreeSet<_>>() {
        let different = |kind| {
            let (topic, publisher) = (name.topic.clone(), name.publisher.clone());
            Ok(Comparison::Different(Box::new(Difference { topic, publisher, kind })))
        };
        let (one, other) = match (left.get(name), right.get(name)) {
            (Some(one), Some(other)) => (*one, *other),
            (Some(_), None) => return different(DifferenceKind::Stream { only_in: Side::First }),
            (None, _) => return different(DifferenceKind::Stream { only_in: Side::Second }),
        };
        if first.streams[one].0.message != second.streams[other].0.message {
            return different(DifferenceKind::Type);
        }
        if first.hash(one) != second.hash(other) {
            let layout = &first.streams[one].1.layout;
            let ids = [one, other].map(StreamId);
            if let Some(kind) = side_by_side(&mut a, &mut b, ids, layout)? {
                return different(kind);
            }
        }
    }
    for (side, summary) in [(Side::First, &first), (Side::Second, &second)] {
        if let Some(offset) = summary.cut {
            return Ok(Comparison::Cut { side, offset });
        }
    }
    Ok(Comparison::Equal(first.totals))
}

fn of(side: Side) -> impl Fn(ReadError) -> CompareError {
    move |error| CompareError { side, error }
}

/// What the first pass finds in a recording.
struct Summary {
    streams: Vec<(Arc<Stream>, Content)>,
    totals: Totals,
    /// Where the file was cut off.
    cut: Option<u64>,
}

/// The content of a stream.
struct Content {
    layout: Arc<Layout>,
    hashers: [DefaultHasher; 2],
    items: u64,
}

/// The name of a stream in both recordings.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct StreamName {
    topic: String,
    publisher: String,
    /// Empty unless it is needed.
    node: String,
    /// Which begin with these names it is.
    begin: usize,
}

impl Summary {
    fn of(input: &mut (impl Read + Seek), keys: &[RandomState; 2]) -> Result<Summary, ReadError> {
        let mut reader = reopened(input)?;
        let mut streams: Vec<(Arc<Stream>, Content)> = Vec::new();
        while let Some(entry) = reader.next()? {
            let id = match entry {
                Entry::Began { stream, layout, .. } => {
                    let (layout, hashers) = (layout.clone(), keys.each_ref());
                    let hashers = hashers.map(BuildHasher::build_hasher);
                    streams.push((stream.clone(), Content { layout, hashers, items: 0 }));
                    continue;
                }
                Entry::Message { id, .. } | Entry::Gap { id, .. } => id,
                _ => continue,
            };
            let content = &mut streams[id.index()].1;
            content.items += 1;
            for hasher in &mut content.hashers {
                match entry {
                    Entry::Message { message, .. } => {
                        hasher.write_u8(u8::from(message.retained));
                        hasher.write_u64(message.bytes.len() as u64);
                        hasher.write(message.bytes);
                    }
                    Entry::Gap { missed, .. } => {
                        hasher.write_u8(2);
                        hasher.write_u64(missed);
                    }
                    _ => {}
                }
            }
        }
        let cut = (!reader.is_whole()).then(|| reader.offset());
        Ok(Summary { streams, totals: reader.totals().clone(), cut })
    }

    /// Returns the topics and publishers whose name is on several nodes.
    fn shared(&self) -> BTreeSet<(String, String)> {
        let mut nodes: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for (Stream { node, topic, publisher, .. }, _) in self.used() {
            let known = nodes.entry((topic, publisher)).or_insert(node);
            if *known != node {
                shared.insert((topic.clone(), publisher.clone()));
            }
        }
        shared
    }

    /// Returns the indexes of the streams by their names.
    fn by_name(&self, shared: &BTreeSet<(String, String)>) -> BTreeMap<StreamName, usize> {
        let mut begins: BTreeMap<(String, String, String), usize> = BTreeMap::new();
        let used = self.used().map(|(stream, index)| {
            let (topic, publisher) = (stream.topic.clone(), stream.publisher.clone());
            let has_node = shared.contains(&(topic.clone(), publisher.clone()));
            let node = if has_node { stream.node.clone() } else { String::new() };
            let next = begins.entry((topic.clone(), publisher.clone(), node.clone())).or_default();
            let begin = *next;
            *next += 1;
            (StreamName { topic, publisher, node, begin }, index)
        });
        used.collect()
    }

    /// Returns the streams with messages or gaps, and their indexes.
    fn used(&self) -> impl Iterator<Item = (&Stream, usize)> {
        let streams = self.streams.iter().enumerate();
        let used = streams.filter(|(_, (_, content))| content.items > 0);
        used.map(|(index, (stream, _))| (&**stream, index))
    }

    fn hash(&self, index: usize) -> (u64, [u64; 2]) {
        let content = &self.streams[index].1;
        (content.items, content.hashers.each_ref().map(Hasher::finish))
    }
}

/// Returns a reader from the start of the file.
fn reopened<R: Read + Seek>(input: &mut R) -> Result<Reader<&mut R>, ReadError> {
    input.rewind().map_err(|error| ReadError::Input { offset: 0, error })?;
    Reader::new(input)
}

/// Returns the first difference of two streams.
fn side_by_side<A: Read + Seek, B: Read + Seek>(
    a: &mut A,
    b: &mut B,
    [first, second]: [StreamId; 2],
    layout: &Layout,
) -> Result<Option<DifferenceKind>, CompareError> {
    let mut a = reopened(a).map_err(of(Side::First))?;
    let mut b = reopened(b).map_err(of(Side::Second))?;
    for number in 0.. {
        let left = item(&mut a, first).map_err(of(Side::First))?;
        let right = item(&mut b, second).map_err(of(Side::Second))?;
        let field = match (&left, &right) {
            (None, None) => return Ok(None),
            (Some(left), Some(right)) if left.is_like(right) => continue,
            (Some(left), Some(right)) => left.field(right, layout),
            _ => None,
        };
        return Ok(Some(DifferenceKind::Item { number, items: [left, right], field }));
    }
    Ok(None)
}

/// Returns the next item of a stream.
fn item<R: Read>(reader: &mut Reader<R>, of: StreamId) -> Result<Option<Item>, ReadError> {
    while let Some(entry) = reader.next()? {
        match entry {
            Entry::Message { id, message, .. } if id == of => {
                let (sequence, retained) = (message.sequence, message.retained);
                let bytes = message.bytes.to_vec();
                return Ok(Some(Item::Message { sequence, retained, bytes }));
            }
            Entry::Gap { id, next, missed, .. } if id == of => {
                return Ok(Some(Item::Gap { next, missed }));
            }
            _ => {}
        }
    }
    Ok(None)
}

impl Item {
    /// Whether both count as equal.
    fn is_like(&self, other: &Item) -> bool {
        match (self, other) {
            (
                Item::Message { retained, bytes, .. },
                Item::Message { retained: other, bytes: others, .. },
            ) => retained == other && bytes == others,
            (Item::Gap { missed, .. }, Item::Gap { missed: other, .. }) => missed == other,
            _ => false,
        }
    }

    /// Returns the first field that differs, and its values.
    fn field(&self, other: &Item, layout: &Layout) -> Option<(String, [String; 2])> {
        let (Item::Message { bytes, .. }, Item::Message { bytes: others, .. }) = (self, other)
        else {
            return None;
        };
        let (one, other) = (layout.view(bytes).ok()?, layout.view(others).ok()?);
        let values = one.fields().zip(other.fields());
        let mut texts = values.map(|((field, one), (_, other))| {
            (field.name().to_owned(), [one.to_string(), other.to_string()])
        });
        texts.find(|(_, [one, other])| one != other)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::First => "first",
            Side::Second => "second",
        })
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Message { sequence, retained, bytes } => {
                let retained = if *retained { "retained " } else { "" };
                write!(f, "{retained}message #{sequence} of {} bytes", bytes.len())
            }
            Item::Gap { next, missed } => write!(f, "gap of {missed} before #{next}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { topic, publisher, kind } = self;
        let (topic, publisher) = (topic.escape_debug(), publisher.escape_debug());
        write!(f, "topic `{topic}`, publisher `{publisher}`")?;
        match kind {
            DifferenceKind::Stream { only_in } => write!(f, ": only in the {only_in}"),
            DifferenceKind::Type => f.write_str(": the message types differ"),
            DifferenceKind::Item { number, items, field } => {
                write!(f, ", message {number}: ")?;
                if let Some((name, [one, other])) = field {
                    let name = name.escape_debug();
                    return write!(f, "`{name}` is {one} in the first, {other} in the second");
                }
                let [one, other] = items.each_ref().map(|item| match item {
                    Some(item) => item.to_string(),
                    None => "nothing".to_owned(),
                });
                let bytes = if one == other { ", with other bytes" } else { "" };
                write!(f, "{one} in the first, {other} in the second{bytes}")
            }
        }
    }
}
