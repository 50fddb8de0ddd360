//! The catalogue of a node: the topics that a peer may read there, as bytes (`docs/wire-format.md`,
//! "Catalogue").
//!
//! The bytes of a peer are foreign: they are read once from the front. They cannot make this code
//! panic, loop, or allocate more than they are themselves.

use mycelium_core::{Digest, debug_as_display};
use thiserror::Error;

use crate::local::{Schema, Topic};

/// The most bytes of a peer's catalogue that are read.
pub(crate) const LONGEST_CATALOGUE: usize = 1 << 20;

/// The most bytes that the name of a topic may have on a link.
const LONGEST_NAME: usize = 62;

/// A topic in the catalogue of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The topic.
    pub topic: String,
    /// The type id of its messages.
    pub type_id: u16,
    /// The digest of their layout.
    pub digest: Digest,
    /// How many publishers of the topic the peer's process had when it answered.
    pub publishers: u32,
}

impl CatalogueEntry {
    /// Creates the entry of a topic of this process.
    pub(crate) fn of(topic: &Topic) -> CatalogueEntry {
        let Schema { id: type_id, digest, .. } = *topic.schema();
        let publishers = u32::try_from(topic.local_publishers()).unwrap_or(u32::MAX);
        CatalogueEntry { topic: topic.name().to_owned(), type_id, digest, publishers }
    }

    /// Encodes the entries as a catalogue. Topics whose names are too long for a link are left out.
    ///
    /// ```
    /// use mycelium_core::Digest;
    /// use mycelium_transports::link::CatalogueEntry;
    ///
    /// let swaps = CatalogueEntry {
    ///     topic: "swaps".to_owned(),
    ///     type_id: 1,
    ///     digest: Digest([7; 16]),
    ///     publishers: 2,
    /// };
    /// let bytes = CatalogueEntry::to_bytes(&[swaps.clone()]);
    /// assert_eq!(bytes.len(), 8 + 24 + 5);
    /// assert_eq!(CatalogueEntry::parse(&bytes)?, [swaps]);
    /// # Ok::<(), mycelium_transports::link::CatalogueError>(())
    /// ```
    #[must_use]
    pub fn to_bytes(entries: &[CatalogueEntry]) -> Vec<u8> {
        let fits = |entry: &&CatalogueEntry| entry.topic.len() <= LONGEST_NAME;
        let count = entries.iter().filter(fits).count();
        let mut bytes = u64::try_from(count).unwrap_or(u64::MAX).to_le_bytes().to_vec();
        for entry in entries.iter().filter(fits) {
            let CatalogueEntry { topic, type_id, digest, publishers } = entry;
            bytes.extend_from_slice(&type_id.to_le_bytes());
            // The cast is lossless, because a name has at most `LONGEST_NAME` bytes.
            bytes.extend_from_slice(&(topic.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&publishers.to_le_bytes());
            bytes.extend_from_slice(&digest.0);
            bytes.extend_from_slice(topic.as_bytes());
        }
        bytes
    }

    /// Decodes a whole catalogue. The bytes may be anything.
    ///
    /// # Errors
    /// If the bytes are not a catalogue.
    pub fn parse(bytes: &[u8]) -> Result<Vec<CatalogueEntry>, CatalogueError> {
        let (count, mut rest) = bytes.split_first_chunk().ok_or(CatalogueError::Incomplete)?;
        let count = u64::from_le_bytes(*count);
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (entry, after) = entry(rest)?;
            entries.push(entry);
            rest = after;
        }
        match entries.len() as u64 == count {
            true => Ok(entries),
            false => Err(CatalogueError::Count { said: count, found: entries.len() }),
        }
    }
}

/// Decodes the entry at the start of `bytes`, and returns it with the bytes after it.
fn entry(bytes: &[u8]) -> Result<(CatalogueEntry, &[u8]), CatalogueError> {
    fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), CatalogueError> {
        let split = bytes.split_first_chunk().ok_or(CatalogueError::Incomplete)?;
        Ok((*split.0, split.1))
    }
    let (type_id, bytes) = take(bytes)?;
    let (length, bytes) = take(bytes)?;
    let (publishers, bytes) = take(bytes)?;
    let (digest, bytes) = take(bytes)?;
    let length = usize::from(u16::from_le_bytes(length));
    let (name, bytes) = bytes.split_at_checked(length).ok_or(CatalogueError::Incomplete)?;
    let name = std::str::from_utf8(name).ok();
    let name = name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
    let topic = name.ok_or(CatalogueError::Name)?.to_owned();
    let (type_id, publishers) = (u16::from_le_bytes(type_id), u32::from_le_bytes(publishers));
    Ok((CatalogueEntry { topic, type_id, digest: Digest(digest), publishers }, bytes))
}

/// Why bytes are not a catalogue.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The bytes end within an entry.
    #[error("the catalogue ends in the middle of an entry")]
    Incomplete,
    /// The name of a topic is empty, too long, or not UTF-8.
    #[error("the catalogue has a name that no topic can have")]
    Name,
    /// The number of entries differs from the number that the catalogue states.
    #[error("the catalogue says that it has {said} entries, and has {found}")]
    Count {
        /// The number that the catalogue states.
        said: u64,
        /// The number of entries found.
        found: usize,
    },
}

debug_as_display!(CatalogueError);
