//! The entities of a game: 100,000 keyed actors on threads that are pinned to cores.
//! `cargo run --release --example entities`
//!
//! An entity is made when somebody first moves it, by its number alone. One that nobody has moved
//! for a while is passivated: its state goes to a store, its memory is free. The next move makes it
//! again, on the same thread, with its state. `--executor glommio` has one io_uring executor for
//! each core instead of tokio, `--entities N` another number, `--threads N` other threads.
//!
//! The program counts what it does, prints the memory of an entity, and ends with an error if a
//! move was lost, repeated or out of order, if two actors of an entity ran at a time, or if an
//! entity has changed its thread.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use futures_channel::oneshot;
use mycelium::actors::{Actors, Keyed};
use mycelium::supervision::Kept;
use mycelium::{actor, message};
use mycelium_executor::{Executor, Thread, allowed_cores};

/// An entity is passivated after this time without a move.
const IDLE: Duration = Duration::from_millis(400);

/// One of this number of entities stays in use.
const ACTIVE: u64 = 100;

/// How long the program waits for a step that should be short.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A move of an entity. The first move of an entity has number 1, the second 2.
struct Move {
    number: u64,
}

/// Another entity is too close.
struct Bump;

#[message(topic = "place-requests", id = 1, reply = Place)]
struct GetPlace {
    unused: u64,
}

#[message(topic = "places", id = 2)]
struct Place {
    moves: u64,
    x: u64,
}

/// The state of a passivated entity in the store.
#[derive(Clone, Copy)]
struct Saved {
    moves: u64,
    x: u64,
    bumps: u64,
    thread: ThreadId,
}

/// What all entities share.
#[derive(Default)]
struct World {
    /// In a real game, a database.
    store: Kept<HashMap<u64, Saved>>,
    /// Whether an actor of the entity runs, by the number of the entity.
    running: Box<[AtomicBool]>,
    entities: OnceLock<Keyed<u64, Entity>>,
    moves: AtomicU64,
    bumps_told: AtomicU64,
    bumps: AtomicU64,
    /// The number of times that a law was broken.
    faults: AtomicU64,
}

struct Entity {
    number: u64,
    state: Saved,
    world: Arc<World>,
}

impl Entity {
    /// Creates an entity, with its state from the store if there is one. This factory runs on the
    /// entity's thread.
    fn load(number: u64, world: &Arc<World>) -> Entity {
        let here = thread::current().id();
        let new = Saved { moves: 0, x: number, bumps: 0, thread: here };
        let state = world.store.read(|store| store.get(&number).copied()).unwrap_or(new);
        world.check(state.thread == here, "an entity has changed its thread");
        let was_running = world.running[number as usize].swap(true, Ordering::AcqRel);
        world.check(!was_running, "two actors of one entity run");
        Entity { number, state, world: world.clone() }
    }
}

