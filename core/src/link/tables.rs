//! The tables of a link: vectors of fixed capacity, whose entries have ids. An id names one entry
//! while it exists, and never a later one.

use core::marker::PhantomData;

use heapless::Vec;

use super::error::SendError;

#[derive(Debug)]
pub(super) struct Table<I, T, const N: usize> {
    /// The entries with their numbers. The last place is never empty, so that iteration visits few
    /// empty places.
    entries: Vec<Option<(u32, T)>, N>,
    /// The place that the last search found.
    recent: usize,
    ids: PhantomData<I>,
}

impl<I: Id, T, const N: usize> Table<I, T, N> {
    const FITS: () =
        assert!(N > 0 && N <= u16::MAX as usize, "a link has room for 1 to 65535 of each");

    pub(super) fn new() -> Self {
        let () = Self::FITS;
        Table { entries: Vec::new(), recent: 0, ids: PhantomData }
    }

    /// Stores an entry in the first free place; returns `None` if the table is full.
    pub(super) fn insert(&mut self, number: u32, entry: T) -> Option<I> {
        let entry = (number, entry);
        let place = match self.entries.iter().position(Option::is_none) {
            Some(place) => {
                *self.entries.get_mut(place)? = Some(entry);
                place
            }
            None => {
                self.entries.push(Some(entry)).ok()?;
                self.entries.len() - 1
            }
        };
        Some(I::new(place as u16, number))
    }

    #[inline]
    pub(super) fn get(&mut self, id: I) -> Result<&mut T, SendError> {
        let (place, number) = id.parts();
        match self.entries.get_mut(place) {
            Some(Some((known, entry))) if *known == number => Ok(entry),
            _ => Err(SendError::Gone),
        }
    }

    /// Returns the entry at a place.
    #[inline]
    pub(super) fn at(&mut self, place: usize) -> Option<(I, &mut T)> {
        let (number, entry) = self.entries.get_mut(place)?.as_mut()?;
        Some((I::new(place as u16, *number), entry))
    }

    pub(super) fn remove(&mut self, id: I) {
        let (place, number) = id.parts();
        if let Some(entry) = self.entries.get_mut(place)
            && entry.as_ref().is_some_and(|(known, _)| *known == number)
        {
            *entry = None;
            self.shrink();
        }
    }

    /// Removes the empty places at the end.
    fn shrink(&mut self) {
        while let Some(None) = self.entries.last() {
            self.entries.pop();
        }
    }

    /// Returns the entry with this number.
    pub(super) fn numbered(&mut self, number: u32) -> Option<(I, &mut T)> {
        self.search(|(known, _)| *known == number)
    }

    /// Returns the first entry that `matches`.
    #[inline]
    pub(super) fn find(&mut self, matches: impl Fn(&T) -> bool) -> Option<(I, &mut T)> {
        self.search(|(_, entry)| matches(entry))
    }

    /// Returns the first entry that `matches`. It tries the result of the last search first.
    #[inline]
    fn search(&mut self, matches: impl Fn(&(u32, T)) -> bool) -> Option<(I, &mut T)> {
        let found = |entry: &Option<(u32, T)>| entry.as_ref().is_some_and(&matches);
        if !self.entries.get(self.recent).is_some_and(found) {
            self.recent = self.entries.iter().position(found)?;
        }
        self.at(self.recent)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(place, entry)| {
            let (number, entry) = entry.as_ref()?;
            Some((I::new(place as u16, *number), entry))
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut T)> {
        let entries = self.entries.iter_mut().enumerate();
        entries.filter_map(|(place, entry)| {
            let (number, entry) = entry.as_mut()?;
            Some((I::new(place as u16, *number), entry))
        })
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        for entry in &mut self.entries {
            if entry.as_mut().is_some_and(|(_, entry)| !keep(entry)) {
                *entry = None;
            }
        }
        self.shrink();
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            place: u16,
            number: u32,
        }

        impl $name {
            /// Returns a small number that no other entry of its kind has while this entry exists.
            #[must_use]
            pub fn place(self) -> usize {
                self.place.into()
            }
        }

        impl Id for $name {
            fn new(place: u16, number: u32) -> Self {
                $name { place, number }
            }

            fn parts(self) -> (usize, u32) {
                (self.place.into(), self.number)
            }
        }
    )*};
}

ids! {
    /// A topic that this side subscribes to.
    InterestId
    /// A topic that the peer subscribes to.
    ExportId
    /// A stream that this side receives.
    IncomingId
    /// A stream that this side sends.
    OutgoingId
}

/// The place of an entry in its table, with the number that distinguishes it from earlier entries
/// in that place.
pub(super) trait Id: Copy {
    fn new(place: u16, number: u32) -> Self;
    fn parts(self) -> (usize, u32);

    fn number(self) -> u32 {
        self.parts().1
    }
}
