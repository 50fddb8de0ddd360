//! The map from keys to living actors.
//!
//! The map is divided into shards, each with its own lock. The lock is held to find a key or to add
//! an actor; sending, wake-ups and the start of a task happen after it is released.
//!
//! **One at a time.** The actor of a key ends in three steps: its mailbox refuses messages, its
//! instance is dropped, and it leaves the map. A sender that finds the mailbox closed in between
//! immediately puts a *successor* into the map. The successor's mailbox accepts messages from then
//! on, but its task first waits for the end of its predecessor. So no sender has to wait, and two
//! actors of a key never run at the same time. A successor may end before it begins, because the
//! executor refuses or drops its task. So a shard keeps each predecessor until it has ended, and a
//! successor waits for all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use mycelium_core::channel::Queue;
use mycelium_executor::Executor;

use crate::actor::answer::answer;
use crate::actor::builder::{actor_type, launch};
use crate::actor::life::{Actor, ActorLife, Beginning, Maker, Restarts};
use crate::actor::set::Set;
use crate::actor::set::cell::{Cell, SetCell};
use crate::actor::set::core::{AnyCell, Core};
use crate::actor::set::kind::ActorKind;
use crate::actor::task::drops::discard;
use crate::actor::values::{SpawnActorError, WhenFull};
use crate::support::latch::Latch;
use crate::support::lock::lock;

/// The number of shards of the map, each with a lock.
const SHARDS: usize = 64;

/// A part of the map.
struct Shard<K, A: Actor, Q: Queue> {
    living: Living<K, A, Q>,
    /// The actors that were replaced in `living`, and have not ended. The map counts as no
    /// reference to them.
    replaced: HashMap<K, Vec<Arc<dyn AnyCell>>>,
}

type Living<K, A, Q> = HashMap<K, Arc<Cell<<A as Actor>::Mail, Q>>>;

impl<K: Hash + Eq, A: Actor, Q: Queue> Shard<K, A, Q> {
    /// Moves an actor from `living` to `replaced`. Returns the key if it is not needed.
    fn replace(&mut self, key: K, cell: Arc<dyn AnyCell>) -> Option<K> {
        let Some(cells) = self.replaced.get_mut(&key) else {
            self.replaced.insert(key, vec![cell]);
            return None;
        };
        cells.push(cell);
        Some(key)
    }

    /// Forgets an actor that was replaced. Returns the key if it was the last one.
    fn forget(&mut self, key: &K, id: u64) -> Option<K> {
        let cells = self.replaced.get_mut(key)?;
        cells.retain(|cell| cell.core().id != id);
        if !cells.is_empty() {
            return None;
        }
        self.replaced.remove_entry(key).map(|(key, _)| key)
    }
}

/// How the actor of each key is created.
pub(super) struct Plan<K, A> {
    pub(super) set: Arc<Set>,
    pub(super) kind: Arc<ActorKind>,
    pub(super) factory: Box<dyn Fn(&K) -> A + Send + Sync>,
    pub(super) capacity: usize,
    pub(super) when_full: WhenFull,
    pub(super) restarts: Restarts,
    /// The executors of the actors; never empty once the map exists.
    pub(super) executors: Box<[Arc<dyn Executor>]>,
    /// The maximum number of living actors.
    pub(super) limit: usize,
}

/// The actors of all keys. An entry has one strong reference to its actor.
pub(super) struct Map<K, A: Actor, Q: Queue> {
    pub(super) plan: Plan<K, A>,
    shards: Box<[Mutex<Shard<K, A, Q>>]>,
    /// The number of entries.
    count: AtomicUsize,
    /// The number of handles that users have.
    pub(super) handles: AtomicUsize,
    /// Set when the last handle is gone.
    pub(super) is_released: Arc<Latch>,
}

