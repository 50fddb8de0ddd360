//! Tasks of actors that an executor refuses or drops, and values whose drops panic.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::pending;
use mycelium::actors::{ActorContext, ActorEnd, ActorRef, Actors, KeyedTellError};
use mycelium::channel::{Mpsc, Queue, QueueReceiver};
use mycelium::supervision::Strategy;
use mycelium::{Error, Result, actor};
use mycelium_core::ring::{CapacityError, PopError};
use mycelium_executor::{Executor, SendFuture, SpawnError};
use mycelium_tokio::Tokio;
use tokio::task::{AbortHandle, JoinError, JoinHandle, yield_now};

use super::keyed::probes;
use super::probe::{
    Gate, Number, Seen, Wait, actors, children, counted, fail, probe, restarts, run, settled,
};

/// Panics when it is dropped, also while its thread panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a value that is dropped");
    }
}

/// Has a bomb. Waits in `stopped` for ever, if it is told so, and holds another one there.
struct Fragile {
    waits: bool,
    _bomb: Option<Bomb>,
}

enum Order {
    Fail,
    /// Waits in the handler, with a bomb.
    Hold,
    /// Sets two timers that have bombs.
    Timers,
    Nothing,
}

struct Later(Bomb);

#[actor(send)]
impl Fragile {
    #[tell]
    async fn order(&mut self, order: Order, ctx: &mut ActorContext<Self>) -> Result<()> {
        match order {
            Order::Fail => Err(Error::msg("told to fail")),
            Order::Hold => {
                let _bomb = Bomb;
                pending().await
            }
            Order::Timers => {
                for _ in 0..2 {
                    ctx.tell_after(Duration::from_secs(3_600), Later(Bomb));
                }
                Ok(())
            }
            Order::Nothing => Ok(()),
        }
    }

    #[tell]
    fn later(&mut self, later: Later) {
        std::mem::forget(later);
    }

    fn number(&self) -> u32 {
        7
    }

    async fn stopped(&mut self) {
        if self.waits {
            let _bomb = Bomb;
            pending::<()>().await;
        }
    }
}

fn fragile(waits: bool, has_bomb: bool) -> impl FnMut() -> Fragile + Send + 'static {
    move || Fragile { waits, _bomb: has_bomb.then(|| Bomb) }
}

