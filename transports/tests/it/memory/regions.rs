//! Mappings: which descriptors are accepted, and that nobody can change or shrink mapped memory
//! unexpectedly.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mycelium_core::ring::region::Memory;
use mycelium_transports::memory::{Mapping, MemoryError};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};

use crate::memory::support::{mappings_of, open_files};

const PAGE_WORDS: usize = 512;

/// Returns a memfd of a peer that does not follow the rules.
fn memfd(bytes: u64, seals: SealFlags) -> OwnedFd {
    sparse(bytes, bytes, seals)
}

/// Returns a memfd of which only the first bytes are allocated.
fn sparse(bytes: u64, allocated: u64, seals: SealFlags) -> OwnedFd {
    let file = rustix::fs::memfd_create("hostile", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&file, bytes).unwrap();
    if allocated > 0 {
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, allocated).unwrap();
    }
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

const ALL: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

fn refused(file: impl Into<OwnedFd>) -> MemoryError {
    Mapping::attach(file.into(), PAGE_WORDS, false).unwrap_err()
}

#[test]
fn sealed_memory_is_accepted() {
    let mapping = Mapping::attach(memfd(4096, ALL), PAGE_WORDS, false).unwrap();
    assert_eq!((mapping.words().len(), mapping.is_writable()), (PAGE_WORDS, false));
    // Sealing against all writes is as good.
    let read_only = ALL.difference(SealFlags::FUTURE_WRITE) | SealFlags::WRITE;
    Mapping::attach(memfd(4096, read_only), PAGE_WORDS, false).unwrap();
}

#[test]
fn memory_without_one_of_the_seals_is_refused() {
    for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::FUTURE_WRITE, SealFlags::SEAL] {
        let error = refused(memfd(4096, ALL.difference(missing)));
        assert!(matches!(error, MemoryError::Seals { .. }), "{missing:?}: {error}");
    }
    let text = refused(memfd(4096, SealFlags::SHRINK)).to_string();
    let expected = "invalid seals of a peer's memory: expected SHRINK, GROW, SEAL, and \
                    FUTURE_WRITE or WRITE, found SHRINK";
    assert_eq!(text, expected);
}

#[test]
fn memory_of_another_size_is_refused() {
    for bytes in [0, 1, 4095, 4097, 8192, 1 << 30] {
        // The largest one is sparse, so it is not allocated.
        let error = refused(sparse(bytes, bytes.min(8192), ALL));
        let MemoryError::Size { page: 4096, most: 4096, found } = error else { panic!("{error}") };
        assert_eq!(found, bytes);
    }
    Mapping::attach(memfd(8192, ALL), 2 * PAGE_WORDS, false).unwrap();
}

#[test]
fn memory_that_is_not_allocated_is_refused() {
    let error = Mapping::attach(sparse(1 << 16, 4096, ALL), 1 << 13, false).unwrap_err();
    let MemoryError::Sparse { expected: 65536, found } = error else { panic!("{error}") };
    assert!(found < 65536, "{found}");
}

#[test]
fn descriptors_of_other_kinds_are_refused() {
    let path = std::env::temp_dir().join(format!("mycelium-{}-regular", std::process::id()));
    File::create(&path).unwrap().write_all(&[0; 4096]).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let others: [OwnedFd; 7] = [
        File::open(&path).unwrap().into(),
        File::open("/dev/zero").unwrap().into(),
        File::open("/proc/self/mem").unwrap().into(),
        File::open("/dev/shm").unwrap().into(),
        reader.into(),
        writer.into(),
        rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap(),
    ];
    fs::remove_file(path).unwrap();
    for other in others {
        let link = fs::read_link(format!("/proc/self/fd/{}", other.as_raw_fd())).unwrap();
        let error = refused(other);
        assert!(matches!(error, MemoryError::Kind { .. }), "{link:?}: {error}");
    }
    // A file in memory cannot be sealed unless it is a memfd.
    let path = format!("/dev/shm/mycelium-{}-file", std::process::id());
    File::create(&path).unwrap().write_all(&[0; 4096]).unwrap();
    let file = File::open(&path).unwrap();
    // Removed before the test can fail, because the directory is shared.
    fs::remove_file(path).unwrap();
    let error = refused(file);
    assert!(matches!(error, MemoryError::Seals { .. }), "{error}");
}

