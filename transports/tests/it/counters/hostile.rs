//! Descriptors that are named like counters but have other content, and regions that lie.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use mycelium_transports::counters::{
    AttachError, Attached, CountersView, Found, Region, ServiceValue, ViewError,
};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::support::{Other, given, role, say};

const NAME: &str = "mycelium-counters";
const ALL: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// Returns a memfd with this content and these seals. This process has it as it would have a
/// region.
fn memfd(name: &str, words: &[u64], seals: SealFlags) -> OwnedFd {
    let file =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = File::from(file);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    file.write_all(&bytes).unwrap();
    let file = OwnedFd::from(file);
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

/// Returns the regions of this process, including those of tests that run at the same time.
fn found() -> Found {
    // Without one valid region, the call would fail.
    let _region = Region::shared(16).unwrap();
    Attached::of_process(std::process::id()).unwrap()
}

fn error_of(file: &OwnedFd) -> AttachError {
    let number = file.as_raw_fd().unsigned_abs();
    let mut refused = found().refused.into_iter();
    let error = refused.find(|error| match error {
        AttachError::Memory { descriptor, .. } | AttachError::View { descriptor, .. } => {
            *descriptor == number
        }
        _ => false,
    });
    error.expect("it is refused")
}

/// Returns the words of a region with some lines.
fn region() -> Vec<u64> {
    let region = Region::shared(16).unwrap();
    let lines = [(); 5].map(|()| region.line("service=hostile"));
    (0..).zip(&lines).for_each(|(number, line)| line.set(ServiceValue::Starts, number));
    region.dump().swap_remove(0)
}

/// Reads words as the region of a process, if they are accepted as a region.
fn read(words: &[u64], inode_of: &OwnedFd) -> Result<CountersView, ViewError> {
    let inode = rustix::fs::fstat(inode_of).unwrap().st_ino;
    let mut regions = found().regions;
    if let Some(region) = regions.iter_mut().find(|region| region.id() == inode) {
        return region.read();
    }
    let AttachError::View { error, .. } = error_of(inode_of) else {
        panic!("{} words are refused for their content", words.len())
    };
    Err(error)
}

#[test]
fn memory_that_its_owner_could_take_away_is_refused() {
    let words = region();
    let file = memfd(NAME, &words, ALL.difference(SealFlags::SHRINK));
    let error = error_of(&file).to_string();
    let (process, number) = (std::process::id(), file.as_raw_fd());
    let place = format!("counters of process {process}, descriptor {number}: ");
    assert!(error.starts_with(&format!("{place}invalid seals of a peer's memory: ")), "{error}");
    // The memfd has the right name, and an invalid size.
    let file = memfd(NAME, &words[..1], ALL);
    assert!(error_of(&file).to_string().contains("invalid size of a peer's memory"));
    // This memfd is accepted, because it can no longer change.
    let file = memfd(NAME, &words, ALL);
    assert_eq!(read(&words, &file).unwrap().lines.len(), 5);
}

#[test]
fn a_region_with_several_descriptors_is_found_once() {
    let file = memfd(NAME, &region(), ALL);
    let _again = rustix::io::dup(&file).unwrap();
    let inode = rustix::fs::fstat(&file).unwrap().st_ino;
    let ids: Vec<u64> = found().regions.iter().map(Attached::id).collect();
    assert_eq!(ids.iter().filter(|id| **id == inode).count(), 1, "{ids:?}");
}

#[test]
fn a_segment_is_mapped_only_once_and_only_if_the_list_has_its_inode() {
    let mut words = region();
    // The list names two further segments of 8 lines.
    let first_word = words.len() as u64;
    let further = memfd("mycelium-counters-more", &[0; 512], ALL);
    let (inode, number) = (rustix::fs::fstat(&further).unwrap().st_ino, further.as_raw_fd() as u64);
    words[3] = 32;
    words[8] = 3;
    for (entry, inode) in [(1544, inode), (1552, inode + 1_000_000)] {
        let listed = [first_word, 8, first_word, first_word + 8 * 48, inode, number];
        words[entry..entry + 6].copy_from_slice(&listed);
    }
    let file = memfd(NAME, &words, ALL);
    let view = read(&words, &file).unwrap();
    assert_eq!((view.lines.len(), view.out_of_reach), (5, 8));
    // Both entries name the same segment.
    words[1556] = inode;
    let file = memfd(NAME, &words, ALL);
    let view = read(&words, &file).unwrap();
    assert_eq!((view.lines.len(), view.out_of_reach), (5, 8));
    // The second entry names a memfd with another name.
    let other = memfd("other-counters", &[0; 512], ALL);
    words[1548] = rustix::fs::fstat(&other).unwrap().st_ino;
    let file = memfd(NAME, &words, ALL);
    assert_eq!(read(&words, &file).unwrap().out_of_reach, 8);
}

/// Has a region whose list of segments has no end, and entries of the given size.
#[test]
#[ignore = "a part of another test"]
fn a_list_without_end() {
    let Some(size) = given() else { return };
    let mut words = region();
    (words[7], words[8]) = (size.to_str().unwrap().parse().unwrap(), 1 << 62);
    let _file = memfd(NAME, &words, ALL);
    say("ready", "");
    std::io::stdin().lines().next();
}

#[test]
fn the_reader_in_the_documents_ends_at_a_list_without_end() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/counters_reader.py");
    let reasons = ["the header has a size of 0", "the list of 4611686018427387904 segments ends"];
    for (size, reason) in ["0", "8"].into_iter().zip(reasons) {
        let mut other = Other::start(role("counters::hostile::a_list_without_end", size));
        other.line("ready");
        let process = other.child.id();
        let output = Command::new("python3").arg(program).arg(process.to_string()).output();
        let output = output.expect("this test needs python3, to run counters_reader.py");
        let errors = String::from_utf8_lossy(&output.stderr);
        let expected = format!("region 0 of process {process} contradicts itself: {reason}");
        assert!(errors.starts_with(&expected) && errors.lines().count() == 1, "{errors}");
        assert_eq!(output.status.code(), Some(1));
    }
}
