//! The ends of the rings for one writer and one reader beside pushes and pops, in both layouts:
//! room that is shown at once, skipped checks, and forgotten ends.
// The counters of the test are not shared memory of the crate.
#![allow(clippy::disallowed_types)]

use std::cell::Cell;

use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::ring::{PopError, PushError, stamped};

/// Counts that it was dropped, and owns nothing: a second drop frees nothing, and a leak checker
/// misses nothing.
struct Dropped<'a>(&'a Cell<usize>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

macro_rules! laws {
    ($layout:ident) => {
        #[test]
        fn one_out_one_in() {
            let capacities = [2, 4, 16, 64, 1024];
            for capacity in &capacities[..if cfg!(miri) { 4 } else { 5 }] {
                let capacity = *capacity;
                let (mut writer, mut reader) = $layout::pair(capacity).unwrap();
                // A small ring shows each pop by default.
                if capacity > 8 {
                    reader.show_every(1);
                }
                (0..capacity).for_each(|item| writer.try_push(item).unwrap());
                assert!(writer.is_full() && reader.is_full());
                for item in capacity..3 * capacity {
                    assert_eq!(reader.try_pop(), Ok(item - capacity));
                    assert_eq!(writer.try_push(item), Ok(()), "no room after a pop");
                }
                assert_eq!((writer.capacity(), writer.len()), (capacity, capacity));
                assert_eq!((reader.capacity(), reader.len()), (capacity, capacity));
            }
        }

        #[test]
        fn room_is_shown_when_the_lag_becomes_shorter() {
            let (mut writer, mut reader) = $layout::pair(64).unwrap();
            (0..64).for_each(|item| writer.try_push(item).unwrap());
            (0..5).for_each(|item| assert_eq!(reader.try_pop(), Ok(item)));
            reader.show_every(1);
            assert_eq!(writer.room(), 5);
        }

        #[test]
        fn split_releases_the_writer_without_a_reader() {
            let mut ring = $layout::Inline::<u32, 4>::new();
            std::mem::forget(Spsc::consumer(&ring));
            assert!(ring.split().is_none());
            assert!(Spsc::producer(&ring).is_some());
        }

        #[test]
        fn room_is_shown_at_the_chosen_lag() {
            let (mut writer, mut reader) = $layout::pair(16).unwrap();
            reader.show_every(5);
            (0..16).for_each(|item| writer.try_push(item).unwrap());
            for _ in 0..4 {
                reader.try_pop().unwrap();
                assert_eq!(writer.try_push(0), Err(PushError::Full(0)));
            }
            reader.try_pop().unwrap();
            assert_eq!(writer.room(), 5);
            // More than the capacity would never be shown.
            reader.show_every(usize::MAX);
            assert_eq!(reader.by_ref().take(11).count(), 11);
            assert_eq!(writer.room(), 5);
            assert_eq!(reader.try_pop(), Err(PopError::Empty));
            assert_eq!(writer.room(), 16);
        }

        /// The end was dropped before the writer was shown the items that it had taken.
        #[test]
        fn items_taken_but_not_shown_are_not_taken_again() {
            let drops = Cell::new(0);
            let ring = $layout::Inline::<Dropped<'_>, 16>::new();
            let mut writer = Spsc::producer(&ring).unwrap();
            let mut reader = Spsc::consumer(&ring).unwrap();
            for _ in 0..4 {
                assert!(writer.try_push(Dropped(&drops)).is_ok());
            }
            drop(reader.try_pop());
            drop(reader);
            let mut reader = Spsc::consumer(&ring).unwrap();
            assert_eq!(reader.len(), 3);
            drop(reader.try_pop());
            reader.close();
            drop(writer);
            drop(ring);
            assert_eq!(drops.get(), 4);
        }

        #[test]
        fn a_forgotten_end_leaks_and_drops_nothing_twice() {
            let drops = Cell::new(0);
            let ring = $layout::Inline::<Dropped<'_>, 16>::new();
            let mut writer = Spsc::producer(&ring).unwrap();
            let mut reader = Spsc::consumer(&ring).unwrap();
            for _ in 0..3 {
                assert!(writer.try_push(Dropped(&drops)).is_ok());
            }
            // Taken, but not shown yet.
            drop(reader.try_pop());
            std::mem::forget(reader);
            assert!(Spsc::consumer(&ring).is_none());
            drop(writer);
            drop(ring);
            assert_eq!(drops.get(), 1);
        }
    };
}

mod index {
    use super::*;

    laws!(spsc);
}

mod stamps {
    use super::*;

    laws!(stamped);
}
