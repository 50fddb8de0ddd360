//! The map from keys to living actors.
//!
//! The map is divided into shards, each with its own lock. The lock is held to find a key, to add
//! an actor and to list keys; sending, wake-ups, the start of a task and the drops of keys happen
//! after it is released. Keys are code of the user and may panic: they are cloned, hashed and
//! compared before an actor is made, and not when the map grows or an actor ends. The cell of an
//! actor has the hash of its key, and an actor that ends is found by its number.
//!
//! **One at a time.** The actor of a key ends in three steps: its mailbox refuses messages, its
//! instance is dropped, and it leaves the map. A sender that finds the mailbox closed in between
//! immediately puts a *successor* into the map. The successor's mailbox accepts messages from then
//! on, but its task first waits for the end of its predecessor. So no sender has to wait, and two
//! actors of a key never run at the same time. A successor may end before it begins, because the
//! executor refuses or drops its task. So a shard keeps each predecessor until it has ended, and a
//! successor waits for all of them. A successor that has ended stays in the map as long as they.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, RandomState};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use mycelium_core::channel::Queue;
use mycelium_executor::{Executor, SpawnError};

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
    /// The predecessors of actors in `living`, by the numbers of these.
    predecessors: HashMap<u64, Predecessors>,
}

type Living<K, A, Q> = HashTable<(K, Arc<Cell<<A as Actor>::Mail, Q>>)>;

/// The actors that an actor has replaced and that have not ended. The map has no reference to them.
#[derive(Default)]
struct Predecessors {
    cells: Vec<Arc<dyn AnyCell>>,
    /// Whether the actor that has replaced them has ended, too. The map then neither counts it nor
    /// has a reference to it.
    has_ended: bool,
}

