//! Rosters: the members that a publisher or a subscription knows, behind a lock. Copies are read
//! without the lock, and follow the changes one by one.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard};

use crate::sync::{AtomicUsize, Ordering, lock};

/// A version that no roster has.
pub(crate) const OUTDATED: usize = usize::MAX;

/// A member of a [`Roster`]. Its number never changes, and no other member has it.
pub(crate) trait Numbered {
    fn number(&self) -> u64;
}

/// Members by their numbers. The version shows the holder of a copy, without the lock, whether the
/// copy is current.
#[derive(Debug)]
pub(crate) struct Roster<T> {
    version: AtomicUsize,
    members: Mutex<Members<T>>,
}

#[derive(Debug)]
pub(crate) struct Members<T> {
    /// Sorted by number, which is the order in which the members were created.
    all: Vec<T>,
    /// The numbers of the last changes, the newest last: at most as many as there are members.
    /// Updating a recent copy with these costs less than a new copy.
    changed: VecDeque<u64>,
}

impl<T> Default for Roster<T> {
    fn default() -> Roster<T> {
        let members = Members { all: Vec::new(), changed: VecDeque::new() };
        Roster { version: AtomicUsize::new(0), members: Mutex::new(members) }
    }
}

impl<T> Deref for Members<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all
    }
}

impl<T: Numbered> Members<T> {
    fn place(&self, number: u64) -> Result<usize, usize> {
        self.all.binary_search_by_key(&number, T::number)
    }
}

impl<T> Roster<T> {
    /// Returns the number of changes so far. If the thread that makes a change and the caller both
    /// call [`announce`](mycelium_core::doorbell::announce), the later one sees what the earlier
    /// one has stored.
    #[inline]
    pub(crate) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Members<T>> {
        lock(&self.members)
    }
}

impl<T: Numbered> Roster<T> {
    /// Calls `of` for each member, and holds the lock only during each call. Members that join or
    /// leave meanwhile may be left out.
    pub(crate) fn each<R>(&self, of: impl Fn(&T) -> R) -> impl Iterator<Item = R> {
        let mut last = None;
        std::iter::from_fn(move || {
            let members = self.lock();
            let next = members.partition_point(|member| Some(member.number()) <= last);
            let member = members.get(next)?;
            last = Some(member.number());
            Some(of(member))
        })
    }
}

impl<T: Numbered + Clone> Roster<T> {
    /// Adds a member, unless it is in the roster.
    pub(crate) fn add(&self, member: T) {
        let number = member.number();
        self.change(number, |members| match members.place(number) {
            Ok(_) => {}
            Err(place) => {
                // Allocates room for one member: most rosters have one, and there may be many
                // rosters.
                if members.all.is_empty() {
                    members.all.reserve_exact(1);
                }
                members.all.insert(place, member);
            }
        });
    }

    pub(crate) fn remove(&self, number: u64) {
        self.change(number, |members| {
            members.place(number).map(|place| members.all.remove(place)).ok()
        });
    }

    /// Changes a member, if it is in the roster.
    pub(crate) fn update(&self, number: u64, update: impl FnOnce(&mut T)) {
        self.change(number, |members| {
            members.place(number).map(|place| update(&mut members.all[place]))
        });
    }

    fn change<R>(&self, number: u64, change: impl FnOnce(&mut Members<T>) -> R) {
        let mut members = self.lock();
        // Keeps a removed member, so that it is dropped after the lock is released.
        let _changed = change(&mut members);
        if members.all.len() > 1 {
            members.changed.push_back(number);
            while members.changed.len() > members.all.len() {
                members.changed.pop_front();
            }
        } else {
            // Keeps no list of changes: copying a roster of at most one member costs no more than
            // reading the list.
            members.changed = VecDeque::new();
        }
        self.version.fetch_add(1, Ordering::Release);
        drop(members);
    }

    /// Updates a copy, which has this version. Cold, because members seldom change: callers compare
    /// the version first.
    #[cold]
    #[inline(never)]
    pub(crate) fn refresh(&self, copy: &mut Vec<T>, version: &mut usize) {
        let members = self.lock();
        let now = self.version();
        let missing = now.wrapping_sub(*version);
        if *version == OUTDATED || missing > members.changed.len() {
            copy.clone_from(&members.all);
        } else {
            for number in members.changed.iter().skip(members.changed.len() - missing) {
                let member = members.place(*number).map(|place| members.all[place].clone());
                match (copy.binary_search_by_key(number, T::number), member) {
                    (Ok(place), Ok(member)) => copy[place] = member,
                    (Err(place), Ok(member)) => copy.insert(place, member),
                    (Ok(place), Err(_)) => _ = copy.remove(place),
                    (Err(_), Err(_)) => {}
                }
            }
        }
        *version = now;
    }
}

// A value behind a lock, with a version that is read without the lock.

/// A value behind a lock. Its version shows the holder of a copy, without the lock, whether the
/// copy is current.
#[derive(Debug, Default)]
pub(crate) struct Versioned<T> {
    version: AtomicUsize,
    value: Mutex<T>,
}

impl<T> Versioned<T> {
    /// Returns the number of changes so far. If the thread that makes a change and the caller both
    /// call [`announce`](mycelium_core::doorbell::announce), the later one sees what the earlier
    /// one has stored.
    #[inline]
    pub(crate) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.lock();
        let result = change(&mut value);
        self.version.fetch_add(1, Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Member(u64);

    impl Numbered for Member {
        fn number(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn each_has_the_members_that_stay() {
        let mut random = fastrand::Rng::with_seed(7);
        let roster = Roster::default();
        (0..40).for_each(|number| roster.add(Member(number)));
        for _ in 0..100 {
            let mut found = Vec::new();
            for number in roster.each(Member::number) {
                found.push(number);
                // Members with odd numbers leave and join meanwhile.
                let odd = 2 * random.u64(..20) + 1;
                if random.bool() { roster.remove(odd) } else { roster.add(Member(odd)) }
            }
            assert!(found.is_sorted());
            found.retain(|number| number.is_multiple_of(2));
            assert!(found.into_iter().eq((0..40).step_by(2)));
        }
    }
}
