//! Regions of rings in new memory of this process.

#![allow(unsafe_code)]

use std::os::fd::OwnedFd;

use mycelium_core::ring::broadcast::Layout;
use mycelium_core::ring::region::{
    CursorRegion, DataRegion, RegionError, RingIdentity, cursor_words, data_words,
};

use super::error::MemoryError;
use super::mapping::Mapping;

/// Creates a data region in new memory, and the memory's descriptor for readers in other processes.
///
/// # Errors
/// If the system has not enough memory, or no ring can have this layout.
pub fn data_region(
    name: &str,
    layout: Layout,
    readers: usize,
    identity: RingIdentity,
    huge_pages: bool,
) -> Result<(DataRegion<Mapping>, OwnedFd), MemoryError> {
    let words = data_words(layout, readers).ok_or(RegionError::TooLarge)?;
    let (mapping, file) = Mapping::create(words, name, huge_pages)?;
    // SAFETY: the mapping is new and writable, its seals keep others from writing, and only this
    // region has it.
    let region = unsafe { DataRegion::create(mapping, layout, readers, identity) }?;
    Ok((region, file))
}

/// Creates a cursor region in new memory, and the memory's descriptor for the publisher's process.
///
/// # Errors
/// As [`data_region`].
pub fn cursor_region(
    name: &str,
    layout: Layout,
    readers: usize,
    identity: RingIdentity,
) -> Result<(CursorRegion<Mapping>, OwnedFd), MemoryError> {
    let words = cursor_words(readers).ok_or(RegionError::TooLarge)?;
    let (mapping, file) = Mapping::create(words, name, false)?;
    // SAFETY: as above.
    let region = unsafe { CursorRegion::create(mapping, layout, readers, identity) }?;
    Ok((region, file))
}