impl<K: Hash + Eq, A: Actor, Q: Queue> Shard<K, A, Q> {
    /// Returns whether an actor of the map has ended.
    fn has_ended(&self, cell: &Cell<A::Mail, Q>) -> bool {
        self.predecessors.get(&cell.core.id).is_some_and(|before| before.has_ended)
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
    /// Hashes keys in a way that whoever chooses them cannot know.
    hasher: RandomState,
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
                .map(|_| Shard { living: HashTable::new(), predecessors: HashMap::new() })
                .map(Mutex::new)
                .collect(),
            hasher: RandomState::new(),
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
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash);
        let (_, cell) = shard.living.find(hash, |(it, _)| it == key)?;
        (!shard.has_ended(cell)).then(|| cell.clone())
    }

    /// Returns the actor of a key. Creates a new one if there is none, or if the present one is
    /// `closed`: its mailbox accepts no messages any more.
    pub(super) fn living(
        self: &Arc<Self>,
        key: &K,
        closed: Option<&Arc<Cell<A::Mail, Q>>>,
    ) -> Result<Arc<Cell<A::Mail, Q>>, SpawnActorError> {
        let hash = self.hasher.hash_one(key);
        let is_usable = |cell: &Arc<_>| !closed.is_some_and(|closed| Arc::ptr_eq(cell, closed));
        if let Some((_, cell)) = self.shard(hash).living.find(hash, |(it, _)| it == key)
            && is_usable(cell)
        {
            return Ok(cell.clone());
        }
        let executor = self.plan.executor(key);
        let (mut entry_key, own_key) = (Some(key.clone()), key.clone());
        let entry_hash = |(_, cell): &(K, Arc<Cell<_, _>>)| cell.core.key_hash;
        let mut guard = self.shard(hash);
        let Shard { living, predecessors } = &mut *guard;
        let mut replaced = None;
        // `Ok` has a new actor, `Err` the result if there is none.
        let found = match living.entry(hash, |(it, _)| it == key, entry_hash) {
            Entry::Occupied(mut place) => match &mut place.get_mut().1 {
                cell if is_usable(cell) => Err(Ok(cell.clone())),
                last => {
                    let before = predecessors.get(&last.core.id);
                    let has_ended = before.is_some_and(|before| before.has_ended);
                    self.counted_cell(hash, has_ended).map_err(Err).map(|(cell, receiver)| {
                        let before = succeed(predecessors, last.clone(), cell.core.id);
                        let last = mem::replace(last, cell.clone());
                        replaced = (!has_ended).then_some(last);
                        (cell, receiver, Some(before))
                    })
                }
            },
            Entry::Vacant(place) => {
                self.counted_cell(hash, true).map_err(Err).map(|(cell, receiver)| {
                    place.insert((entry_key.take().expect("it was cloned"), cell.clone()));
                    (cell, receiver, None)
                })
            }
        };
        drop(guard);
        let (cell, receiver, before) = match found {
            Ok(made) => made,
            Err(found) => {
                drop_both(entry_key, Some(own_key));
                return found;
            }
        };
        if let Some(replaced) = replaced {
            // Drops the reference that the entry had.
            replaced.end_refer();
        }
        let maker = KeyedMaker { map: self.clone(), key: own_key };
        let (beginning, restarts) = (before.map(Beginning::After), self.plan.restarts.clone());
        let life = ActorLife::new(cell.clone(), receiver, Box::new(maker), restarts, beginning);
        // Launches the actor after the lock is released, because the actor leaves the map if the
        // executor refuses its task.
        launch(&**executor, life, A::launch())?;
        if !cell.core.is_abandoned() {
            return Ok(cell);
        }
        // The executor has dropped the task at once. Another one would end in the same way.
        let (actor, error) = (A::NAME, SpawnError::Ended);
        Err(match self.plan.set.is_closing() {
            true => SpawnActorError::ShuttingDown { actor },
            false => SpawnActorError::Executor { actor, error },
        })
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
        hash: u64,
        is_new: bool,
    ) -> Result<(Arc<Cell<A::Mail, Q>>, Q::Receiver<A::Mail>), SpawnActorError> {
        if is_new {
            self.count_in()?;
        }
        self.cell(hash).inspect_err(|_| {
            if is_new {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        })
    }

    /// Creates an actor of the key with this hash, without a task. It has one reference.
    #[expect(clippy::type_complexity, reason = "an actor and the end of its mailbox")]
    fn cell(
        &self,
        hash: u64,
    ) -> Result<(Arc<Cell<A::Mail, Q>>, Q::Receiver<A::Mail>), SpawnActorError> {
        let Plan { set, capacity, when_full, .. } = &self.plan;
        let (sender, receiver) = Q::bounded::<A::Mail>(*capacity)
            .map_err(|error| SpawnActorError::Capacity { actor: A::NAME, error })?;
        let make = |id, kind| {
            let mut core = Core::new(id, None, kind, *when_full, answer::<A, Q>);
            core.key_hash = hash;
            Arc::new(Cell::new(core, set.clone(), Some(sender)))
        };
        Ok((set.add(actor_type::<A>(), None, (false, false), make)?, receiver))
    }

    /// Removes an actor that has ended. Its entry stays if its successor is in it, or as long as
    /// actors that it has replaced have not ended. Returns the key of a removed entry, which the
    /// caller drops.
    fn remove(&self, ended: &Core) -> Option<K> {
        let mut guard = self.shard(ended.key_hash);
        let Shard { living, predecessors } = &mut *guard;
        let is_ended = |it: &Arc<dyn AnyCell>| it.core().id == ended.id;
        let is_entry = |(_, cell): &(K, Arc<Cell<_, _>>)| {
            let before = || predecessors.get(&cell.core.id);
            cell.core.id == ended.id
                || before().is_some_and(|before| before.cells.iter().any(is_ended))
        };
        let place = living.find_entry(ended.key_hash, is_entry).ok()?;
        let cell = place.get().1.clone();
        let is_present = cell.core.id == ended.id;
        let is_last = match predecessors.get_mut(&cell.core.id) {
            Some(before) => {
                before.has_ended |= is_present;
                before.cells.retain(|it| !is_ended(it) && !it.core().has_ended());
                before.cells.is_empty()
                    && predecessors.remove(&cell.core.id).is_some_and(|before| before.has_ended)
            }
            None => is_present,
        };
        let entry = is_last.then(|| place.remove().0);
        drop(guard);
        if is_present {
            self.count.fetch_sub(1, Ordering::Relaxed);
            cell.end_refer();
        }
        entry.map(|(key, _)| key)
    }

    /// Drops the references of all entries, when the last handle is gone.
    pub(super) fn release(&self) {
        self.is_released.set();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let living = mem::take(&mut shard.living);
            let predecessors = mem::take(&mut shard.predecessors);
            drop(shard);
            for (key, cell) in living {
                let before = predecessors.get(&cell.core.id);
                if !before.is_some_and(|before| before.has_ended) {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    cell.end_refer();
                }
                discard(&*cell, key);
            }
        }
    }

    /// Calls `visit` with the keys and the actors of one shard.
    pub(super) fn visit(&self, part: usize, visit: impl FnMut(&(K, Arc<Cell<A::Mail, Q>>))) {
        let shard = lock(&self.shards[part]);
        shard.living.iter().filter(|(_, cell)| !shard.has_ended(cell)).for_each(visit);
    }

    pub(super) fn parts(&self) -> std::ops::Range<usize> {
        0..self.shards.len()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K, A, Q>> {
        // Other bits than those that choose the place in the shard: the first, and the last seven.
        lock(&self.shards[(hash >> 50) as usize % SHARDS])
    }
}

impl<K: Hash, A> Plan<K, A> {
    /// Returns the executor of the actor of a key, which is the same in every process.
    fn executor(&self, key: &K) -> &Arc<dyn Executor> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        &self.executors[(hash >> 32) as usize % self.executors.len()]
    }
}

/// Notes the predecessors of a new actor with this number, and returns them: the last actor of the
/// key and those before it, as far as they have not ended.
fn succeed(
    predecessors: &mut HashMap<u64, Predecessors>,
    last: Arc<dyn AnyCell>,
    id: u64,
) -> Vec<Arc<dyn AnyCell>> {
    let before = predecessors.remove(&last.core().id).unwrap_or_default();
    let all = before.cells.into_iter().chain([last]);
    let cells: Vec<_> = all.filter(|cell| !cell.core().has_ended()).collect();
    if !cells.is_empty() {
        predecessors.insert(id, Predecessors { cells: cells.clone(), has_ended: false });
    }
    cells
}

/// Drops two values, the second one also if the drop of the first one panics.
fn drop_both<T>(first: T, second: T) {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(first)));
    drop(second);
    if let Err(panic) = panic {
        resume_unwind(panic);
    }
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
        if let Some(key) = self.map.remove(cell.core()) {
            discard(cell, key);
        }
    }
}
