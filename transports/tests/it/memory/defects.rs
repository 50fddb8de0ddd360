//! Defects of an earlier implementation of shared memory, by their ids.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use mycelium_core::ring::broadcast::{Broadcast, Layout};
use mycelium_core::ring::region::{ForeignData, ForeignRing, Memory, RegionError, RingIdentity};
use mycelium_transports::memory::{ControlLimits, Mapping, cursor_region, data_region};

use super::support::listening;
use crate::support::until;

const IDENTITY: RingIdentity = RingIdentity { epoch: 7, digest: [3; 16] };
/// The indices of words in a header: capacity, bytes of a message, and number of entries.
const CAPACITY: usize = 5;
const BYTES: usize = 6;
const ENTRIES: usize = 9;

fn layout() -> Layout {
    Layout::exact(16, 8).in_lines()
}

fn attach(file: &OwnedFd) -> Mapping {
    Mapping::attach(file.try_clone().unwrap(), 1 << 20, false).unwrap()
}

/// Attaches to a region after its owner has written this value into a word of the header.
#[allow(unsafe_code)]
fn attach_with(word: usize, value: usize) -> Result<ForeignData<Mapping>, RegionError> {
    let (region, file) = data_region("header", layout(), 2, IDENTITY, false).unwrap();
    // SAFETY: no ring of this test uses the region.
    unsafe { region.memory().words()[word].set(value) };
    ForeignData::attach(attach(&file), IDENTITY)
}

/// In the earlier implementation, the reader copied as many bytes as the peer's header claimed,
/// even beyond the mapping. A length below the header's underflowed, and a capacity of 0 caused a
/// division by zero.
#[test]
fn s3_s4_a_header_beyond_the_memory_and_sizes_of_zero_are_refused() {
    assert!(attach_with(CAPACITY, 16).is_ok());
    for (word, values) in [
        (CAPACITY, &[0, 1, 3, 32, 1 << 20, 1 << 40, usize::MAX / 2 + 1][..]),
        (BYTES, &[0, 16, 1 << 30, usize::MAX]),
        (ENTRIES, &[3, 1 << 50, usize::MAX]),
    ] {
        for value in values {
            assert!(attach_with(word, *value).is_err(), "{word} {value}");
        }
    }
}

/// In the earlier implementation, everybody could read the file, and its path was followed through
/// symbolic links. `unix.rs` tests the socket.
#[test]
fn a6_memory_has_no_path() {
    let (_region, file) = data_region("no-path", layout(), 2, IDENTITY, false).unwrap();
    let link = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
    assert_eq!(link.unwrap().to_str(), Some("/memfd:no-path (deleted)"));
}

/// In the earlier implementation, two publishers could write to one ring, and two processes could
/// create it.
#[test]
fn a7_a_ring_has_one_writer() {
    let (region, file) = data_region("one-writer", layout(), 2, IDENTITY, false).unwrap();
    let ring = Broadcast::new(region, layout()).unwrap();
    let first = Broadcast::producer(&ring);
    assert!(first.is_some() && Broadcast::producer(&ring).is_none());
    assert!(!attach(&file).is_writable());
    let data = ForeignData::attach(attach(&file), IDENTITY).unwrap();
    let (own, _file) = cursor_region("positions", layout(), 2, IDENTITY).unwrap();
    let theirs = Broadcast::new(ForeignRing::new(data, own, None).unwrap(), layout()).unwrap();
    assert!(Broadcast::producer(&theirs).is_none(), "its writer is elsewhere");
    assert!(rustix::io::write(file.as_fd(), b"x").is_err(), "nor by its descriptor");
}

/// In the earlier implementation, threads polled without end, and a late end removed the file of a
/// successor.
#[test]
fn h8_a_thread_without_events_ends_when_it_is_dropped_and_removes_only_its_own_file() {
    let (dir, first) = listening("h8-first", ControlLimits::default());
    fs::remove_file(dir.socket()).unwrap();
    fs::write(dir.socket(), "of a successor").unwrap();
    // This drop runs outside of any runtime, and waits for the thread.
    drop(first);
    assert_eq!(fs::read_to_string(dir.socket()).unwrap(), "of a successor");
    // The system lists a thread for a moment after its end.
    let is_listed = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let mut names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.any(|name| name.trim() == "h8-first")
    };
    until("the thread has ended", || !is_listed());
}

/// In the earlier implementation, the words of both sides shared one cache line, and slots were
/// found by a division.
#[test]
fn p3_no_two_sides_write_to_one_line() {
    const LINE: usize = 64 / size_of::<usize>();
    for bytes in [8, 48, 56, 64, 1000] {
        let layout = Layout::exact(16, bytes).in_lines();
        let slot = layout.slot_words();
        assert!(slot.is_multiple_of(LINE) || LINE.is_multiple_of(slot), "{bytes}: {slot}");
        assert!(layout.capacity().is_power_of_two());
    }
    // The sides write to different memory: each maps the other side's memory read-only.
    let (_region, file) = cursor_region("own", layout(), 2, IDENTITY).unwrap();
    assert!(!attach(&file).is_writable());
}
