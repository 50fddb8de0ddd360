//! Probes: rings with a fault, which the stress must find, so that its checks are known to work.

use std::sync::Arc;

use mycelium_core::ring::{self, PushError, mpmc};

use crate::item::Item;
use crate::kinds::{Kind, Mpmc};

/// One item in this many goes wrong, and the ring stops after this many items.
const SELDOM: u64 = 500;

pub(crate) const LOSES: u8 = 0;
pub(crate) const LEAKS: u8 = 1;
pub(crate) const REORDERS: u8 = 2;
pub(crate) const STOPS: u8 = 3;
pub(crate) const SHOWS_GHOSTS: u8 = 4;

pub(crate) struct Faulty<const FAULT: u8>;

/// A writer that makes the fault.
pub(crate) struct Writer<const FAULT: u8> {
    end: mpmc::Producer<Arc<mpmc::Boxed<Item>>>,
    late: Option<Item>,
}

impl<const FAULT: u8> Kind for Faulty<FAULT> {
    const NAME: &'static str =
        ["probe-loses", "probe-leaks", "probe-reorders", "probe-stops", "probe-ghosts"]
            [FAULT as usize];
    const READERS: usize = usize::MAX;
    type Ring = <Mpmc as Kind>::Ring;
    type Writer = Writer<FAULT>;
    type Reader = <Mpmc as Kind>::Reader;

    fn ring(capacity: usize) -> Self::Ring {
        Mpmc::ring(capacity)
    }

    fn writer(ring: &Self::Ring) -> Option<Self::Writer> {
        Some(Writer { end: Mpmc::writer(ring)?, late: None })
    }

    fn reader(ring: &Self::Ring) -> Option<Self::Reader> {
        Mpmc::reader(ring)
    }

    fn close(ring: &Self::Ring) -> bool {
        Mpmc::close(ring)
    }

    fn fill(
        writer: &mut Self::Writer,
        count: usize,
        next: impl FnMut() -> Option<Item>,
        commit: bool,
    ) -> usize {
        Mpmc::fill(&mut writer.end, count, next, commit || FAULT == SHOWS_GHOSTS)
    }
}

impl<const FAULT: u8> ring::Producer for Writer<FAULT> {
    type Item = Item;

    fn try_push(&mut self, item: Item) -> Result<(), PushError<Item>> {
        if self.end.is_closed() || ring::Producer::is_full(&mut self.end) {
            return self.end.try_push(item);
        }
        match FAULT {
            LOSES if item.number % SELDOM == 1 => drop(item),
            LEAKS if item.number % SELDOM == 1 => std::mem::forget(item),
            REORDERS if self.late.is_none() => self.late = Some(item),
            STOPS if item.number > SELDOM => return Err(PushError::Full(item)),
            _ => {
                self.end.try_push(item)?;
                self.late.take().map_or(Ok(()), |late| self.end.try_push(late))?;
            }
        }
        Ok(())
    }

    fn is_full(&mut self) -> bool {
        ring::Producer::is_full(&mut self.end)
    }

    fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    fn capacity(&self) -> usize {
        ring::Producer::capacity(&self.end)
    }

    fn len(&self) -> usize {
        ring::Producer::len(&self.end)
    }

    fn close(self) {
        self.end.close();
    }
}
