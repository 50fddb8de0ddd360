//! The limits of a file.

use std::io::{self, Read};

use mycelium_record::{Reader, RecordError, Recording, Stream};

use crate::common::{Tick, received, stream_of, tick, type_of};

fn begin(mut recording: Recording, limit: usize) {
    let message = type_of::<Tick>();
    let stream = |number: usize| Stream {
        node: "feed".into(),
        topic: "ticks".into(),
        publisher: format!("Feed-{number}"),
        epoch: 1,
        message: message.clone(),
    };
    let mut file = Vec::new();
    let mut last = None;
    for number in 0..70_000 {
        match recording.begin(stream(number), 0, 0) {
            Ok(id) => last = Some(id),
            Err(error) => {
                assert_eq!(number, limit);
                assert_eq!(error, RecordError::Full { limit });
                break;
            }
        }
        file.extend(recording.take());
    }
    // The streams that have begun go on.
    recording.message(last.unwrap(), &received(0, &tick(0))).unwrap();
    file.extend(recording.finish().0);
    let mut reader = Reader::new(&file[..]).unwrap();
    while reader.next().unwrap().is_some() {}
    assert!(reader.is_whole());
    assert_eq!(reader.totals().streams.len(), limit);
    assert_eq!(reader.totals().messages(), 1);
}

#[test]
fn a_file_has_a_limited_number_of_streams() {
    begin(Recording::new(), 65_535);
}

#[test]
fn a_file_with_json_has_half_as_many_streams() {
    begin(Recording::with_json(), 32_767);
}

#[test]
fn names_have_a_limited_length() {
    let stream = stream_of::<Tick>(&"x".repeat(4097), 1);
    let error = Recording::new().begin(stream, 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "a publisher of 4097 bytes: expected at most 4096");
}

/// Bytes, then an error.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is gone")),
            count => Ok(count),
        }
    }
}

#[test]
fn an_error_of_the_input_names_its_place() {
    let file = Recording::new().finish().0;
    let mut reader = Reader::new(Failing(&file[..70])).unwrap();
    let error = reader.next().map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("at byte ") && error.ends_with(": the disk is gone"), "{error}");
    assert!(reader.next().is_ok_and(|entry| entry.is_none()));
}

#[test]
fn recordings_and_readers_may_move_to_other_threads() {
    fn moves<T: Send + 'static>() {}
    moves::<Recording>();
    moves::<Reader<std::fs::File>>();
}
