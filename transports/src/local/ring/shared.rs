//! Rings that two processes share, and the view that each process has of the other.
//!
//! A publisher's ring lies in a data region, which only its process writes. The subscriptions of
//! another process read it there, and write their positions into a cursor region, which only their
//! process writes. [`RemoteReaders`] is the publisher's view of these subscriptions;
//! [`MappedOrigin`] is the view that these subscriptions have of the publisher. Neither knows how
//! regions travel between processes. Wake-ups travel by a [`RemoteBell`].

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use mycelium_core::doorbell::{Alarm, Doorbell, WakePath, announce};
use mycelium_core::ring::broadcast::{Broadcast, Claim, ReaderFault, SeenReader};
use mycelium_core::ring::region::{ForeignCursors, Import, TopicStorage};
use thiserror::Error;

use crate::counters::{Line, PublisherValue};
use crate::memory::Mapping;
use crate::sync::{AtomicBool, AtomicUsize, Ordering, lock};

/// The ring of a publisher, as its ends hold it. It is on the heap, in memory that other processes
/// map, or in memory of another process.
pub(crate) type Ring = Arc<Broadcast<TopicStorage<Mapping, Imports>>>;

/// The position before all messages, for a process whose subscriptions have not joined yet.
pub(crate) const FLOOR: usize = usize::MAX;

/// A ring that is shared with another process. The control connection to that process calls it.
pub trait SharedRing: Send + Sync {
    /// Wakes the tasks of this process that wait at the ring: the other process has rung.
    fn look(&self);

    /// Ends the sharing, because the connection with the other process has ended: the memory of
    /// that process is ignored from now on. `has_died`: whether the process has ended, too.
    fn peer_is_gone(&self, has_died: bool);
}

/// A task of this process that may wait at a shared ring.
pub(crate) trait Waiting: fmt::Debug + Send + Sync {
    /// Wakes the task if it waits. The caller has announced the change.
    fn ring(&self);
}

/// Wakes another process, so that its tasks that wait at a shared ring check it. Any thread may
/// call it, and it never blocks.
pub trait RemoteBell: fmt::Debug + Send + Sync {
    /// Wakes the process.
    fn ring(&self, path: WakePath);

    /// Returns the path by which the other process must wake a task of this thread.
    fn own_path(&self) -> WakePath;
}

/// The readers of one other process at one publisher of this process.
#[derive(Debug)]
pub struct RemoteReaders {
    cursors: ForeignCursors<Mapping>,
    alarms: Box<[Alarm]>,
    bell: Arc<dyn RemoteBell>,
    ring: Weak<Broadcast<TopicStorage<Mapping, Imports>>>,
    /// The tasks of this process that wait for the readers: the publisher's task and the link's
    /// task.
    waiting: [Weak<dyn Waiting>; 2],
    /// The entry in the ring by which the readers gate; `None` if all of them observe.
    claim: Option<Claim>,
    /// Whether the entry, or `observed`, follows the readers' positions. It does so only after all
    /// earlier messages, which went over the link, are confirmed.
    is_active: AtomicBool,
    /// The position before which all observers of the process have finished all messages, if no
    /// reader gates.
    observed: AtomicUsize,
    /// The last positions of the readers, set when their process is gone. From then on the words in
    /// its memory are ignored.
    last: OnceLock<LastPositions>,
}

/// The positions of the slowest gating reader and the slowest observer of a process.
#[derive(Debug)]
struct LastPositions {
    gating: Option<usize>,
    observing: Option<usize>,
    /// The ring's tail when the process was found dead; `None` if the process may live.
    tail_at_death: Option<usize>,
}

impl RemoteReaders {
    pub(crate) fn new(
        cursors: ForeignCursors<Mapping>,
        bell: Arc<dyn RemoteBell>,
        ring: &Ring,
        waiting: [Weak<dyn Waiting>; 2],
        claim: Option<Claim>,
        from: usize,
    ) -> Arc<RemoteReaders> {
        let alarms = (0..cursors.readers()).map(|_| Alarm::new()).collect();
        Arc::new(RemoteReaders {
            cursors,
            alarms,
            bell,
            ring: Arc::downgrade(ring),
            waiting,
            claim,
            is_active: AtomicBool::new(false),
            observed: AtomicUsize::new(from),
            last: OnceLock::new(),
        })
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.last.get().is_some()
    }

    /// Returns the ring's tail when the process was found dead, if it was: it has had no later
    /// messages.
    pub(crate) fn tail_at_death(&self) -> Option<usize> {
        self.last.get()?.tail_at_death
    }

    /// Whether the readers' process is gone or has unmapped the ring, and before that each reader
    /// had left or had read an ended publisher to its end.
    pub(crate) fn have_finished(&self) -> bool {
        let end = || self.ring.upgrade().filter(|ring| ring.is_closed()).map(|ring| ring.tail());
        let is_done = |place: Option<usize>| place.is_none() || place == end();
        self.last.get().is_some_and(|last| is_done(last.gating) && is_done(last.observing))
    }

