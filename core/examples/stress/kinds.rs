//! The rings, each behind one small adapter.

use std::sync::Arc;

use mycelium_core::ring::{self, mpmc, spsc, stamped};

use crate::item::Item;

/// A kind of ring.
pub(crate) trait Kind: 'static {
    const NAME: &'static str;
    /// The most readers at a time.
    const READERS: usize;

    type Ring: Clone + Send + Sync + 'static;
    type Writer: ring::Producer<Item = Item> + Send;
    type Reader: ring::Consumer<Item = Item> + Send;

    fn ring(capacity: usize) -> Self::Ring;

    /// Takes an end, unless all are taken or the ring is closed.
    fn writer(ring: &Self::Ring) -> Option<Self::Writer>;
    fn reader(ring: &Self::Ring) -> Option<Self::Reader>;

    /// Closes the side of the writers, if that is possible now.
    fn close(ring: &Self::Ring) -> bool;

    /// Fills up to `count` slots in place with the items of `next`, and shows them to the readers
    /// if `commit`. Returns how many slots it filled; 0 if `count` slots are not free now.
    fn fill(
        writer: &mut Self::Writer,
        count: usize,
        next: impl FnMut() -> Option<Item>,
        commit: bool,
    ) -> usize;
}

/// `Kind::fill` for rings with grants.
macro_rules! fill {
    () => {
        fn fill(
            writer: &mut Self::Writer,
            count: usize,
            mut next: impl FnMut() -> Option<Item>,
            commit: bool,
        ) -> usize {
            let Ok(mut grant) = writer.grant(count) else { return 0 };
            let mut filled = 0;
            while filled < count
                && let Some(item) = next()
            {
                assert!(grant.push(item).is_ok(), "the grant has a slot for each");
                filled += 1;
            }
            if commit {
                assert_eq!(grant.commit(), filled);
            }
            filled
        }
    };
}

/// One writer, one reader.
macro_rules! pair {
    ($kind:ident, $layout:ident) => {
        pub(crate) struct $kind;

        impl Kind for $kind {
            const NAME: &'static str = stringify!($layout);
            const READERS: usize = 1;
            type Ring = Arc<$layout::Boxed<Item>>;
            type Writer = spsc::Producer<Self::Ring>;
            type Reader = spsc::Consumer<Self::Ring>;

            fn ring(capacity: usize) -> Self::Ring {
                Arc::new($layout::Boxed::with_capacity(capacity).expect("a power of two"))
            }

            fn writer(ring: &Self::Ring) -> Option<Self::Writer> {
                spsc::Spsc::producer(ring.clone())
            }

            fn reader(ring: &Self::Ring) -> Option<Self::Reader> {
                spsc::Spsc::consumer(ring.clone())
            }

            fn close(ring: &Self::Ring) -> bool {
                Self::writer(ring).map(spsc::Producer::close).is_some()
            }

            fill!();
        }
    };
}

pair!(Spsc, spsc);
pair!(Stamped, stamped);

/// Many writers, many readers, and a close for all writers.
pub(crate) struct Mpmc;

impl Kind for Mpmc {
    const NAME: &'static str = "mpmc";
    const READERS: usize = usize::MAX;
    type Ring = Arc<mpmc::Boxed<Item>>;
    type Writer = mpmc::Producer<Self::Ring>;
    type Reader = mpmc::Consumer<Self::Ring>;

    fn ring(capacity: usize) -> Self::Ring {
        Arc::new(mpmc::Boxed::with_capacity(capacity).expect("a power of two"))
    }

    fn writer(ring: &Self::Ring) -> Option<Self::Writer> {
        (!ring.is_closed()).then(|| mpmc::Mpmc::producer(ring.clone()))
    }

    fn reader(ring: &Self::Ring) -> Option<Self::Reader> {
        Some(mpmc::Mpmc::consumer(ring.clone()))
    }

    fn close(ring: &Self::Ring) -> bool {
        ring.close();
        true
    }

    fill!();
}