/// Huge pages are rarely configured, but an empty file of them needs none.
#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn huge_pages_are_refused_unless_expected() {
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let Ok(file) = rustix::fs::memfd_create("hostile", flags) else {
        return eprintln!("skipped: this system has no huge pages");
    };
    rustix::fs::ftruncate(&file, 1 << 21).unwrap();
    rustix::fs::fcntl_add_seals(&file, ALL).unwrap();
    let error = refused(file.try_clone().unwrap());
    assert!(matches!(error, MemoryError::Kind { .. }), "{error}");
    let error = Mapping::attach(file, 1 << 18, true).unwrap_err();
    assert!(matches!(error, MemoryError::Sparse { found: 0, .. }), "{error}");

    match Mapping::create(1, "huge", true) {
        Ok((own, file)) => {
            let peers = Mapping::attach(file, own.words().len(), true).unwrap();
            assert_eq!(peers.words().len(), own.words().len());
        }
        Err(error) => {
            assert!(matches!(error, MemoryError::HugePages { .. }), "{error}");
            assert!(error.to_string().contains("vm.nr_hugepages"), "{error}");
        }
    }
}

#[test]
fn an_impossible_size_is_an_error_and_leaves_nothing() {
    for words in [0, usize::MAX, usize::MAX / 8] {
        let error = Mapping::create(words, "impossible", false).unwrap_err();
        assert!(matches!(error, MemoryError::Words { .. }), "{error}");
    }
    // More than any machine has, so nothing may be allocated before the error.
    let error = Mapping::create(1 << 42, "impossible", false).unwrap_err();
    assert!(matches!(error, MemoryError::Exhausted { .. }), "{error}");
    assert_eq!((open_files("impossible"), mappings_of("impossible").len()), (0, 0));
}

#[test]
fn s6_nobody_changes_memory_by_its_descriptor() {
    let (own, file) = Mapping::create(PAGE_WORDS, "unchangeable", false).unwrap();
    let denied = |result: rustix::io::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
    };
    [0, 1, 8192].into_iter().for_each(|bytes| denied(rustix::fs::ftruncate(&file, bytes)));
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    denied(rustix::fs::fallocate(&file, hole, 0, 4096));
    denied(rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE));
    denied(rustix::io::write(&file, &[1]).map(drop));
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let again = File::options().read(true).write(true).open(path).unwrap();
    denied(rustix::io::write(&again, &[1]).map(drop));
    drop(own);
}

#[test]
fn children_inherit_neither_descriptor_nor_mapping() {
    let (own, file) = Mapping::create(3 * PAGE_WORDS, "not-inherited", false).unwrap();
    let flags = rustix::io::fcntl_getfd(file.as_fd()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let peers = Mapping::attach(file, 3 * PAGE_WORDS, false).unwrap();
    let found = mappings_of("not-inherited");
    assert_eq!(found.len(), 2, "{found:?}");
    for flags in found {
        assert!(flags.split(' ').any(|flag| flag == "dc"), "{flags}");
    }
    drop((own, peers));
}

#[test]
fn nothing_is_left() {
    let (own, file) = Mapping::create(PAGE_WORDS, "left-over", false).unwrap();
    assert_eq!((open_files("left-over"), mappings_of("left-over").len()), (1, 1));
    let peers = Mapping::attach(file, PAGE_WORDS, false).unwrap();
    assert_eq!((open_files("left-over"), mappings_of("left-over").len()), (0, 2));
    drop(own);
    assert_eq!(mappings_of("left-over").len(), 1, "the peer's stays");
    drop(peers);
    assert_eq!((open_files("left-over"), mappings_of("left-over").len()), (0, 0));
}
