//! The regions of an `spsc` ring.

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Foreign, Header, ReaderRegion, RegionError, WORD, WriterRegion, after_header};
use crate::ring::pair::{Memory, SideWords};
use crate::ring::spsc::Spsc;

/// The memory of an `spsc` ring in two regions.
///
/// Both sides make one. The writer's process takes only the producer of it, the reader's process only the consumer: the
/// other side's pages are read-only.
///
/// ```
/// use mycelium_core::ring::{broadcast::Word, region::{Pair, ReaderRegion, RegionError, WriterRegion}, spsc::Spsc};
///
/// #[repr(align(4096))]
/// struct Pages([Word; 512]);
/// let pages = || Pages([const { Word::new() }; 512]);
/// let (data, cursors) = (pages(), pages());
///
/// let ours = WriterRegion::spsc::<u64>(&data.0, 64)?;
/// let theirs = WriterRegion::attach(&data.0)?;
/// let theirs = Pair::<u64>::ring(theirs, ReaderRegion::create(&cursors.0, &theirs)?)?;
/// let ours = Pair::<u64>::ring(ours, ReaderRegion::attach(&cursors.0, &ours)?)?;
///
/// let mut writer = Spsc::producer(&ours).expect("nobody else writes");
/// let mut reader = Spsc::consumer(&theirs).expect("nobody else reads");
/// assert_eq!(writer.try_push(7), Ok(()));
/// assert_eq!(reader.try_pop(), Ok(7));
/// # Ok::<(), RegionError>(())
/// ```
#[derive(Debug)]
pub struct Pair<'a, T> {
    writer: WriterRegion<'a>,
    reader: ReaderRegion<'a>,
    items: PhantomData<T>,
}

impl<'a, T: Copy + FromBytes + IntoBytes + Immutable> Pair<'a, T> {
    /// The ring in these regions.
    ///
    /// # Errors
    /// If they do not belong to an `spsc` ring of `T`.
    pub fn ring(
        writer: WriterRegion<'a>,
        reader: ReaderRegion<'a>,
    ) -> Result<Spsc<Pair<'a, T>>, RegionError> {
        let expected = Header::of_items::<T>(writer.header.capacity);
        writer.header.expect(expected.kind)?;
        writer.header.compare(&expected)?;
        // The caller may have made it for another ring.
        reader.header.compare(&expected.of_reader())?;
        Ok(Spsc::over(Pair { writer, reader, items: PhantomData }))
    }
}

// SAFETY: parts of two regions, which stay where they are; their slots are made for memory that others write.
unsafe impl<T: Copy + FromBytes + IntoBytes + Immutable> Memory for Pair<'_, T> {
    type Slot = Foreign<T>;

    fn slots(&self) -> &[Foreign<T>] {
        let (words, capacity) = (self.writer.slots(), self.writer.header.capacity);
        let start = words.as_ptr().cast::<Foreign<T>>();
        assert!(
            start.is_aligned() && words.len() * WORD == capacity * size_of::<Foreign<T>>(),
            "a region was made without its checks",
        );
        // SAFETY: aligned, and as many words as the slots are made of, as was just seen; a slot is a cell of words.
        unsafe { core::slice::from_raw_parts(start, capacity) }
    }

    fn writer(&self) -> &SideWords {
        // SAFETY: these are atomic words in the order of C and the padding between them; see `after_header`.
        unsafe { after_header(self.writer.words) }
    }

    fn reader(&self) -> &SideWords {
        // SAFETY: as above.
        unsafe { after_header(self.reader.words) }
    }
}
