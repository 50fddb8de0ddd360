//! The rings for one writer and one reader, in both layouts, with the ends that need no
//! compare-and-swap.

use mycelium_core::ring::{self, CapacityError, GrantError, PopError, PushError};

use super::drops::{Counted, Drops};

/// The same bodies for both layouts.
macro_rules! layouts {
    ($($layout:ident),*) => {$(pub(crate) mod $layout {
        use super::*;

        pub(crate) fn wraps_around_many_times() {
            // Positions wrap, too: they start shortly before their maximum.
            let mut ring = ring::$layout::Inline::<usize, 4>::new().starting_at(usize::MAX - 100);
            let (mut writer, mut reader) = ring.split().unwrap();
            let mut next = 0;
            for item in 0..400 {
                writer.try_push(item).unwrap();
                if item % 3 == 2 {
                    reader.pop_many(3, |item| assert_eq!(item, core::mem::replace(&mut next, item + 1))).unwrap();
                }
            }
            assert_eq!(reader.try_pop(), Ok(399));
        }

        pub(crate) fn grants_are_committed_in_part_or_dropped() {
            let drops = Drops::new();
            let mut ring = ring::$layout::Inline::<Counted<'_>, 8>::new();
            let (mut writer, mut reader) = ring.split().unwrap();
            let refused = |asked| GrantError::Count { asked, capacity: 8 };
            assert_eq!(writer.grant(0).unwrap_err(), refused(0));
            assert_eq!(writer.grant(9).unwrap_err(), refused(9));
            let mut grant = writer.grant(5).unwrap();
            (0..3).for_each(|number| grant.push(drops.count(number)).unwrap());
            drop(grant);
            assert_eq!(drops.number(), 3, "items that were not committed are dropped");
            assert!(reader.try_pop().is_err(), "and never received");
            let mut grant = writer.grant(5).unwrap();
            (0..3).for_each(|number| grant.push(drops.count(number)).unwrap());
            assert_eq!(grant.commit(), 3, "the rest goes back");
            assert_eq!(writer.grant(6).unwrap_err(), GrantError::Full { room: 5 });
            (0..3).for_each(|number| assert_eq!(reader.try_pop().unwrap().number, number));
            assert_eq!(drops.number(), 6);
        }

        pub(crate) fn either_side_closes() {
            let mut ring = ring::$layout::Inline::<u8, 2>::new();
            let (mut writer, mut reader) = ring.split().unwrap();
            writer.try_push(1).unwrap();
            writer.close();
            assert_eq!(reader.try_pop(), Ok(1), "the item in the ring is still there");
            assert_eq!(reader.try_pop(), Err(PopError::Closed));
            let mut ring = ring::$layout::Inline::<u8, 2>::new();
            let (mut writer, reader) = ring.split().unwrap();
            reader.close();
            assert_eq!(writer.try_push(1), Err(PushError::Closed(1)));
            assert_eq!(writer.grant(1).unwrap_err(), GrantError::Closed);
            assert_eq!(writer.push_slice(&[1]), Err(PushError::Closed(())));
        }

        pub(crate) fn ends_are_handed_over() {
            let mut ring = ring::$layout::Inline::<u8, 4>::new();
            for item in 0..20 {
                let (mut writer, mut reader) = ring.split().unwrap();
                writer.try_push(item).unwrap();
                if item % 2 == 1 {
                    assert_eq!(reader.try_pop(), Ok(item - 1));
                    assert_eq!(reader.try_pop(), Ok(item));
                }
            }
        }

        pub(crate) fn what_is_left_is_dropped() {
            let drops = Drops::new();
            let mut ring = ring::$layout::Inline::<Counted<'_>, 4>::new().starting_at(usize::MAX - 1);
            let (mut writer, mut reader) = ring.split().unwrap();
            (0..4).for_each(|number| writer.try_push(drops.count(number)).unwrap());
            drop(reader.try_pop());
            assert_eq!(drops.number(), 1);
            drop((writer, reader));
            drop(ring);
            assert_eq!(drops.number(), 4, "each once");
        }
    })*};
}

layouts!(spsc, stamped);

// Miri checks each item, although they have no size.
#[cfg(not(miri))]
pub(crate) mod positions {
    use super::*;

    /// An end stops at the position of the other one, also after batches have moved it since its
    /// last single item.
    pub(crate) fn half_of_all_in_batches() {
        const CAPACITY: usize = CapacityError::MOST;
        // Items of size 0: a ring of any capacity takes no memory, and a batch takes no time.
        let mut ring = ring::spsc::Inline::<(), CAPACITY>::new();
        let (mut writer, mut reader) = ring.split().unwrap();
        let mut items = [(); CAPACITY];
        writer.try_push(()).unwrap();
        assert_eq!(reader.try_pop(), Ok(()));
        reader.flush();
        for _ in 0..usize::MAX / 2 / CAPACITY + 2 {
            assert!(writer.push_slice(&items).is_ok());
            assert_eq!(reader.pop_slice(&mut items), Ok(CAPACITY));
        }
        assert!(writer.push_slice(&items).is_ok());
        assert_eq!(writer.try_push(()), Err(PushError::Full(())), "past the reader");
        assert_eq!(reader.pop_slice(&mut items), Ok(CAPACITY));
        assert_eq!(reader.try_pop(), Err(PopError::Empty), "past the writer");
    }
}
