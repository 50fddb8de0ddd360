//! MCAP files with right checksums and wrong contents.

use std::collections::BTreeMap;
use std::io::Cursor;

use mcap::records::MessageHeader;
use mcap::{WriteOptions, Writer};

use crate::common::{Tick, read, tick, type_of};

/// Writes a file by hand.
struct Liar {
    writer: Writer<Cursor<Vec<u8>>>,
}

const STREAM: u16 = 1;

impl Liar {
    fn of(options: WriteOptions) -> Liar {
        let options = options.profile("mycelium").compression(None);
        let mut writer = options.create(Cursor::new(Vec::new())).unwrap();
        let version = BTreeMap::from([("version".to_owned(), "1".to_owned())]);
        writer.add_channel_with_id(0, 0, "mycelium/events", "json", &version).unwrap();
        Liar { writer }
    }

    /// Returns a file in which a stream has begun.
    fn begun() -> Liar {
        let mut liar = Liar::of(WriteOptions::new());
        liar.stream(&[]);
        liar.event(r#"{"event":"began","channel":1,"first":0}"#);
        liar
    }

    /// Adds the channel of the stream, with other metadata.
    fn stream(&mut self, changes: &[(&str, &str)]) {
        let message = type_of::<Tick>();
        let form: String = message.form.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = message.digest().to_string();
        let mut metadata = BTreeMap::from(
            [
                ("node", "feed"),
                ("publisher", "Feed"),
                ("epoch", "7"),
                ("type", "1"),
                ("digest", &digest),
                ("form", &form),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        for (key, value) in changes {
            metadata.insert((*key).to_owned(), (*value).to_owned());
        }
        self.writer.add_channel_with_id(STREAM, 0, "ticks", "mycelium", &metadata).unwrap();
    }

    fn event(&mut self, event: &str) {
        self.put(0, 0, event.as_bytes());
    }

    fn put(&mut self, channel_id: u16, sequence: u32, data: &[u8]) {
        let header = MessageHeader { channel_id, sequence, log_time: 5, publish_time: 5 };
        self.writer.write_to_known_channel(&header, data).unwrap();
    }

    fn tick(&mut self, sequence: u64) {
        let data = [&[0][..], &sequence.to_le_bytes(), &tick(sequence)].concat();
        self.put(STREAM, sequence as u32, &data);
    }

    /// Adds counts, the number of ticks unless changed.
    fn counts(&mut self, recorded: u64, missed: u64, next: u64) {
        self.event(&format!(
            r#"{{"event":"counts","streams":[{{"channel":1,"first":0,"recorded":{recorded},
                "missed":{missed},"next":{next},"has_ended":false}}]}}"#
        ));
    }

    fn file(mut self) -> Vec<u8> {
        self.writer.finish().unwrap();
        self.writer.into_inner().into_inner()
    }

    #[track_caller]
    fn refused(self, expected: &str) {
        let contents = read(&self.file());
        let error = contents.error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "expected `{expected}`, found `{error}`");
    }
}

#[test]
fn a_file_by_hand_is_read() {
    let mut liar = Liar::begun();
    liar.tick(0);
    liar.tick(1);
    liar.counts(2, 0, 2);
    let contents = read(&liar.file());
    assert!(contents.error.is_none() && contents.is_whole, "{contents:?}");
    assert_eq!(contents.entries.len(), 3);
}

#[test]
fn unknown_records_and_channels_are_skipped() {
    let mut liar = Liar::begun();
    let inside = mcap::write::PrivateRecordOptions::IncludeInChunks.into();
    liar.writer.write_private_record(0x99, b"within the chunk", inside).unwrap();
    liar.writer.add_channel_with_id(9, 0, "others", "cdr", &BTreeMap::new()).unwrap();
    liar.put(9, 0, b"anything");
    liar.tick(0);
    liar.counts(1, 0, 1);
    liar.writer.write_private_record(0x98, b"outside", Default::default()).unwrap();
    let contents = read(&liar.file());
    assert!(contents.error.is_none() && contents.is_whole, "{contents:?}");
    assert_eq!(contents.entries.len(), 2);
}

