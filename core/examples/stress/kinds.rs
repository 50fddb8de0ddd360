//! The rings, each behind one small adapter.

use std::sync::Arc;

use mycelium_core::ring::{self, mpmc, spsc, stamped};

/// A kind of ring, for items of any type.
pub(crate) trait Kind: 'static {
    const NAME: &'static str;
    /// The most readers at a time.
    const READERS: usize;

    type Ring<T: Send + 'static>: Clone + Send + Sync + 'static;
    type Writer<T: Send + 'static>: ring::Producer<Item = T> + Send;
    type Reader<T: Send + 'static>: ring::Consumer<Item = T> + Send;

    fn ring<T: Send + 'static>(capacity: usize) -> Self::Ring<T>;

    /// An end, unless all are taken or the ring is closed.
    fn writer<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Writer<T>>;
    fn reader<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Reader<T>>;

    /// Closes the side of the writers, if that is possible now.
    fn close<T: Send + 'static>(ring: &Self::Ring<T>) -> bool;

    /// Closes the side of the readers, if that is possible now.
    fn close_readers<T: Send + 'static>(_: &Self::Ring<T>) -> bool {
        false
    }

    /// Fills up to `count` slots in place with the items of `next`, and shows them to the readers
    /// if `commit`. Returns how many slots it filled; 0 if `count` slots are not free now.
    fn fill<T: Send + 'static>(
        writer: &mut Self::Writer<T>,
        count: usize,
        next: impl FnMut() -> Option<T>,
        commit: bool,
    ) -> usize;
}

/// The body of `Kind::fill` for rings with grants.
macro_rules! fill {
    ($writer:ident, $count:ident, $next:ident, $commit:ident) => {{
        let Ok(mut grant) = $writer.grant($count) else { return 0 };
        let mut filled = 0;
        while filled < $count
            && let Some(item) = $next()
        {
            assert!(grant.push(item).is_ok(), "the grant has a slot for each");
            filled += 1;
        }
        if $commit {
            assert_eq!(grant.commit(), filled);
        }
        filled
    }};
}

/// One writer, one reader.
macro_rules! pair {
    ($kind:ident, $layout:ident) => {
        pub(crate) struct $kind;

        impl Kind for $kind {
            const NAME: &'static str = stringify!($layout);
            const READERS: usize = 1;
            type Ring<T: Send + 'static> = Arc<$layout::Boxed<T>>;
            type Writer<T: Send + 'static> = spsc::Producer<Self::Ring<T>>;
            type Reader<T: Send + 'static> = spsc::Consumer<Self::Ring<T>>;

            fn ring<T: Send + 'static>(capacity: usize) -> Self::Ring<T> {
                Arc::new($layout::Boxed::with_capacity(capacity).expect("a power of two"))
            }

            fn writer<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Writer<T>> {
                spsc::Spsc::producer(ring.clone())
            }

            fn reader<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Reader<T>> {
                spsc::Spsc::consumer(ring.clone())
            }

            fn close<T: Send + 'static>(ring: &Self::Ring<T>) -> bool {
                Self::writer(ring).map(spsc::Producer::close).is_some()
            }

            fn close_readers<T: Send + 'static>(ring: &Self::Ring<T>) -> bool {
                Self::reader(ring).map(spsc::Consumer::close).is_some()
            }

            fn fill<T: Send + 'static>(
                writer: &mut Self::Writer<T>,
                count: usize,
                mut next: impl FnMut() -> Option<T>,
                commit: bool,
            ) -> usize {
                fill!(writer, count, next, commit)
            }
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
    type Ring<T: Send + 'static> = Arc<mpmc::Boxed<T>>;
    type Writer<T: Send + 'static> = mpmc::Producer<Self::Ring<T>>;
    type Reader<T: Send + 'static> = mpmc::Consumer<Self::Ring<T>>;

    fn ring<T: Send + 'static>(capacity: usize) -> Self::Ring<T> {
        Arc::new(mpmc::Boxed::with_capacity(capacity).expect("a power of two"))
    }

    fn writer<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Writer<T>> {
        (!ring.is_closed()).then(|| mpmc::Mpmc::producer(ring.clone()))
    }

    fn reader<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Reader<T>> {
        Some(mpmc::Mpmc::consumer(ring.clone()))
    }

    fn close<T: Send + 'static>(ring: &Self::Ring<T>) -> bool {
        ring.close();
        true
    }

    fn fill<T: Send + 'static>(
        writer: &mut Self::Writer<T>,
        count: usize,
        mut next: impl FnMut() -> Option<T>,
        commit: bool,
    ) -> usize {
        fill!(writer, count, next, commit)
    }
}
