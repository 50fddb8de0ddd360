//! The tables of a link: arrays of a length that the caller chose, whose entries have ids.

use super::error::SendError;
use super::ids::Id;

/// An entry of a table, with the number that distinguishes it from earlier entries in the same
/// place.
pub(super) trait TableEntry {
    type Id: Id;
    fn number(&self) -> u32;
}

#[derive(Debug)]
pub(super) struct Table<T, const N: usize> {
    entries: [Option<T>; N],
    /// All entries are before this place, so that a walk visits few empty places.
    end: usize,
    /// The place that the last search found.
    recent: usize,
}

impl<T: TableEntry, const N: usize> Table<T, N> {
    const FITS: () =
        assert!(N > 0 && N <= u16::MAX as usize, "a link has room for 1 to 65535 of each");

    pub(super) fn new() -> Self {
        let () = Self::FITS;
        Table { entries: [const { None }; N], end: 0, recent: 0 }
    }

    /// Stores an entry in the first free place; `None` if the table is full.
    pub(super) fn insert(&mut self, entry: T) -> Option<T::Id> {
        let place = self.entries.iter().position(Option::is_none)?;
        let id = T::Id::new(place as u16, entry.number());
        *self.entries.get_mut(place)? = Some(entry);
        self.end = self.end.max(place + 1);
        Some(id)
    }

    #[inline]
    pub(super) fn get(&mut self, id: T::Id) -> Result<&mut T, SendError> {
        let (place, number) = id.parts();
        match self.entries.get_mut(place) {
            Some(Some(entry)) if entry.number() == number => Ok(entry),
            _ => Err(SendError::Gone),
        }
    }

    /// The entry at a place.
    pub(super) fn at(&mut self, place: usize) -> Option<(T::Id, &mut T)> {
        let entry = self.entries.get_mut(place)?.as_mut()?;
        Some((T::Id::new(place as u16, entry.number()), entry))
    }

    pub(super) fn remove(&mut self, id: T::Id) {
        let (place, number) = id.parts();
        if let Some(entry) = self.entries.get_mut(place)
            && entry.as_ref().is_some_and(|entry| entry.number() == number)
        {
            *entry = None;
            self.shrink();
        }
    }

    /// The places up to the last entry.
    fn used(&self) -> &[Option<T>] {
        self.entries.get(..self.end).unwrap_or_default()
    }

    /// Moves the end back to the last entry.
    fn shrink(&mut self) {
        self.end = self.used().iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    }

    /// The entry with this number.
    pub(super) fn numbered(&mut self, number: u32) -> Option<(T::Id, &mut T)> {
        self.find(|entry| entry.number() == number)
    }

    /// The first entry that `matches`. It tries the one that the last search found first.
    #[inline]
    pub(super) fn find(&mut self, matches: impl Fn(&T) -> bool) -> Option<(T::Id, &mut T)> {
        let found = |entry: &Option<T>| entry.as_ref().is_some_and(&matches);
        if !self.entries.get(self.recent).is_some_and(found) {
            self.recent = self.used().iter().position(found)?;
        }
        let entry = self.entries.get_mut(self.recent)?.as_mut()?;
        Some((T::Id::new(self.recent as u16, entry.number()), entry))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (T::Id, &T)> {
        let entries = self.used().iter().enumerate();
        entries.filter_map(|(place, entry)| {
            let entry = entry.as_ref()?;
            Some((T::Id::new(place as u16, entry.number()), entry))
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (T::Id, &mut T)> {
        let entries = self.entries.get_mut(..self.end).unwrap_or_default().iter_mut().enumerate();
        entries.filter_map(|(place, entry)| {
            let entry = entry.as_mut()?;
            Some((T::Id::new(place as u16, entry.number()), entry))
        })
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        for entry in self.entries.get_mut(..self.end).unwrap_or_default() {
            if entry.as_mut().is_some_and(|entry| !keep(entry)) {
                *entry = None;
            }
        }
        self.shrink();
    }
}