#[test]
fn lies_about_sequences_and_counts_are_refused() {
    let mut liar = Liar::begun();
    liar.tick(0);
    liar.tick(2);
    liar.refused("topic `ticks`: expected sequence 1 of publisher `Feed`, found sequence 2");

    for (recorded, missed, next) in [(1, 0, 1), (2, 1, 3), (1, 1, 2), (0, 0, 0)] {
        let mut liar = Liar::begun();
        liar.tick(0);
        liar.tick(1);
        liar.counts(recorded, missed, next);
        liar.refused("expected first 0, recorded 2, missed 0, next 2, found first 0, recorded ");
    }

    let mut liar = Liar::begun();
    liar.tick(0);
    liar.refused("expected counts of all streams, found the end of the chunk");

    let mut liar = Liar::begun();
    liar.event(r#"{"event":"gap","channel":1,"next":4,"missed":5,"reason":"overwritten"}"#);
    liar.refused("expected sequence 5 of publisher `Feed`, found sequence 4");

    let mut liar = Liar::begun();
    let most = u64::MAX;
    liar.event(&format!(
        r#"{{"event":"gap","channel":1,"next":{most},"missed":{most},"reason":"skipped"}}"#
    ));
    liar.tick(most);
    let last = "found sequence 18446744073709551615";
    liar.refused(&format!("expected no entry after the end of publisher `Feed`, {last}"));

    let mut liar = Liar::begun();
    liar.event(r#"{"event":"ended","channel":1,"next":0}"#);
    liar.tick(0);
    liar.refused("expected no entry after the end of publisher `Feed`, found sequence 0");
}

#[test]
fn a_chunk_in_a_chunk_is_refused() {
    let mut liar = Liar::begun();
    liar.tick(0);
    liar.counts(1, 0, 1);
    let file = liar.file();
    let length = |at: usize| u64::from_le_bytes(file[at + 1..at + 9].try_into().unwrap()) as usize;
    // After the magic bytes, each record has a type and a length.
    let mut at = 8;
    while file[at] != mcap::records::op::CHUNK {
        at += 9 + length(at);
    }
    let inner = &file[at..at + 9 + length(at)];
    let mut outer = file[..at].to_vec();
    outer.push(mcap::records::op::CHUNK);
    outer.extend((40 + inner.len() as u64).to_le_bytes());
    outer.extend([0; 8 + 8]);
    outer.extend((inner.len() as u64).to_le_bytes());
    outer.extend(crc32fast::hash(inner).to_le_bytes());
    // No compression.
    outer.extend([0; 4]);
    outer.extend((inner.len() as u64).to_le_bytes());
    outer.extend(inner);
    let error = read(&outer).error.map(|error| error.to_string()).unwrap_or_default();
    let expected = "expected channels, schemas and messages in a chunk, found record 6";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn lies_about_messages_are_refused() {
    let cases: [(&[u8], &str); 5] = [
        (&[], "expected flags and a sequence"),
        (&[8, 0, 0, 0, 0, 0, 0, 0, 0], "expected known flags"),
        (&[4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3], "expected a trace"),
        (
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3],
            "expected a message of its layout, found a message",
        ),
        (&[0, 1, 0, 0, 0, 0, 0, 0, 0], "expected known flags, one sequence"),
    ];
    for (data, expected) in cases {
        let mut liar = Liar::begun();
        liar.put(STREAM, 0, data);
        liar.refused(expected);
    }
    let mut liar = Liar::of(WriteOptions::new());
    liar.stream(&[]);
    liar.tick(0);
    liar.refused("topic `ticks`: expected the begin of the stream, found a message");

    // A send time without its flag.
    let mut liar = Liar::begun();
    let header = MessageHeader { channel_id: STREAM, sequence: 0, log_time: 5, publish_time: 4 };
    let data = [&[0; 9][..], &tick(0)].concat();
    liar.writer.write_to_known_channel(&header, &data).unwrap();
    liar.refused("expected known flags, one sequence and a send time");
}

#[test]
fn lies_about_channels_and_events_are_refused() {
    let channels = [
        ("epoch", "x", "expected an epoch in hex"),
        ("type", "70000", "expected an epoch in hex and a number of a type"),
        ("form", "5", "expected metadata `form` in hex"),
        ("form", "", "expected a layout, found the layout ends in the middle"),
        ("digest", "00", "expected digest "),
    ];
    for (key, value, expected) in channels {
        let mut liar = Liar::of(WriteOptions::new());
        liar.stream(&[(key, value)]);
        liar.refused(expected);
    }
    let events = [
        ("{", "expected an event, found EOF"),
        (r#"{"event":"more"}"#, "expected an event, found unknown variant"),
        (r#"{"event":"began","channel":1,"first":0}"#, "expected the channel of a new stream"),
        (r#"{"event":"ended","channel":9,"next":0}"#, "expected a stream that has begun"),
        (
            r#"{"event":"gap","channel":1,"next":1,"missed":1,"reason":"mood"}"#,
            "expected the reason of a gap, found mood",
        ),
        (r#"{"event":"lost","channel":1,"next":3}"#, "expected sequence 0 of publisher `Feed`"),
    ];
    for (event, expected) in events {
        let mut liar = Liar::begun();
        liar.event(event);
        liar.refused(expected);
    }
}

#[test]
fn other_files_are_refused() {
    let other = WriteOptions::new().profile("ros2").compression(None);
    let mut other = other.create(Cursor::new(Vec::new())).unwrap();
    other.finish().unwrap();
    let error = read(&other.into_inner().into_inner()).error.unwrap().to_string();
    let expected = "expected a recording of `mycelium`, found an MCAP file with the profile `ros2`";
    assert_eq!(error, expected);

    let mut liar = Liar::of(WriteOptions::new().use_chunks(false));
    liar.event("{}");
    liar.refused("expected messages in chunks, found record 5 outside of one");

    let mut liar = Liar::of(WriteOptions::new().calculate_chunk_crcs(false));
    liar.event("{}");
    liar.refused("expected a chunk with checksum 00000000");

    let mut liar = Liar::of(WriteOptions::new());
    let later = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
    liar.writer.add_channel_with_id(7, 0, "mycelium/events", "json", &later).unwrap();
    let file = liar.file();
    assert!(read(&file).error.is_none(), "the first channel of events counts");
    let writer = WriteOptions::new().profile("mycelium").compression(None);
    let mut writer = writer.create(Cursor::new(Vec::new())).unwrap();
    writer.add_channel(0, "mycelium/events", "json", &later).unwrap();
    writer.finish().unwrap();
    let error = read(&writer.into_inner().into_inner()).error.unwrap().to_string();
    assert_eq!(error, "expected a recording of version 1, found version `2`");
}

#[test]
fn a_length_that_leaves_its_chunk_is_refused() {
    // A chunk by hand: one record that claims more bytes than the chunk has.
    let records = [&[5][..], &u64::MAX.to_le_bytes()].concat();
    let chunk_of = |size: u64, compression: &[u8]| {
        let mut chunk = [0; 16].to_vec();
        chunk.extend(size.to_le_bytes());
        chunk.extend(crc32fast::hash(&records).to_le_bytes());
        chunk.extend((compression.len() as u32).to_le_bytes());
        chunk.extend(compression);
        chunk.extend((records.len() as u64).to_le_bytes());
        chunk.extend(&records);
        chunk
    };
    let chunk = chunk_of(records.len() as u64, b"");
    let file = |length: u64, chunk: &[u8]| {
        let mut file = mcap::MAGIC.to_vec();
        file.push(1);
        file.extend(16_u64.to_le_bytes());
        file.extend(8_u32.to_le_bytes());
        file.extend(b"mycelium");
        file.extend(0_u32.to_le_bytes());
        file.push(6);
        file.extend(length.to_le_bytes());
        file.extend(chunk);
        file
    };
    let error = |bytes: &[u8]| read(bytes).error.unwrap().to_string();
    let found = error(&file(chunk.len() as u64, &chunk));
    assert!(found.contains("expected a whole record, found the end of its chunk"), "{found}");
    let found = error(&file(u64::MAX, &chunk));
    assert!(found.contains("expected a record of at most 134217728 bytes"), "{found}");
    let found = error(&file(20, &chunk));
    assert!(found.contains("expected a chunk, found other lengths in its header"), "{found}");
    for (size, compression, expected) in [
        (10, &b""[..], "expected a chunk without compression, 9 bytes, found ``, 10 bytes"),
        (9, b"zstd", "expected a chunk without compression, 9 bytes, found `zstd`, 9 bytes"),
    ] {
        let chunk = chunk_of(size, compression);
        let found = error(&file(chunk.len() as u64, &chunk));
        assert!(found.contains(expected), "{found}");
    }
    let header = file(0, &[]).len() - 9;
    let zeros = [&file(0, &[])[..header], &[0; 64]].concat();
    let found = error(&zeros);
    assert!(
        found.contains("expected a record of at most 134217728 bytes, found type 0"),
        "{found}"
    );
    // A chunk after the end of the data.
    let end = [&[15][..], &4_u64.to_le_bytes(), &[0; 4]].concat();
    let whole = file(chunk.len() as u64, &chunk);
    let late = [&whole[..header], &end, &whole[header..]].concat();
    let found = error(&late);
    assert!(found.contains("expected the data before the summary, found record 6"), "{found}");
}
