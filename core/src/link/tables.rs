//! Where a link keeps what it knows of topics and streams, on both sides.
//!
//! A *want* is a topic that this side asked for, a *serve* one that the peer asked for. A stream is one start of a
//! publisher, *incoming* for a want or *outgoing* for a serve. All lie in arrays whose lengths the caller chose. An id
//! that was handed out names its entry for as long as it is there, and nothing afterwards.

use super::SendError;
use super::entries::{ExportEntry, Incoming, InterestEntry, Outgoing, PendingResume};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            pub(super) place: u16,
            pub(super) number: u32,
        }

        impl $name {
            /// A small number that no other entry of its kind has as long as this one is there.
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
    /// A topic that this side wants.
    InterestId
    /// A topic that the peer wants.
    ExportId
    /// A stream that comes from the peer.
    IncomingId
    /// A stream that goes to the peer.
    OutgoingId
}

/// A place alone, for entries whose ids do not outlive the call that found them.
impl Id for u16 {
    fn new(place: u16, _: u32) -> Self {
        place
    }

    fn parts(self) -> (usize, u32) {
        (self.into(), 0)
    }
}

pub(super) trait Id: Copy {
    fn new(place: u16, number: u32) -> Self;
    fn parts(self) -> (usize, u32);
}

/// An entry of a table, with the number that tells it from the one before in the same place.
pub(super) trait Entry {
    type Id: Id;
    fn number(&self) -> u32;
}

#[derive(Debug)]
pub(super) struct Table<T, const N: usize> {
    entries: [Option<T>; N],
    /// All entries lie before this place, so that a walk costs what is in use and not what there is room for.
    end: usize,
    /// Where something was found last.
    recent: usize,
}

impl<T: Entry, const N: usize> Table<T, N> {
    const FITS: () =
        assert!(N > 0 && N <= u16::MAX as usize, "a link has room for 1 to 65535 of each");

    pub(super) fn new() -> Self {
        let () = Self::FITS;
        Table { entries: [const { None }; N], end: 0, recent: 0 }
    }

    /// Puts an entry where none is; `None` if there is no such place.
    pub(super) fn put(&mut self, entry: T) -> Option<T::Id> {
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

    /// The entry in a place.
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

    /// The entries in use, and the gaps between them.
    fn used(&self) -> &[Option<T>] {
        self.entries.get(..self.end).unwrap_or_default()
    }

    /// As [`used`](Table::used).
    fn used_mut(&mut self) -> &mut [Option<T>] {
        self.entries.get_mut(..self.end).unwrap_or_default()
    }

    /// Moves the end back behind the last entry.
    fn shrink(&mut self) {
        self.end = self.used().iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    }

    /// The entry of this number.
    pub(super) fn numbered(&mut self, number: u32) -> Option<(T::Id, &mut T)> {
        self.find(|entry| entry.number() == number)
    }

    /// The first entry that `matches`; most often the one that was found the last time.
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
        let entries = self.used_mut().iter_mut().enumerate();
        entries.filter_map(|(place, entry)| {
            let entry = entry.as_mut()?;
            Some((T::Id::new(place as u16, entry.number()), entry))
        })
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        for entry in self.used_mut() {
            if entry.as_mut().is_some_and(|entry| !keep(entry)) {
                *entry = None;
            }
        }
        self.shrink();
    }
}

macro_rules! entries {
    ($($entry:ident => $id:ident)*) => {$(
        impl Entry for $entry {
            type Id = $id;

            #[inline]
            fn number(&self) -> u32 {
                self.number
            }
        }
    )*};
}

entries! {
    InterestEntry => InterestId
    ExportEntry => ExportId
    Incoming => IncomingId
    Outgoing => OutgoingId
}

impl Entry for PendingResume {
    type Id = u16;

    fn number(&self) -> u32 {
        0
    }
}