    /// Wakes the readers that sleep. The caller has announced what they wait for.
    pub(crate) fn ring(&self) {
        if !self.is_gone() {
            self.cursors.ring_all(&self.alarms, |path| self.bell.ring(path));
        }
    }

    /// Starts to use the readers' positions.
    pub(crate) fn activate(&self) {
        self.is_active.store(true, Ordering::Release);
    }

    /// Returns the position before which the slowest reader has finished all messages, as of the
    /// last import, if all readers observe.
    pub(crate) fn observed(&self) -> usize {
        self.observed.load(Ordering::Acquire)
    }

    /// Stops using the readers' positions, so that another process may get the entry.
    pub(crate) fn deactivate(&self) {
        self.is_active.store(false, Ordering::Release);
    }

    /// Imports the readers' positions into the ring.
    pub(crate) fn import(&self, ring: &Ring) {
        match self.claim {
            Some(claim) => ring.import(claim, || self.position(true)),
            None => self.import_observed(ring.tail()),
        }
    }

    /// Returns the position of the slowest gating reader, which gates for all; `Some(None)` if no
    /// reader gates. If this returns `None`, nothing may be imported.
    fn position(&self, exact: bool) -> Option<Option<usize>> {
        let is_active = self.is_active.load(Ordering::Acquire);
        let position = is_active.then(|| self.cursors.position(exact))?;
        // Loads `last` after the position, because the words of a dead process do not count.
        Some(self.last.get().map_or(position, |last| last.gating))
    }

    fn import_observed(&self, tail: usize) {
        if !self.is_active.load(Ordering::Acquire) {
            return;
        }
        let place = self.cursors.observed();
        match place {
            // Comes after the load, because the words of a dead process do not count.
            _ if self.have_finished() => self.observe(tail, tail),
            _ if self.is_gone() => {}
            Some(place) => self.observe(place, tail),
            // All readers have left.
            None if self.cursors.gating() == 0 => self.observe(tail, tail),
            // The readers have not joined yet.
            None => {}
        }
    }

    /// Records that the observers have finished all messages before position `place`.
    pub(crate) fn observe(&self, place: usize, tail: usize) {
        // The position must not go back, although several threads import, some of them with an
        // earlier tail.
        let is_after = |one: usize, other: usize| one.wrapping_sub(other).cast_signed() > 0;
        let (observed, relaxed) = (&self.observed, Ordering::Relaxed);
        let mut before = self.observed();
        while is_after(place, before) && !is_after(place, tail) {
            match observed.compare_exchange(before, place, Ordering::Release, relaxed) {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }
}

impl RemoteReaders {
    /// Checks that the readers' process has written only valid values since the last check. Errors
    /// name the first invalid one.
    pub(crate) fn check(&self, seen: &mut [SeenReader], ring: &Ring) -> Result<(), MemoryFault> {
        if self.is_gone() {
            return Ok(());
        }
        let checked = self.cursors.check(seen, || ring.tail());
        checked.map_err(|(entry, fault)| MemoryFault { entry, fault })
    }

    /// Returns the state of the words of all readers before the first check.
    pub(crate) fn unseen(&self) -> Box<[SeenReader]> {
        vec![SeenReader::default(); self.cursors.readers()].into()
    }

    /// Ignores the words of these readers from now on, and uses `kept` as their position.
    pub(crate) fn disbelieve(&self, kept: usize) {
        let kept = Some(kept);
        self.last.get_or_init(|| LastPositions {
            gating: kept,
            observing: kept,
            tail_at_death: None,
        });
        self.look();
    }
}

/// A process of remote readers has written a value into its memory that no correct reader writes.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("reader {entry} has written invalid words into shared memory: {fault}")]
pub struct MemoryFault {
    /// The place of the reader in the memory of its process.
    pub entry: usize,
    /// The fault of the reader.
    pub fault: ReaderFault,
}

mycelium_core::debug_as_display!(MemoryFault);

impl SharedRing for RemoteReaders {
    fn look(&self) {
        announce();
        self.waiting.iter().filter_map(Weak::upgrade).for_each(|task| task.ring());
    }

    /// Keeps the last positions of the process; its memory is not read afterwards.
    fn peer_is_gone(&self, has_died: bool) {
        let ring = self.ring.upgrade();
        if let Some(ring) = &ring {
            self.import(ring);
        }
        // Stores the positions even if the entry does not follow them yet.
        self.last.get_or_init(|| LastPositions {
            gating: self.cursors.position(true),
            observing: self.cursors.observed(),
            tail_at_death: ring.filter(|_| has_died).map(|ring| ring.tail()),
        });
        self.look();
    }
}

/// The readers of other processes at one ring: their positions are imported when the publisher
/// looks for room.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    readers: Mutex<Vec<Arc<RemoteReaders>>>,
    count: AtomicUsize,
}

impl Imports {
    pub(crate) fn add(&self, readers: Arc<RemoteReaders>) {
        let mut all = lock(&self.readers);
        all.push(readers);
        self.count.store(all.len(), Ordering::Release);
    }

