//! Keyed actors that are passivated while messages are on their way: each message has one outcome,
//! each sender's order stays, and two actors of one key never run at the same time.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use mycelium::actors::{ActorContext, Actors, Keyed, KeyedTellError};
use mycelium::channel::{Mpmc, Mpsc, Queue};
use mycelium::requests::RequestError;
use mycelium::{actor, message};
use mycelium_tokio::{Tokio, TokioMpsc};

use super::probe::counted;

const KEYS: u32 = 8;
const SENDERS: u32 = 4;

/// Returns the output of a future, or `None` if it is still pending at its k-th poll. With 0 polls
/// it is dropped without a poll.
pub(crate) async fn cut<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let (mut future, mut polled) = (pin!(future), 0);
    poll_fn(|context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => {
                // Asks for the next poll without waiting for an event.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

/// The state that outlives the actors of all keys.
#[derive(Default)]
struct World {
    /// Whether an actor of the key runs.
    running: Mutex<HashMap<u32, bool>>,
    /// The last number of each sender, by key.
    saved: Mutex<HashMap<u32, HashMap<u32, u64>>>,
    handled: AtomicU64,
    made: AtomicU64,
    /// Laws that were broken.
    faults: Mutex<Vec<String>>,
}

impl World {
    fn fault(&self, text: String) {
        self.faults.lock().unwrap().push(text);
    }
}

/// Keeps the last number of each sender while it lives.
struct Entity {
    key: u32,
    last: HashMap<u32, u64>,
    world: Arc<World>,
}

impl Entity {
    fn new(key: u32, world: &Arc<World>) -> Entity {
        if world.running.lock().unwrap().insert(key, true) == Some(true) {
            world.fault(format!("two actors of {key}"));
        }
        world.made.fetch_add(1, Ordering::Relaxed);
        let last = world.saved.lock().unwrap().get(&key).cloned().unwrap_or_default();
        Entity { key, last, world: world.clone() }
    }

    fn handle(&mut self, sender: u32, number: u64) {
        let last = self.last.insert(sender, number).unwrap_or(0);
        if number <= last {
            self.world.fault(format!("{number} of {sender} after {last}"));
        }
        self.world.handled.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Step {
    sender: u32,
    number: u64,
}

#[message(topic = "keyed.asks", id = 930, reply = Reply)]
#[derive(Debug, PartialEq)]
struct AskStep {
    sender: u64,
    number: u64,
}

#[message(topic = "keyed.replies", id = 931)]
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) number: u64,
}

#[actor(send)]
impl Entity {
    #[tell]
    async fn step(&mut self, step: Step, ctx: &mut ActorContext<Self>) {
        if step.number.is_multiple_of(5) {
            // A stop ends the sleep early.
            let _ = ctx.sleep(Duration::from_micros(1)).await;
        }
        self.handle(step.sender, step.number);
    }

    #[remote]
    fn answer(&mut self, AskStep { sender, number }: AskStep) -> Reply {
        self.handle(sender as u32, number);
        Reply { number }
    }

    async fn stopped(&mut self) {
        tokio::task::yield_now().await;
        self.world.saved.lock().unwrap().insert(self.key, std::mem::take(&mut self.last));
    }
}

impl Drop for Entity {
    fn drop(&mut self) {
        self.world.running.lock().unwrap().insert(self.key, false);
    }
}

/// Tells and asks each key in turn, while other tasks passivate and stop the actors.
async fn storm<Q: Queue>(rounds: u64, stops: bool, idle: Option<Duration>) {
    let actors = Actors::on(Tokio::current().unwrap());
    let (world, dead) = (Arc::<World>::default(), Arc::new(AtomicU64::new(0)));
    let (hook, shared) = (dead.clone(), world.clone());
    actors.on_dead_mail(move |_| _ = hook.fetch_add(1, Ordering::Relaxed));
    let builder = actors.keyed(move |key: &u32| Entity::new(*key, &shared));
    let builder = builder.capacity(4).queue::<Q>();
    let builder = match idle {
        Some(idle) => builder.idle(idle),
        None => builder,
    };
    let keyed = builder.build().unwrap();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| tokio::spawn(send(keyed.clone(), sender, rounds, idle)))
        .collect();
    let ended = Arc::new(AtomicBool::new(false));
    let (has_ended, other) = (ended.clone(), keyed.clone());
    let passivating = tokio::spawn(async move {
        for turn in 0_u64.. {
            if has_ended.load(Ordering::Relaxed) {
                return;
            }
            let key = (turn % u64::from(KEYS)) as u32;
            if stops && turn.is_multiple_of(3) {
                other.stop(&key);
            } else if idle.is_none() {
                other.passivate(&key);
            }
            tokio::task::yield_now().await;
            // Paused time moves only when all tasks wait.
            if idle.is_some() || turn % 8 == 7 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let (mut told, mut replied, mut refused) = (0, 0, 0);
    for sender in senders {
        let [told_by, replied_to, refused_to] = sender.await.unwrap();
        (told, replied, refused) = (told + told_by, replied + replied_to, refused + refused_to);
    }
    ended.store(true, Ordering::Relaxed);
    passivating.await.unwrap();
    assert!(actors.shutdown(Duration::from_secs(60)).await.is_empty());
    let faults = world.faults.lock().unwrap();
    assert!(faults.is_empty(), "{}: {faults:?}", Q::NAME);
    let handled = world.handled.load(Ordering::Relaxed);
    let dead = dead.load(Ordering::Relaxed);
    assert_eq!(handled + dead, told + replied, "{}", Q::NAME);
    assert_eq!(told + replied + refused, rounds * u64::from(KEYS * SENDERS));
    assert!(stops || (dead, refused) == (0, 0), "{dead} {refused}");
    let made = world.made.load(Ordering::Relaxed);
    assert!(made > u64::from(KEYS) * 2, "{made} were made");
    assert_eq!(counted(&actors, "handled"), handled - replied);
    assert_eq!(counted(&actors, "spawned"), counted(&actors, "ended"));
    assert_eq!((keyed.count(), actors.count()), (0, 0));
}

/// Returns how many messages were told, replied to, and refused.
async fn send<Q: Queue>(
    keyed: Keyed<u32, Entity, Q>,
    sender: u32,
    rounds: u64,
    idle: Option<Duration>,
) -> [u64; 3] {
    let [mut told, mut replied, mut refused] = [0; 3];
    for number in 1..=rounds {
        for key in 0..KEYS {
            if (number + u64::from(key)).is_multiple_of(4) {
                let request = AskStep { sender: u64::from(sender), number };
                match keyed.ask(&key, request).await {
                    Ok(reply) => {
                        assert_eq!(reply.number, number);
                        replied += 1;
                    }
                    // The request was in the mailbox of an actor that was stopped.
                    Err(RequestError::Gone { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            } else {
                keyed.tell(&key, Step { sender, number }).await.unwrap();
                told += 1;
            }
        }
        if idle.is_some() {
            tokio::time::sleep(Duration::from_millis(1 + number % 7)).await;
        }
    }
    [told, replied, refused]
}

#[tokio::test(start_paused = true)]
async fn passivations_by_the_clock_lose_nothing() {
    storm::<Mpsc>(300, false, Some(Duration::from_millis(4))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passivations_lose_nothing_on_two_threads() {
    storm::<Mpsc>(300, false, None).await;
    storm::<Mpmc>(100, false, None).await;
    storm::<TokioMpsc>(100, false, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_and_passivations_conserve_messages_on_two_threads() {
    storm::<Mpsc>(300, true, None).await;
}

/// Drops the futures as `select!` does.
#[tokio::test(start_paused = true)]
async fn a_use_of_a_key_that_is_dropped_at_its_kth_poll_loses_and_duplicates_nothing() {
    const NUMBERS: u64 = 200;

    for polls in 0..4 {
        let actors = Actors::on(Tokio::current().unwrap());
        let world = Arc::<World>::default();
        let shared = world.clone();
        let keyed = actors.keyed(move |key: &u32| Entity::new(*key, &shared));
        let keyed = keyed.capacity(2).build().unwrap();
        let (mut told, mut replied, mut open) = (0, 0, 0);
        for number in 1..=NUMBERS {
            let key = (number % 2) as u32;
            match cut(polls, keyed.tell(&key, Step { sender: 0, number })).await {
                Some(sent) => {
                    sent.unwrap();
                    told += 1;
                }
                None => tokio::task::yield_now().await,
            }
            if number.is_multiple_of(7) {
                keyed.passivate(&key);
            }
            match cut(polls, keyed.ask(&key, AskStep { sender: 1, number })).await {
                Some(reply) => {
                    assert_eq!(reply, Ok(Reply { number }));
                    replied += 1;
                }
                // The actor may have taken the request before it was dropped.
                None => open += 1,
            }
        }
        // A future that was never polled blocks no other sender.
        for key in 0..2 {
            keyed.tell(&key, Step { sender: 2, number: 1 }).await.unwrap();
        }
        assert!(actors.shutdown(Duration::from_secs(60)).await.is_empty());
        let faults = world.faults.lock().unwrap();
        // Requests whose futures are polled in turn may overtake each other, but no message does.
        let faults: Vec<_> = faults.iter().filter(|fault| !fault.contains("of 1 after")).collect();
        assert!(faults.is_empty(), "{polls} polls: {faults:?}");
        let handled = world.handled.load(Ordering::Relaxed);
        let least = told + replied + 2;
        assert!((least..=least + open).contains(&handled), "{polls} polls: {handled} of {least}");
        assert_eq!(counted(&actors, "handled"), told + 2, "{polls} polls");
        assert_eq!(keyed.count(), 0);
    }
}

/// Of two executors, one ends: the actors of the second one continue.
#[test]
fn the_end_of_an_executor_ends_its_actors_and_frees_their_keys() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (one, other) = (runtime(), runtime());
    let on = |runtime: &tokio::runtime::Runtime| {
        runtime.block_on(async { Arc::new(Tokio::current().unwrap()) as _ })
    };
    let actors = Actors::on(one.block_on(async { Tokio::current().unwrap() }));
    let world = Arc::<World>::default();
    let shared = world.clone();
    let make = move |key: &u32| Entity::new(*key, &shared);
    let keyed = actors.keyed(make).placed_on([on(&one), on(&other)]).build().unwrap();
    for key in 0..100 {
        keyed.try_tell(&key, Step { sender: 0, number: 1 }).unwrap();
    }
    drop(other);
    let left = keyed.count();
    assert!((1..100).contains(&left), "{left}");
    assert_eq!(counted(&actors, "dead_letters"), 100 - left as u64);
    let mut refused = 0;
    for key in 0..100 {
        match keyed.try_tell(&key, Step { sender: 0, number: 2 }) {
            Ok(()) => {}
            Err(KeyedTellError::NotSpawned { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((keyed.count(), refused), (left, 100 - left));
    let late = one.block_on(actors.shutdown(Duration::from_secs(60)));
    assert!(late.is_empty() && world.faults.lock().unwrap().is_empty());
    assert_eq!(world.handled.load(Ordering::Relaxed), 2 * left as u64);
}