#[actor(send)]
impl Entity {
    #[tell]
    fn step(&mut self, Move { number }: Move) {
        self.world.check(number == self.state.moves + 1, "moves are handled once, in order");
        self.state.moves = number;
        self.state.x += number;
        // Entities send to each other by number, too. They do not wait: two that wait for room in
        // each other's mailbox would never end.
        if number == 1
            && self.number.is_multiple_of(10)
            && let Some(entities) = self.world.entities.get()
        {
            let next = (self.number + 1) % self.world.running.len() as u64;
            if entities.try_tell(&next, Bump).is_ok() {
                self.world.bumps_told.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.world.moves.fetch_add(1, Ordering::Release);
    }

    #[tell]
    fn bump(&mut self, _: Bump) {
        self.state.bumps += 1;
        self.world.bumps.fetch_add(1, Ordering::Release);
    }

    #[remote]
    fn place(&mut self, _: GetPlace) -> Place {
        Place { moves: self.state.moves, x: self.state.x }
    }

    /// Runs when the entity is passivated, and at the end of the program.
    fn stopped(&mut self) {
        self.world.store.commit(|store| store.insert(self.number, self.state));
        self.world.running[self.number as usize].store(false, Ordering::Release);
    }
}

impl World {
    fn check(&self, holds: bool, law: &str) {
        // Prints only the first ten, which are enough to see what is wrong.
        if !holds && self.faults.fetch_add(1, Ordering::Relaxed) < 10 {
            println!("broken: {law}");
        }
    }
}

/// Plays: all entities move, most are left alone and passivated, all move again.
async fn play(executor: impl Executor + Clone, options: Options) -> Result<(), String> {
    let (count, (executors, ends)) = (options.entities, pinned(&executor, options.threads)?);
    println!("{count} entities on {} threads, {}", executors.len(), executors[0].name());
    let running = (0..count).map(|_| AtomicBool::new(false)).collect();
    let world = Arc::new(World { running, ..World::default() });
    let actors = Actors::on(executor.clone());
    let shared = world.clone();
    let entities = actors.keyed(move |number: &u64| Entity::load(*number, &shared));
    let entities = entities.idle(IDLE).placed_on(executors).limit(count as usize);
    let entities = entities.build().map_err(|error| error.to_string())?;
    let _ = world.entities.set(entities.clone());
    let before = resident();
    let mut moves = vec![0; count as usize];
    let all = 0..count;
    let active = || (0..count).step_by(ACTIVE as usize);

    step(&entities, &world, all.clone(), &mut moves).await?;
    until(&executor, "all have moved", || is_settled(&world, &moves)).await?;
    let grown = resident().saturating_sub(before);
    let bumps = world.bumps.load(Ordering::Relaxed);
    println!("awake: {count} entities have moved, {bumps} were bumped");
    println!("memory: {} bytes an entity, of VmRSS: {} KiB", grown * 1_024 / count, grown);

    // Entities in use stay, the others are passivated.
    let deadline = executor.now() + TIMEOUT;
    while entities.count() > active().count() && executor.now() < deadline {
        step(&entities, &world, active(), &mut moves).await?;
        executor.sleep_until(executor.now() + IDLE / 8).await;
    }
    let (awake, passivated) = (entities.count(), world.store.read(|store| store.len()));
    println!("idle: {awake} entities are in use, {passivated} are in the store");
    // On a busy machine an entity in use may be passivated, too: its next move makes it again.
    world.check(awake <= active().count(), "those that are not in use are passivated");
    world.check(passivated + awake >= moves.len(), "those that are passivated are in the store");

    step(&entities, &world, all.clone(), &mut moves).await?;
    for number in all.clone().step_by(997) {
        let place = entities.ask(&number, GetPlace { unused: 0 }).await;
        let (has, x) = place.map(|place| (place.moves, place.x)).map_err(|e| e.to_string())?;
        let told = moves[number as usize];
        world.check((has, x) == (told, number + told * (told + 1) / 2), "a state is kept");
    }
    until(&executor, "all have moved again", || is_settled(&world, &moves)).await?;
    println!("awake: {count} entities have moved again, each from where it was");

    // Each entity handles what its mailbox holds, and saves its state.
    let late = actors.shutdown(TIMEOUT).await;
    drop(ends);
    world.check(late.is_empty(), "all end in time");
    let lines = actors.counters();
    let lines: Vec<_> = lines.iter().filter(|line| line.label("actor") == "Entity").collect();
    for line in &lines {
        let [spawned, ended, handled, dead] =
            ["spawned", "ended", "handled", "dead_letters"].map(|name| line.value(name));
        println!("counters: spawned {spawned}, ended {ended}, handled {handled}, dead {dead}");
        let told = moves.iter().sum::<u64>() + world.bumps_told.load(Ordering::Relaxed);
        world.check(handled == told && dead == 0, "all messages are handled");
        world.check(spawned == ended && spawned >= count, "all that began have ended");
    }
    world.check(lines.len() == 1, "counters are by type, and not by number");
    world.store.read(|store| {
        for number in all {
            let saved = store.get(&number).map(|saved| saved.moves);
            world.check(saved == Some(moves[number as usize]), "all moves are in the store");
        }
        let bumps = store.values().map(|saved| saved.bumps).sum::<u64>();
        world.check(bumps == world.bumps_told.load(Ordering::Relaxed), "all bumps are, too");
    });
    match world.faults.load(Ordering::Relaxed) {
        0 => println!("the end: nothing was lost"),
        faults => return Err(format!("{faults} laws were broken")),
    }
    Ok(())
}

/// Moves some entities.
async fn step(
    entities: &Keyed<u64, Entity>,
    world: &World,
    numbers: impl Iterator<Item = u64>,
    moves: &mut [u64],
) -> Result<(), String> {
    for number in numbers {
        let told = &mut moves[number as usize];
        *told += 1;
        let told = entities.tell(&number, Move { number: *told }).await;
        told.map_err(|error| error.to_string())?;
    }
    world.check(entities.count() <= moves.len(), "there are not more than numbers");
    Ok(())
}

/// Whether all messages were handled.
fn is_settled(world: &World, moves: &[u64]) -> bool {
    // Compares the moves first: once they are handled, the bumps that they cause are sent.
    world.moves.load(Ordering::Acquire) == moves.iter().sum::<u64>()
        && world.bumps.load(Ordering::Acquire) == world.bumps_told.load(Ordering::Relaxed)
}

async fn until(
    executor: &impl Executor,
    what: &str,
    holds: impl Fn() -> bool,
) -> Result<(), String> {
    let deadline = executor.now() + TIMEOUT;
    while !holds() {
        if executor.now() > deadline {
            return Err(format!("not within {TIMEOUT:?}: {what}"));
        }
        executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The executors of threads that are pinned to a core each. The threads end when the senders are
/// dropped.
type Pinned = (Vec<Arc<dyn Executor>>, Vec<oneshot::Sender<()>>);

/// Starts threads with an executor each.
fn pinned(executor: &impl Executor, count: usize) -> Result<Pinned, String> {
    let cores = allowed_cores().unwrap_or_default();
    let (made, executors) = std::sync::mpsc::channel();
    let mut ends = Vec::new();
    for number in 0..count {
        let (end, ended) = oneshot::channel::<()>();
        ends.push(end);
        let name = format!("entities-{number}");
        let cores = cores.iter().cycle().skip(number).take(1).copied().collect();
        let made = made.clone();
        let run = move |own| {
            let _ = made.send(own);
            Box::pin(async { _ = ended.await }) as Pin<Box<dyn Future<Output = ()>>>
        };
        let thread = Thread { name, cores, ..Thread::default() };
        executor.dedicate(thread, Box::new(run)).map_err(|error| error.to_string())?;
    }
    Ok((executors.iter().take(count).collect(), ends))
}

/// The memory of this process, in KiB. 0 if the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

struct Options {
    executor: String,
    entities: u64,
    threads: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let known = "--executor, --entities, --threads";
        let mut options = Options { executor: "tokio".to_owned(), entities: 100_000, threads: 2 };
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("`{option}` needs a value"))?;
            let number = || value.parse().ok().filter(|number| *number > 0);
            let invalid = || format!("`{option} {value}`: expected a number from 1 on");
            match option.as_str() {
                "--executor" => options.executor = value,
                "--entities" => options.entities = number().ok_or_else(invalid)?,
                "--threads" => options.threads = number().ok_or_else(invalid)? as usize,
                _ => return Err(format!("`{option}` is unknown: {known}")),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    match options.executor.as_str() {
        "tokio" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                play(mycelium_tokio::Tokio::current()?, options).await.map_err(Into::into)
            })
        }
        #[cfg(target_os = "linux")]
        "glommio" => {
            let settings = mycelium_glommio::Settings::default();
            let played = mycelium_glommio::run(&settings, |own: mycelium_glommio::Glommio| {
                play(own, options)
            });
            Ok(played??)
        }
        other => Err(format!("`{other}` is unknown: tokio, or on Linux glommio").into()),
    }
}