    pub(crate) fn remove(&self, readers: &Arc<RemoteReaders>) {
        let mut all = lock(&self.readers);
        all.retain(|other| !Arc::ptr_eq(other, readers));
        self.count.store(all.len(), Ordering::Release);
    }

    /// Returns the path by which the processes of all readers must wake a task of this thread.
    pub(crate) fn own_path(&self) -> WakePath {
        let readers = lock(&self.readers);
        let mut paths = readers.iter().map(|readers| readers.bell.own_path());
        let first = paths.next().unwrap_or(WakePath::Thread);
        // Sockets of several processes may have different numbers.
        if paths.all(|path| path == first) { first } else { WakePath::Thread }
    }

    /// Imports the positions of all readers into the ring.
    pub(crate) fn import(&self, ring: &Ring) {
        if self.count.load(Ordering::Acquire) > 0 {
            lock(&self.readers).iter().for_each(|readers| readers.import(ring));
        }
    }
}

impl Import for Imports {
    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for readers in &*lock(&self.readers) {
            if let Some(claim) = readers.claim
                && let Some(position) = readers.position(exact)
            {
                import(claim, position);
            }
        }
    }
}

/// A publisher in another process whose ring this process has mapped.
#[derive(Debug)]
pub(crate) struct MappedOrigin {
    bell: Arc<dyn RemoteBell>,
    /// Whether the publisher waits for subscriptions of this process. If not, all of them observe.
    pub(crate) waits_for_readers: bool,
    /// The first message that later subscriptions may read: earlier ones were not sent to this
    /// process, or were sent with a mark.
    pub(crate) first: usize,
    /// Wakes the publisher when it waits for room.
    alarm: Alarm,
    /// The doorbell at which the link's session waits until a subscription leaves, or the process
    /// is gone.
    pub(crate) session: Doorbell,
    /// The publisher's counters in this process.
    pub(crate) line: Arc<Line<PublisherValue>>,
    /// Which sleep words are in use.
    sleepers: Arc<Mutex<Vec<bool>>>,
    /// The connection with the publisher's process has ended. Set after `end`.
    is_gone: AtomicBool,
    /// The end of the messages at the loss of the connection. A process that still runs sends later
    /// ones over the link.
    end: OnceLock<usize>,
}

impl MappedOrigin {
    /// Creates the origin with this number of sleep words: `readers`.
    pub(crate) fn new(
        bell: Arc<dyn RemoteBell>,
        readers: usize,
        waits_for_readers: bool,
        first: usize,
        line: Arc<Line<PublisherValue>>,
    ) -> MappedOrigin {
        MappedOrigin {
            bell,
            waits_for_readers,
            first,
            alarm: Alarm::new(),
            session: Doorbell::new(),
            line,
            sleepers: Arc::new(Mutex::new(vec![false; readers])),
            is_gone: AtomicBool::new(false),
            end: OnceLock::new(),
        }
    }

    /// Returns the path by which the publisher's process must wake a task of this thread.
    pub(crate) fn own_path(&self) -> WakePath {
        self.bell.own_path()
    }

    /// Wakes the publisher if it sleeps. The caller has announced what it waits for.
    pub(crate) fn ring(&self, ring: &Ring) {
        if self.is_gone() {
            return;
        }
        self.line.follow(PublisherValue::Sent, ring.tail());
        if let Some(path) = ring.storage().rings_writer(&self.alarm) {
            self.bell.ring(path);
        }
    }

    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Returns the end of the messages that subscriptions read in this ring, once the publisher is
    /// gone.
    pub(crate) fn end(&self) -> Option<usize> {
        if self.is_gone() { self.end.get().copied() } else { None }
    }

    pub(crate) fn set_gone(&self, end: usize) {
        self.line.follow(PublisherValue::Sent, *self.end.get_or_init(|| end));
        self.is_gone.store(true, Ordering::Release);
    }

    /// Takes a free sleep word.
    pub(crate) fn take_sleeper(&self) -> Option<Sleeper> {
        let mut sleepers = lock(&self.sleepers);
        let word = sleepers.iter().position(|taken| !taken)?;
        sleepers[word] = true;
        Some(Sleeper { sleepers: self.sleepers.clone(), word })
    }
}

/// A sleep word of a subscription. Dropping it frees the word.
#[derive(Debug)]
pub(crate) struct Sleeper {
    sleepers: Arc<Mutex<Vec<bool>>>,
    pub(crate) word: usize,
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        lock(&self.sleepers)[self.word] = false;
    }
}
