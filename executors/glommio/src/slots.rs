//! Values with keys. The key of a removed value never finds another value.

use slab::Slab;

/// Identifies one value among all that were ever in a [`Slots`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    slot: usize,
    serial: u64,
}

pub(crate) struct Slots<T> {
    slots: Slab<(u64, T)>,
    serial: u64,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: Slab::new(), serial: 0 }
    }
}

impl<T> Slots<T> {
    /// Inserts the value that `make` creates from its key.
    pub(crate) fn insert(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        self.serial += 1;
        let entry = self.slots.vacant_entry();
        let key = Key { slot: entry.key(), serial: self.serial };
        entry.insert((self.serial, make(key)));
        key
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let (serial, value) = self.slots.get(key.slot)?;
        (*serial == key.serial).then_some(value)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.slot).1)
    }
}
