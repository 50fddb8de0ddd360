//! Recordings of which the bytes may be anything: an error, or entries that add up, and that a
//! recording accepts again.

use mycelium_record::{End, Entry, ReadError, Reader, RecordError, Recording};

/// Reads a file, if the first byte is 0; otherwise a file with one chunk of these records, whose
/// checksum is right.
pub fn recording(data: &[u8]) {
    accepts(data);
}

/// Does the same. Returns whether a whole file was read that has a stream.
fn accepts(data: &[u8]) -> bool {
    match data.split_first() {
        Some((0, file)) => check(file),
        Some((_, records)) => check(&with_chunk(records)),
        None => check(&[]),
    }
}

/// Returns the file of a recording without entries, with a chunk of these records before its end.
fn with_chunk(records: &[u8]) -> Vec<u8> {
    let (empty, _) = Recording::new().finish();
    // The magic, and the header with its type and length.
    let header = 8 + 9 + usize::from(empty[9]);
    let mut file = empty[..header].to_vec();
    let size = (records.len() as u64).to_le_bytes();
    file.push(6);
    file.extend((40 + records.len() as u64).to_le_bytes());
    file.extend([0; 16]);
    file.extend(size);
    file.extend(crc32fast::hash(records).to_le_bytes());
    file.extend([0; 4]);
    file.extend(size);
    file.extend(records);
    // The end of the data and of the file, without checksums.
    for (kind, length) in [(15, 4_usize), (2, 20)] {
        file.push(kind);
        file.extend((length as u64).to_le_bytes());
        file.extend(vec![0; length]);
    }
    file.extend(&empty[..8]);
    file
}

fn check(file: &[u8]) -> bool {
    let mut copy = Recording::new();
    let Ok(ended) = copied(file, &mut copy) else { return false };
    let (again, totals) = copy.finish();
    let mut reader = Reader::new(&again[..]).expect("a recording");
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().expect("what a recording has accepted") {
        entries.push(format!("{entry:?}"));
    }
    assert!(reader.is_whole());
    assert_eq!(reader.totals(), &totals);
    assert_eq!(entries, ended.entries[..entries.len()], "the copy has the same entries");
    assert!(!ended.is_copied || entries.len() == ended.entries.len());
    ended.is_whole && !totals.streams.is_empty()
}

/// What was read before the end, or before an error.
struct Ended {
    entries: Vec<String>,
    is_whole: bool,
    /// The other recording has all entries.
    is_copied: bool,
}

/// Reads a file, and records its entries again.
fn copied(file: &[u8], copy: &mut Recording) -> Result<Ended, ReadError> {
    let mut reader = Reader::new(file)?;
    let mut ended = Ended { entries: Vec::new(), is_whole: false, is_copied: true };
    while let Ok(Some(entry)) = reader.next() {
        ended.entries.push(format!("{entry:?}"));
        if let Entry::Message { layout, message, .. } = &entry {
            layout.view(message.bytes).expect("a message of its layout");
        }
        if ended.is_copied {
            match add(copy, &entry) {
                Ok(()) => {}
                // The limits of names and layouts are those of a recording only.
                Err(RecordError::Name { .. } | RecordError::Form { .. }) => ended.is_copied = false,
                Err(error) => panic!("{error}: {entry:?}"),
            }
        }
    }
    ended.is_whole = reader.is_whole();
    assert!(reader.offset() <= file.len() as u64);
    for stream in &reader.totals().streams {
        let sum = u128::from(stream.first) + u128::from(stream.recorded);
        assert_eq!(sum + u128::from(stream.missed), stream.next.into(), "{stream:?}");
    }
    Ok(ended)
}

fn add(copy: &mut Recording, entry: &Entry<'_>) -> Result<(), RecordError> {
    match *entry {
        Entry::Began { id, stream, first, at, .. } => {
            let own = copy.begin((**stream).clone(), first, at)?;
            assert_eq!(own, id);
        }
        Entry::Message { id, ref message, .. } => copy.message(id, message)?,
        Entry::Gap { id, next, missed, reason, at, .. } => {
            copy.gap(id, next, missed, reason, at)?;
        }
        Entry::Ended { id, next, at, .. } => copy.end(id, End::Ended, next, at)?,
        Entry::Lost { id, next, at, .. } => copy.end(id, End::Lost, next, at)?,
        Entry::Disconnected { node, topic, reason, at } => {
            let lengths = [node, topic, reason].map(str::len);
            if lengths.into_iter().max() > Some(4096) {
                return Err(RecordError::Name { what: "a text", found: 0, limit: 4096 });
            }
            copy.disconnected(node, topic, reason, at);
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_are_accepted() {
        crate::seeds::a_tenth_is_accepted("recording", super::accepts);
    }
}