#[tokio::test(start_paused = true)]
async fn panics_in_the_drops_of_timers_are_counted_and_change_nothing() {
    let actors = actors();
    let mut actor = actors.spawn(fragile(false, false)).unwrap();
    actor.tell(Order::Timers).await.unwrap();
    actor.tell(Order::Fail).await.unwrap();
    actor.tell(Order::Timers).await.unwrap();
    assert_eq!(actor.number().await, Ok(7));
    assert_eq!((counted(&actors, "panics"), counted(&actors, "restarts")), (2, 1));
    actor.stop();
    assert_eq!(actor.ended().await, ActorEnd::Stopped);
    assert_eq!(counted(&actors, "panics"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_a_factory_is_counted() {
    let actors = actors();
    let (bomb, mut make) = (Bomb, fragile(false, false));
    let factory = move || {
        let _ = &bomb;
        make()
    };
    let mut actor = actors.spawn(factory).unwrap();
    actor.tell(Order::Timers).await.unwrap();
    assert_eq!(actor.number().await, Ok(7));
    actor.stop();
    assert_eq!(actor.ended().await, ActorEnd::Stopped);
    assert_eq!(counted(&actors, "panics"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_actor_whose_handler_a_supervisor_drops_is_made_again_even_if_that_panics() {
    let actors = actors();
    let group = actors.supervisor("parts", Strategy::OneForAll, restarts(3));
    let mut holds = group.actor(fragile(false, false)).spawn().unwrap();
    let mut fails = group.actor(fragile(false, false)).spawn().unwrap();
    holds.tell(Order::Hold).await.unwrap();
    holds.tell(Order::Nothing).await.unwrap();
    yield_now().await;
    fails.tell(Order::Fail).await.unwrap();
    assert_eq!(fails.number().await, Ok(7));
    assert_eq!(holds.number().await, Ok(7));
    assert_eq!(counted(&actors, "panics"), 1);
}

/// Where an actor is when it is abandoned. What it holds there panics when it is dropped, and so
/// does the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Handler,
    End,
    EndAfterFailure,
    EndUnderSupervisor,
}

async fn at(at: At, actors: &Actors) -> ActorRef<Fragile> {
    let make = fragile(at != At::Handler, true);
    let group = actors.supervisor("parts", Strategy::OneForAll, restarts(0));
    let mut actor = match at {
        At::EndUnderSupervisor => group.actor(make).spawn().unwrap(),
        _ => actors.actor(make).temporary().spawn().unwrap(),
    };
    assert_eq!(actor.number().await, Ok(7));
    match at {
        At::Handler => actor.tell(Order::Hold).await.unwrap(),
        At::End => actor.stop(),
        At::EndAfterFailure | At::EndUnderSupervisor => actor.tell(Order::Fail).await.unwrap(),
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!actor.is_gone());
    actor
}

#[tokio::test(start_paused = true)]
async fn panics_in_the_drops_of_an_abandoned_actor_are_counted() {
    for place in [At::Handler, At::End, At::EndAfterFailure, At::EndUnderSupervisor] {
        for is_dropped in [false, true] {
            let executor = Fickle::default();
            let actors = Actors::on(executor.clone());
            let actor = at(place, &actors).await;
            match is_dropped {
                true => executor.drop_tasks(),
                false => drop(actors.shutdown(Duration::ZERO).await),
            }
            assert_eq!(actor.ended().await, ActorEnd::Abandoned, "{place:?}, {is_dropped}");
            assert_eq!(counted(&actors, "panics"), 2, "{place:?}, {is_dropped}");
            assert_eq!(counted(&actors, "failed"), 0, "it was abandoned: {place:?}");
            assert_eq!(executor.panics().await, 0, "{place:?}, {is_dropped}");
        }
    }
}

/// The executor of the test, which refuses tasks and drops them when it is told to.
#[derive(Clone, Default)]
struct Fickle(Arc<State>);

struct State {
    inner: Tokio,
    refuses: AtomicBool,
    /// Takes tasks and drops them at once.
    drops: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
    ends: Mutex<Vec<JoinHandle<()>>>,
}

impl Default for State {
    fn default() -> State {
        State {
            inner: Tokio::current().unwrap(),
            refuses: AtomicBool::default(),
            drops: AtomicBool::default(),
            tasks: Mutex::default(),
            ends: Mutex::default(),
        }
    }
}

impl Fickle {
    fn refuse(&self, refuses: bool) {
        self.0.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Drops all tasks.
    fn drop_tasks(&self) {
        self.0.tasks.lock().unwrap().drain(..).for_each(|task| task.abort());
    }

    /// Drops the task that was spawned last.
    fn drop_last(&self) {
        self.0.tasks.lock().unwrap().pop().unwrap().abort();
    }

    /// Waits for the ends of all tasks. Returns how many have panicked.
    async fn panics(&self) -> usize {
        let ends = std::mem::take(&mut *self.0.ends.lock().unwrap());
        let ends = futures_util::future::join_all(ends).await;
        ends.iter().filter(|end| end.as_ref().is_err_and(JoinError::is_panic)).count()
    }
}

impl Executor for Fickle {
    fn name(&self) -> String {
        self.0.inner.name()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        if self.0.refuses.load(Ordering::Relaxed) {
            return Err(SpawnError::WrongThread);
        }
        if self.0.drops.load(Ordering::Relaxed) {
            return Ok(());
        }
        let task = tokio::spawn(task);
        self.0.tasks.lock().unwrap().push(task.abort_handle());
        self.0.ends.lock().unwrap().push(task);
        Ok(())
    }

    fn now(&self) -> Duration {
        self.0.inner.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        self.0.inner.sleep_until(deadline)
    }
}

/// How a successor ends that has never begun.
#[derive(Clone, Copy, Debug)]
enum Never {
    Refused,
    Dropped,
}

#[tokio::test(start_paused = true)]
async fn the_next_actor_of_a_key_waits_for_all_before_it_even_if_one_never_begins() {
    use Never::{Dropped, Refused};

    let orders: &[&[Never]] =
        &[&[Refused], &[Dropped], &[Refused, Dropped], &[Dropped, Refused, Dropped]];
    for order in orders {
        let (executor, seen, gate) =
            (Fickle::default(), Seen::default(), Arc::new(Gate::default()));
        let actors = Actors::on(executor.clone());
        let keyed = actors.keyed(probes(probe(&seen))).limit(1).build().unwrap();
        let mut first = keyed.get(&1).unwrap();
        let wait = gate.clone();
        run(&mut first, move |probe, _| probe.last_wait = Some(wait)).await;
        assert!(keyed.passivate(&1));
        yield_now().await;
        for never in *order {
            executor.refuse(matches!(never, Refused));
            let told = keyed.tell(&1, Number(1)).await;
            match never {
                Refused => assert!(matches!(told, Err(KeyedTellError::NotSpawned { .. }))),
                Dropped => {
                    told.unwrap();
                    let successor = keyed.find(&1).unwrap();
                    executor.drop_last();
                    assert_eq!(successor.ended().await, ActorEnd::Abandoned);
                }
            }
            assert_eq!((keyed.count(), keyed.find(&1).is_some()), (0, false), "{order:?}");
        }
        executor.refuse(false);
        keyed.tell(&1, Number(2)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(seen.take(), "started stopped", "{order:?}: the first one still runs");
        gate.open();
        assert_eq!(first.ended().await, ActorEnd::Passivated);
        settled(&mut keyed.get(&1).unwrap()).await;
        assert_eq!(seen.take(), "started 2", "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_drops_each_task_is_asked_once() {
    let executor = Fickle::default();
    let actors = Actors::on(executor.clone());
    let keyed = actors.keyed(probes(probe(&Seen::default()))).build().unwrap();
    executor.0.drops.store(true, Ordering::Relaxed);
    let refused = keyed.try_tell(&1, Number(1)).unwrap_err();
    assert_eq!(refused.into_message(), Number(1));
    assert_eq!((counted(&actors, "spawned"), keyed.count()), (1, 0));
    executor.0.drops.store(false, Ordering::Relaxed);
    keyed.try_tell(&1, Number(1)).unwrap();
}

thread_local! {
    /// After how many hashes and comparisons a key panics.
    static UNTIL_PANIC: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// A key that panics when it is hashed or compared.
#[derive(Clone)]
struct Careless(u32);

impl Careless {
    fn step(&self) -> u32 {
        UNTIL_PANIC.set(UNTIL_PANIC.get() - 1);
        assert_ne!(UNTIL_PANIC.get(), 0, "a key that is looked up");
        self.0
    }
}

impl Hash for Careless {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.step().hash(state);
    }
}

impl PartialEq for Careless {
    fn eq(&self, other: &Careless) -> bool {
        self.step() == other.0
    }
}

impl Eq for Careless {}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_in_the_map_changes_nothing() {
    for is_ending in [false, true] {
        for step in 1..20 {
            let (actors, seen, gate) = (actors(), Seen::default(), Arc::new(Gate::default()));
            let make = Mutex::new(probe(&seen));
            let make = move |_: &Careless| make.lock().unwrap()();
            let keyed = actors.keyed(make).limit(1).build().unwrap();
            if is_ending {
                let mut first = keyed.get(&Careless(1)).unwrap();
                let wait = gate.clone();
                run(&mut first, move |probe, _| probe.last_wait = Some(wait)).await;
                keyed.passivate(&Careless(1));
                yield_now().await;
            }
            UNTIL_PANIC.set(step);
            let told = catch_unwind(AssertUnwindSafe(|| keyed.try_tell(&Careless(1), Number(1))));
            let is_last = UNTIL_PANIC.replace(u32::MAX) != 0;
            assert_eq!(told.is_ok(), is_last, "{is_ending}, {step}");
            keyed.try_tell(&Careless(1), Number(2)).unwrap();
            gate.open();
            settled(&mut keyed.get(&Careless(1)).unwrap()).await;
            let before = if is_ending { "started stopped " } else { "" };
            let told = if is_last { "1 2" } else { "2" };
            assert_eq!(seen.take(), format!("{before}started {told}"), "{is_ending}, {step}");
            assert_eq!((keyed.count(), actors.count()), (1, 1), "{is_ending}, {step}");
            assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
            if is_last {
                break;
            }
        }
    }
}

/// The last one is of an executor that refuses it while its predecessor still runs.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_actor_calls_no_key() {
    for successors in 0..2 {
        let (executor, seen, gate) = (Fickle::default(), Seen::default(), Arc::<Gate>::default());
        let actors = Actors::on(executor.clone());
        let make = Mutex::new(probe(&seen));
        let make = move |_: &Careless| make.lock().unwrap()();
        let keyed = actors.keyed(make).limit(1).build().unwrap();
        let mut first = keyed.get(&Careless(1)).unwrap();
        let wait = gate.clone();
        run(&mut first, move |probe, _| probe.last_wait = Some(wait)).await;
        assert!(keyed.passivate(&Careless(1)));
        yield_now().await;
        for _ in 0..successors {
            executor.refuse(true);
            keyed.try_tell(&Careless(1), Number(1)).unwrap_err();
            executor.refuse(false);
        }
        UNTIL_PANIC.set(1);
        gate.open();
        assert_eq!(first.ended().await, ActorEnd::Passivated);
        assert_eq!(UNTIL_PANIC.replace(u32::MAX), 1);
        assert_eq!((counted(&actors, "panics"), keyed.count()), (0, 0), "{successors}");
        keyed.try_tell(&Careless(2), Number(2)).unwrap();
        settled(&mut keyed.get(&Careless(2)).unwrap()).await;
        assert_eq!((seen.take(), keyed.count()), ("started stopped started 2".into(), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_growth_of_the_map_calls_no_key() {
    const KEYS: u32 = 1_000;
    let (actors, seen) = (actors(), Seen::default());
    let make = Mutex::new(probe(&seen));
    let keyed = actors.keyed(move |_: &Careless| make.lock().unwrap()()).build().unwrap();
    UNTIL_PANIC.set(u32::MAX);
    for key in 0..KEYS {
        keyed.get(&Careless(key)).unwrap();
    }
    // A new key is hashed for its place and for its executor, and rarely compared with another one.
    let calls = u32::MAX - UNTIL_PANIC.replace(u32::MAX);
    assert!((2 * KEYS..3 * KEYS).contains(&calls), "{calls}");
    assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
    assert_eq!((keyed.count(), actors.count()), (0, 0));
}

/// A key whose drop panics once it is armed.
#[derive(Clone)]
struct Key(u32, Arc<AtomicBool>);

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        assert!(!self.1.load(Ordering::Relaxed), "a key that is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn panics_in_the_drops_of_keys_are_counted_and_the_actors_end() {
    let (executor, seen, gate) = (Fickle::default(), Seen::default(), Arc::new(Gate::default()));
    let actors = Actors::on(executor.clone());
    let make = Mutex::new(probe(&seen));
    let keyed = actors.keyed(move |_: &Key| make.lock().unwrap()()).build().unwrap();
    let (key, is_armed) = (ManuallyDrop::new(Key(1, Arc::default())), Arc::default());
    let armed = ManuallyDrop::new(Key(1, Arc::clone(&is_armed)));
    let mut first = keyed.get(&armed).unwrap();
    let wait = gate.clone();
    run(&mut first, move |probe, _| probe.last_wait = Some(wait)).await;
    assert!(keyed.passivate(&key));
    yield_now().await;
    keyed.tell(&key, Number(2)).await.unwrap();
    is_armed.store(true, Ordering::Relaxed);
    gate.open();
    assert_eq!(first.ended().await, ActorEnd::Passivated);
    // That of its factory; the entry of the map has the other one.
    assert_eq!((counted(&actors, "panics"), keyed.count()), (1, 1));
    settled(&mut keyed.get(&key).unwrap()).await;
    assert_eq!(seen.take(), "started stopped started 2");
    assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
    assert_eq!((counted(&actors, "panics"), executor.panics().await), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn panics_in_the_drops_of_keys_end_no_process_and_leave_no_actor() {
    let (actors, seen) = (actors(), Seen::default());
    let make = Mutex::new(probe(&seen));
    let keyed = actors.keyed(move |_: &Key| make.lock().unwrap()()).limit(100).build().unwrap();
    let is_armed = Arc::new(AtomicBool::default());
    let keys: Vec<_> = (0..101).map(|key| ManuallyDrop::new(Key(key, is_armed.clone()))).collect();
    for key in &keys[..100] {
        keyed.try_tell(key, Number(1)).unwrap();
    }
    is_armed.store(true, Ordering::Relaxed);
    // Both copies of the key panic.
    let told = catch_unwind(AssertUnwindSafe(|| keyed.try_tell(&keys[100], Number(1))));
    assert!(told.is_err());
    drop(keyed);
    // Longer than the actors need for their messages.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(actors.count(), 0);
}

/// The hook for dead mail sends a message of the dropped successor again, while the map still has
/// that successor.
#[tokio::test(start_paused = true)]
async fn the_next_actor_of_a_key_waits_also_if_it_is_made_while_the_one_before_ends() {
    let (executor, seen, gate) = (Fickle::default(), Seen::default(), Arc::new(Gate::default()));
    let actors = Actors::on(executor.clone());
    let keyed = Arc::new(actors.keyed(probes(probe(&seen))).build().unwrap());
    let again = Arc::downgrade(&keyed);
    actors.on_dead_mail(move |_| again.upgrade().unwrap().try_tell(&1, Number(2)).unwrap());
    let mut first = keyed.get(&1).unwrap();
    let wait = gate.clone();
    run(&mut first, move |probe, _| probe.last_wait = Some(wait)).await;
    assert!(keyed.passivate(&1));
    yield_now().await;
    keyed.tell(&1, Number(1)).await.unwrap();
    let successor = keyed.find(&1).unwrap();
    executor.drop_last();
    assert_eq!(successor.ended().await, ActorEnd::Abandoned);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((seen.take(), keyed.count()), ("started stopped".into(), 1));
    gate.open();
    settled(&mut keyed.get(&1).unwrap()).await;
    assert_eq!(seen.take(), "started 2");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_ends_calls_stopped_of_an_actor_that_waits_for_its_restart() {
    let (actors, seen) = (actors(), Seen::default());
    let group = actors.supervisor("parts", Strategy::OneForOne, restarts(3));
    let mut actor = group.actor(probe(&seen)).spawn().unwrap();
    actor.tell(fail()).await.unwrap();
    tokio::time::sleep(restarts(3).backoff / 4).await;
    group.stop();
    assert_eq!(actor.ended().await, ActorEnd::Stopped);
    assert_eq!(seen.take(), "started (told to fail) stopped");
}

#[tokio::test(start_paused = true)]
async fn the_children_of_an_actor_whose_task_is_dropped_end() {
    let (executor, seen) = (Fickle::default(), Seen::default());
    let actors = actors();
    let mut parent = actors.actor(probe(&seen)).on(Arc::new(executor.clone())).spawn().unwrap();
    let [child] = children(&mut parent, &seen, ["child"]).await;
    executor.drop_tasks();
    assert_eq!(parent.ended().await, ActorEnd::Abandoned);
    let ended = tokio::time::timeout(Duration::from_secs(60), child.ended()).await;
    assert_eq!(ended, Ok(ActorEnd::Stopped));
    assert!(seen.take().ends_with("-child"));
}

/// A queue in which a send is in progress when the mailbox closes: it says once that it is empty,
/// although messages follow.
struct InProgress;

impl Queue for InProgress {
    const NAME: &'static str = "in-progress";
    const SHARED: bool = true;

    type Sender<T: Send + 'static> = <Mpsc as Queue>::Sender<T>;
    type Receiver<T: Send + 'static> = Late<<Mpsc as Queue>::Receiver<T>>;

    fn bounded<T: Send + 'static>(
        capacity: usize,
    ) -> Result<(Self::Sender<T>, Self::Receiver<T>), CapacityError> {
        let (sender, receiver) = Mpsc::bounded(capacity)?;
        Ok((sender, Late { receiver, is_late: false }))
    }
}

struct Late<R> {
    receiver: R,
    is_late: bool,
}

impl<R: QueueReceiver> QueueReceiver for Late<R> {
    type Item = R::Item;

    fn try_recv(&mut self) -> Result<R::Item, PopError> {
        match std::mem::take(&mut self.is_late) {
            true => Err(PopError::Empty),
            false => self.receiver.try_recv(),
        }
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<R::Item>> {
        self.receiver.poll_recv(context)
    }

    fn capacity(&self) -> usize {
        self.receiver.capacity()
    }

    fn len(&self) -> usize {
        self.receiver.len()
    }

    fn refuse_sends(&mut self) {
        self.receiver.refuse_sends();
        self.is_late = true;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_task_leaves_all_its_messages_as_dead_mail_even_if_a_send_is_in_progress() {
    let executor = Fickle::default();
    let actors = Actors::on(executor.clone());
    let make = probe(&Seen::default());
    let mut actor = actors.actor(make).queue::<InProgress>().spawn().unwrap();
    actor.tell(Wait(Arc::default())).await.unwrap();
    yield_now().await;
    for number in 0..3 {
        actor.tell(Number(number)).await.unwrap();
    }
    executor.drop_tasks();
    assert_eq!(actor.ended().await, ActorEnd::Abandoned);
    assert_eq!(counted(&actors, "dead_letters"), 3);
}
