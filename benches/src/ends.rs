//! The two ends of a queue, as small traits. `ours` implements them for our ends, `rivals` for the
//! others.
//!
//! The loops are generic over these traits, so each column gets its own copy of the same loop, with
//! its ends inlined.

use std::slice;

use crossbeam_utils::CachePadded;

use crate::sample::Item;

/// The number of items for which each queue has room.
pub(crate) const CAPACITY: usize = 1024;

/// A sending end.
pub(crate) trait Push: Send {
    type Item: Item;

    /// Sends an item; false if the queue is full.
    fn push(&mut self, item: &Self::Item) -> bool;

    /// Sends the first items, as many as fit, and returns their number. Some kinds of queues send
    /// all items or none.
    #[inline]
    fn push_many(&mut self, items: &[Self::Item]) -> usize {
        items.iter().take_while(|item| self.push(item)).count()
    }
}

/// A receiving end.
pub(crate) trait Pop: Send {
    type Item: Item;

    /// Takes the next item, if any, and passes it to `read`.
    fn pop<R>(&mut self, read: impl FnOnce(&Self::Item) -> R) -> Option<R>;

    /// Takes up to `most` items, passes them to `read` in contiguous pieces, and returns their
    /// number.
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[Self::Item])) -> usize {
        let mut pop = || self.pop(|item| read(slice::from_ref(item)));
        (0..most).take_while(|_| pop().is_some()).count()
    }
}

/// A sending end for a task.
pub(crate) trait Transmit: Send + 'static {
    /// Sends as soon as there is space; false if the receiver is gone.
    fn transmit(&mut self, item: u64) -> impl Future<Output = bool> + Send;
}

/// A receiving end for a task.
pub(crate) trait Receive: Send + 'static {
    /// Waits for an item; `None` if the sender is gone.
    fn receive(&mut self) -> impl Future<Output = Option<u64>> + Send;
}

/// Both ends of a column.
pub(crate) struct Ends<P, Q> {
    pub(crate) name: &'static str,
    pub(crate) sender: P,
    pub(crate) receiver: Q,
}

impl<P, Q> Ends<P, Q> {
    pub(crate) fn new(name: &'static str, (sender, receiver): (P, Q)) -> Ends<P, Q> {
        Ends { name, sender, receiver }
    }

    /// Wraps the ends in tasks that do nothing at the end of a poll.
    pub(crate) fn bare(self) -> Ends<Bare<P>, Bare<Q>> {
        let Ends { name, sender, receiver } = self;
        Ends { name, sender: Bare::new(sender), receiver: Bare::new(receiver) }
    }
}

/// Makes a column of each pair of ends, and one of the rivals' ends, if they are built:
/// `columns!(ends => column; first(), second(); rivals: third())`.
macro_rules! columns {
    ($ends:ident => $column:expr; $($new:expr),+ $(,)?; rivals: $($rival:expr),+ $(,)?) => {
        vec![
            $({
                let $ends = $new;
                $column
            },)+
            $(
                #[cfg(feature = "rivals")]
                {
                    let $ends = $rival;
                    $column
                },
            )+
        ]
    };
}

/// Implements `Push` and `Pop` for the two ends of a queue of `item`, some with their own batches:
/// `tried!([generics] item; Sender: |end, item| bool, |items| usize;
///     Receiver: |end| Option<item>, |most, read| usize)`.
macro_rules! tried {
    ([$($generics:tt)*] $item:ty;
        $sender:ty: |$tx:ident, $value:ident| $push:expr $(, |$items:ident| $push_many:expr)?;
        $receiver:ty: |$rx:ident| $pop:expr $(, |$most:ident, $read:ident| $pop_many:expr)? $(;)?
    ) => {
        impl<$($generics)*> crate::ends::Push for $sender {
            type Item = $item;

            #[inline]
            fn push(&mut self, $value: &$item) -> bool {
                let $tx = self;
                $push
            }
            $(
                #[inline]
                fn push_many(&mut self, $items: &[$item]) -> usize {
                    let $tx = self;
                    $push_many
                }
            )?
        }

        impl<$($generics)*> crate::ends::Pop for $receiver {
            type Item = $item;

            #[inline]
            fn pop<R>(&mut self, read: impl FnOnce(&$item) -> R) -> Option<R> {
                let $rx = self;
                $pop.map(|item| read(&item))
            }
            $(
                #[inline]
                fn pop_many(&mut self, $most: usize, mut $read: impl FnMut(&[$item])) -> usize {
                    let $rx = self;
                    $pop_many
                }
            )?
        }
    };
}

/// Implements `Transmit` and `Receive` for the two ends of a channel, and makes a column of it:
/// `awaited!(name() = NAME, channel; Sender: |end, item| bool; Receiver: |end| Option<u64>)`.
macro_rules! awaited {
    ($function:ident() = $name:expr, $new:expr; $sender:ty: |$tx:ident, $value:ident| $send:expr;
        $receiver:ty: |$rx:ident| $receive:expr $(;)?) => {
        impl crate::ends::Transmit for $sender {
            async fn transmit(&mut self, $value: u64) -> bool {
                let $tx = self;
                $send
            }
        }

        impl crate::ends::Receive for $receiver {
            async fn receive(&mut self) -> Option<u64> {
                let $rx = self;
                $receive
            }
        }

        pub(crate) fn $function() -> Ends<$sender, $receiver> {
            Ends::new($name, $new)
        }
    };
}

pub(crate) use {awaited, columns, tried};

/// An end within the task that uses it.
pub(crate) trait Task: Send {
    type End;

    /// Polls the task once: runs `work`, and then what the end of a poll requires.
    fn poll<R>(&mut self, work: impl FnOnce(&mut Self::End) -> R) -> R;
}

/// An end that requires nothing at the end of a poll.
///
/// Padded, so that two ends used by two threads never share a cache line, which would cost several
/// times the measured time. In programs they are on two stacks.
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
