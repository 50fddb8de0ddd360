//! Files that were cut off, and files with a changed byte.

use mycelium_record::{End, Recording};
use mycelium_transports::local::GapReason;

use crate::common::{Order, Tick, order, read, received, stream_of, ticks};

/// Returns a file of three chunks.
fn small() -> Vec<u8> {
    let mut recording = Recording::new();
    let feed = recording.begin(stream_of::<Tick>("Feed", 1), 5, 0).unwrap();
    ticks(&mut recording, feed, 5..12);
    recording.close_chunk();
    let desk = recording.begin(stream_of::<Order>("Desk", 2), 0, 9).unwrap();
    for number in 0..4 {
        recording.message(desk, &received(number, &order(number))).unwrap();
    }
    recording.gap(feed, 20, 8, GapReason::Overwritten, 10).unwrap();
    recording.close_chunk();
    ticks(&mut recording, feed, 20..24);
    recording.end(feed, End::Ended, 24, 11).unwrap();
    recording.disconnected("feed", "orders", "gone", 12);
    recording.end(desk, End::Lost, 4, 13).unwrap();
    recording.finish().0
}

#[test]
fn a_file_that_was_cut_off_is_read_up_to_its_last_whole_chunk() {
    let file = small();
    let whole = read(&file);
    assert!(whole.is_whole && whole.error.is_none());
    let mut ends = Vec::new();
    for length in 0..file.len() {
        let cut = read(&file[..length]);
        assert!(cut.error.is_none(), "{length}: {:?}", cut.error);
        assert!(!cut.is_whole);
        assert!(cut.offset <= length as u64);
        assert_eq!(cut.entries, whole.entries[..cut.entries.len()]);
        if ends.last() != Some(&cut.entries.len()) {
            ends.push(cut.entries.len());
        }
    }
    // The entries of one, two and three chunks.
    assert_eq!(ends, [0, 8, 14, whole.entries.len()]);
}

#[test]
fn a_changed_byte_is_an_error_or_changes_nothing() {
    let file = small();
    let whole = read(&file);
    let (mut errors, mut cuts, mut same) = (0, 0, 0);
    for place in 0..file.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = file.clone();
            damaged[place] ^= change;
            let found = read(&damaged);
            assert_eq!(found.entries, whole.entries[..found.entries.len()], "{place}");
            match found.error {
                Some(_) => errors += 1,
                // A length that says that the file goes on.
                None if !found.is_whole => cuts += 1,
                None => {
                    assert_eq!(found.entries.len(), whole.entries.len(), "{place}");
                    same += 1;
                }
            }
        }
    }
    assert!(errors > 10 * (cuts + same), "{errors} {cuts} {same}");
    assert_eq!(same, 0, "the checksums of the file cover all of its bytes");
}

#[test]
fn an_error_names_the_place_and_what_was_expected() {
    let mut file = small();
    let end = file.len();
    let place = file.windows(4).position(|bytes| bytes == b"even").unwrap();
    file[place] = b'E';
    let error = read(&file).error.unwrap().to_string();
    assert!(error.starts_with("damaged at byte "), "{error}");
    assert!(error.contains(": expected a chunk with checksum "), "{error}");

    let errors = [
        (&b"text"[..], "expected an MCAP file, found other bytes at its beginning"),
        (&[&small()[..], b"x"].concat(), "expected no bytes after the end of the file"),
        (&[&small()[..end - 1], b"x"].concat(), "expected the end of an MCAP file"),
    ];
    for (file, expected) in errors {
        let error = read(file).error.unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