impl<K, A, Q> Map<K, A, Q>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    /// Creates an empty map, with one handle.
    pub(super) fn new(plan: Plan<K, A>) -> Map<K, A, Q> {
        Map {
            plan,
            shards: (0..SHARDS)
                .map(|_| Shard { living: HashMap::new(), replaced: HashMap::new() })
                .map(Mutex::new)
                .collect(),
            count: AtomicUsize::new(0),
            handles: AtomicUsize::new(1),
            is_released: Arc::default(),
        }
    }

    /// Returns the number of actors that live, or are about to.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns the actor of a key, if it lives.
    pub(super) fn find(&self, key: &K) -> Option<Arc<Cell<A::Mail, Q>>> {
        self.shard(hash_of(key)).living.get(key).cloned()
    }

    /// Returns the actor of a key. Creates a new one if there is none, or if the present one is
    /// `closed`: its mailbox accepts no messages any more.
    pub(super) fn living(
        self: &Arc<Self>,
        key: &K,
        closed: Option<&Arc<Cell<A::Mail, Q>>>,
    ) -> Result<Arc<Cell<A::Mail, Q>>, SpawnActorError> {
        let hash = hash_of(key);
        let mut shard = self.shard(hash);
        let is_new = match shard.living.get(key) {
            Some(cell) if !closed.is_some_and(|closed| Arc::ptr_eq(cell, closed)) => {
                return Ok(cell.clone());
            }
            ended => ended.is_none(),
        };
        // Clones the key before anything is created: `clone` is user code, and may panic.
        let (entry_key, own_key) = (key.clone(), key.clone());
        let (cell, receiver) = match self.counted_cell(is_new) {
            Ok(made) => made,
            Err(error) => {
                // Releases the lock before the keys are dropped.
                drop(shard);
                return Err(error);
            }
        };
        let replaced = shard.living.remove_entry(key);
        let closed = replaced.as_ref().map(|(_, cell)| cell.clone());
        // Dropped at the end, when the new actor has its task: the drop is user code.
        let _spare = replaced.and_then(|(key, cell)| shard.replace(key, cell));
        shard.living.insert(entry_key, cell.clone());
        let before = shard.replaced.get(key).cloned();
        drop(shard);
        if let Some(closed) = closed {
            // Drops the reference that the entry had.
            closed.end_refer();
        }
        let beginning = before.map(Beginning::After);
        let maker = Box::new(KeyedMaker { map: self.clone(), key: own_key });
        let restarts = self.plan.restarts.clone();
        let life = ActorLife::new(cell.clone(), receiver, maker, restarts, beginning);
        // Launches the actor after the lock is released, because the actor leaves the map if the
        // executor refuses its task.
        launch(&**self.plan.executor(hash), life, A::launch())?;
        Ok(cell)
    }

    /// Increments the number of entries. Fails if the limit is reached.
    fn count_in(&self) -> Result<(), SpawnActorError> {
        let limit = self.plan.limit;
        let more = |count| (count < limit).then_some(count + 1);
        let counted = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.map(drop).map_err(|_| SpawnActorError::Limit { actor: A::NAME, limit })
    }

    /// Creates an actor as [`cell`](Map::cell) does, and counts it if its key is new.
    #[expect(clippy::type_complexity, reason = "an actor and the end of its mailbox")]
    fn counted_cell(
        &self,
        is_new: bool,
    ) -> Result<(Arc<Cell<A::Mail, Q>>, Q::Receiver<A::Mail>), SpawnActorError> {
        if is_new {
            self.count_in()?;
        }
        self.cell().inspect_err(|_| {
            if is_new {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        })
    }

    /// Creates an actor without a task. It has one reference.
    #[expect(clippy::type_complexity, reason = "an actor and the end of its mailbox")]
    fn cell(&self) -> Result<(Arc<Cell<A::Mail, Q>>, Q::Receiver<A::Mail>), SpawnActorError> {
        let Plan { set, capacity, when_full, .. } = &self.plan;
        let (sender, receiver) = Q::bounded::<A::Mail>(*capacity)
            .map_err(|error| SpawnActorError::Capacity { actor: A::NAME, error })?;
        let make = |id, kind| {
            let core = Core::new(id, None, kind, *when_full, answer::<A, Q>);
            Arc::new(Cell::new(core, set.clone(), Some(sender)))
        };
        Ok((set.add(actor_type::<A>(), None, (false, false), make)?, receiver))
    }

    /// Removes an actor that has ended. If its successor is already in the map, the successor
    /// stays. Returns the keys of removed entries, which the caller drops.
    fn remove(&self, key: &K, id: u64) -> [Option<K>; 2] {
        let mut shard = self.shard(hash_of(key));
        let is_present = shard.living.get(key).is_some_and(|cell| cell.core.id == id);
        let entry = if is_present { shard.living.remove_entry(key) } else { None };
        let spare = shard.forget(key, id);
        drop(shard);
        let key = entry.map(|(key, cell)| {
            self.count.fetch_sub(1, Ordering::Relaxed);
            cell.end_refer();
            key
        });
        [key, spare]
    }

    /// Drops the references of all entries, when the last handle is gone.
    pub(super) fn release(&self) {
        self.is_released.set();
        for shard in &self.shards {
            let living = std::mem::take(&mut lock(shard).living);
            self.count.fetch_sub(living.len(), Ordering::Relaxed);
            living.values().for_each(|cell| cell.end_refer());
        }
    }

    /// Calls `visit` with the keys and the actors of one shard.
    pub(super) fn visit(&self, part: usize, visit: impl FnMut((&K, &Arc<Cell<A::Mail, Q>>))) {
        lock(&self.shards[part]).living.iter().for_each(visit);
    }

    pub(super) fn parts(&self) -> std::ops::Range<usize> {
        0..self.shards.len()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K, A, Q>> {
        lock(&self.shards[(hash % SHARDS as u64) as usize])
    }
}

impl<K, A> Plan<K, A> {
    /// Returns the executor of the actor of a key, by the key's hash. Different bits of the hash
    /// choose the shard.
    fn executor(&self, hash: u64) -> &Arc<dyn Executor> {
        let (place, count) = ((hash >> 32) as usize, self.executors.len());
        &self.executors[place % count]
    }
}

/// Returns the hash of a key. It is the same in every process, so a key always has the same
/// executor.
fn hash_of<K: Hash>(key: &K) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key)
}

/// Creates the instances of the actor of one key, and removes the actor from the map at its end.
struct KeyedMaker<K, A: Actor, Q: Queue> {
    map: Arc<Map<K, A, Q>>,
    key: K,
}

impl<K, A, Q> Maker<A> for KeyedMaker<K, A, Q>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    fn make(&mut self) -> A {
        (self.map.plan.factory)(&self.key)
    }

    fn ended(&self, cell: &dyn SetCell) {
        for key in self.map.remove(&self.key, cell.core().id) {
            discard(cell, key);
        }
    }
}
