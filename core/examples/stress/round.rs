//! The state that the threads of a round share, what they count, and how they report a failure.

use std::fmt;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};

use crate::item::WRITERS;
use crate::kinds::Kind;
use crate::sides::Sides;

/// The ring, the seed and the round, for error messages.
pub(crate) static PLACE: Mutex<String> = Mutex::new(String::new());

pub(crate) fn place() -> String {
    PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reports a failure. The threads may be in any state, so the process ends here.
pub(crate) fn broken(what: &str) -> ! {
    eprintln!("error: {}: {what}", place());
    exit(1);
}

/// The payload of a panic on purpose, which is not printed.
pub(crate) struct Deliberate;

/// How often each kind of event happened.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) rounds: u64,
    pub(crate) items: u64,
    pub(crate) retaken: u64,
    pub(crate) panics: u64,
    pub(crate) aborted: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Counts) {
        self.rounds += other.rounds;
        self.items += other.items;
        self.retaken += other.retaken;
        self.panics += other.panics;
        self.aborted += other.aborted;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { rounds, items, retaken, panics, aborted } = self;
        write!(
            f,
            "{rounds} rounds, {items} items, {retaken} ends taken again, {panics} panics, \
             {aborted} grants dropped"
        )
    }
}

/// The shared state of the threads of a round.
pub(crate) struct Round<K: Kind> {
    pub(crate) ring: K::Ring,
    pub(crate) capacity: usize,
    pub(crate) sides: Sides,
    /// The ring is being closed: a writer that gets no end must not wait for one.
    pub(crate) closing: AtomicBool,
    /// A reader has seen the end.
    pub(crate) drained: AtomicBool,
    /// The number of the next item of each writer, if there is one reader at a time.
    pub(crate) expected: Mutex<[u64; WRITERS]>,
    /// How many readers panicked while they had items.
    pub(crate) forsaken: AtomicU64,
    pub(crate) counts: Mutex<Counts>,
}
