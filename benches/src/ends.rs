//! The two ends of each column that moves items, behind small traits; ours are in `ours`, the others' in `rivals`.
//!
//! The loops are generic over the traits, so each column gets its own copy of the same loop with its ends inlined.

use std::hint::black_box;

use crossbeam_utils::CachePadded;

use crate::item::Item;
use crate::sample::Sample;

/// How many items the buffer of each column holds.
pub(crate) const CAPACITY: usize = 1024;

/// The sending end of a column.
pub(crate) trait Push: Send {
    type Item: Item;

    /// Sends an item, unless there is no room.
    fn push(&mut self, item: &Self::Item) -> bool;
}

/// The receiving end of a column.
pub(crate) trait Pop: Send {
    type Item: Item;

    /// Takes the next item, if there is one, and shows it to `read`.
    fn pop<R>(&mut self, read: impl FnOnce(&Self::Item) -> R) -> Option<R>;
}

/// A sending end that takes many items at a time.
pub(crate) trait PushMany: Push {
    /// Sends the first of `items`, as many as there is room for or none if it is too little, and says how many.
    fn push_many(&mut self, items: &[Self::Item]) -> usize;
}

/// A receiving end that gives many items at a time.
pub(crate) trait PopMany: Pop {
    /// Takes up to `most` items, shows them to `read` in pieces that lie together, and says how many there were.
    fn pop_many(&mut self, most: usize, read: impl FnMut(&[Self::Item])) -> usize;
}

/// The end that a task sends into.
pub(crate) trait Transmit: Send + 'static {
    /// Sends, waiting for room; false if nobody will ever receive.
    fn transmit(&mut self, item: u64) -> impl Future<Output = bool> + Send;
}

/// The end that a task sleeps on.
pub(crate) trait Receive: Send + 'static {
    /// Waits for an item; `None` if none will ever come.
    fn receive(&mut self) -> impl Future<Output = Option<u64>> + Send;
}

/// An end that copies whole slices to and from the caller's memory.
pub(crate) struct Slices<E, T> {
    pub(crate) end: E,
    pub(crate) buffer: Box<[T]>,
}

impl<E, T: Item> Slices<E, T> {
    pub(crate) fn new(end: E) -> Slices<E, T> {
        Slices { end, buffer: vec![T::default(); CAPACITY].into() }
    }
}

impl<E: Push> Push for Slices<E, E::Item> {
    type Item = E::Item;

    #[inline]
    fn push(&mut self, item: &E::Item) -> bool {
        self.end.push(item)
    }
}

impl<E: Pop> Pop for Slices<E, E::Item> {
    type Item = E::Item;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&E::Item) -> R) -> Option<R> {
        self.end.pop(read)
    }
}

/// Both ends of a column.
pub(crate) struct Ends<P, Q> {
    pub(crate) name: &'static str,
    pub(crate) sender: P,
    pub(crate) receiver: Q,
}

/// A column for each pair of ends: `columns!(ends => wrapper; first(), second())`.
macro_rules! columns {
    ($ends:ident => $wrapper:expr; $($new:expr),+ $(,)?) => {
        vec![$({
            let $ends = $new;
            Box::new($wrapper)
        }),+]
    };
}

pub(crate) use columns;

/// An end within the task that uses it.
pub(crate) trait Task: Send {
    type End;

    /// Polls the task once: `work`, and then whatever the end of a poll takes.
    fn poll<R>(&mut self, work: impl FnOnce(&mut Self::End) -> R) -> R;
}

/// Nothing is done at the end of a poll.
///
/// Padded, as every end is whose other end another thread uses: programs keep them on two stacks, and here they would
/// else share a cache line, which costs several times what is measured.
pub(crate) struct Bare<E>(CachePadded<E>);

impl<E> Bare<E> {
    pub(crate) fn new(end: E) -> Bare<E> {
        Bare(CachePadded::new(end))
    }
}

impl<E: Send> Task for Bare<E> {
    type End = E;

    #[inline]
    fn poll<R>(&mut self, work: impl FnOnce(&mut E) -> R) -> R {
        work(&mut self.0)
    }
}

impl<P, Q> Ends<P, Q> {
    /// Both ends in tasks that do nothing at the end of a poll.
    pub(crate) fn bare(self) -> Ends<Bare<P>, Bare<Q>> {
        let Ends { name, sender, receiver } = self;
        Ends { name, sender: Bare::new(sender), receiver: Bare::new(receiver) }
    }
}

/// Nothing but the loop: what the harness itself costs.
pub(crate) struct Nothing;

pub(crate) fn nothing() -> Bare<Nothing> {
    Bare::new(Nothing)
}

impl Push for Nothing {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        black_box(sample);
        true
    }
}
