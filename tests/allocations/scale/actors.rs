//! What an actor costs, and that nothing is left of it after its end.

use mycelium::actor;
use mycelium::actors::{ActorContext, ActorEnd, ActorRef, Actors};
use mycelium_tokio::Tokio;

use crate::{allocations, bytes};

/// A message of 64 bytes.
struct Block([u64; 8]);

/// An actor with everything that it may have: a timer, a child, and an actor that it watches.
#[derive(Default)]
struct Holder {
    sum: u64,
    child: Option<ActorRef<Holder>>,
}

#[actor(send)]
impl Holder {
    #[tell]
    fn block(&mut self, Block(block): Block, ctx: &mut ActorContext<Self>) {
        self.sum += block[0];
        ctx.tell_after(std::time::Duration::from_secs(60), Block(block));
        let child = ctx.spawn(Holder::default).unwrap();
        ctx.watch(&child);
        self.child = Some(child);
    }
}

/// Spawns actors with and without names, and drops their references.
async fn come_and_go(actors: &Actors, count: usize, uses_all: bool) {
    let mut all: Vec<_> = (0..count)
        .map(|number| {
            let actor = actors.actor(Holder::default);
            let actor = if number % 2 == 0 { actor.name(format!("{number}")) } else { actor };
            actor.spawn().unwrap()
        })
        .collect();
    for actor in &mut all {
        if uses_all {
            actor.tell(Block([1; 8])).await.unwrap();
        }
    }
    for actor in all {
        let ended = actor.ended();
        drop(actor);
        assert_eq!(ended.await, ActorEnd::Unreferenced);
    }
    assert_eq!(actors.count(), 0);
}

/// Defect H9 of the earlier system: actors and their rings of 180 KB were never freed.
#[tokio::test]
async fn h9_actors_that_have_ended_leave_nothing() {
    let actors = Actors::on(Tokio::current().unwrap());
    // Tables grow to the largest number of actors, and the last 1,024 names of ended actors are
    // kept.
    for _ in 0..21 {
        come_and_go(&actors, 100, true).await;
    }
    let before = bytes();
    for _ in 0..20 {
        come_and_go(&actors, 100, true).await;
    }
    let left = bytes() - before;
    assert!(left < 4_096, "{left} bytes are left of 2,000 actors");
    assert_eq!(actors.counters().len(), 1, "one line for the type");
}

#[tokio::test]
async fn an_actor_is_about_as_large_as_its_mailbox() {
    let actors = Actors::on(Tokio::current().unwrap());
    come_and_go(&actors, 1_000, false).await;
    let before = bytes();
    let all: Vec<_> = (0..1_000).map(|_| actors.spawn(Holder::default).unwrap()).collect();
    tokio::task::yield_now().await;
    let each = (bytes() - before) / 1_000;
    // The mailbox: 64 messages of 64 bytes, each with a stamp and the number of the variant.
    let mailbox = 64 * (64 + 8 + 8);
    assert!(each < mailbox + 2_048, "{each} bytes, and its mailbox has {mailbox}");
    drop(all);
}

/// An actor whose calls take and return values.
#[derive(Default)]
struct Sum(u64);

#[actor]
impl Sum {
    fn add(&mut self, first: u64, second: Box<u64>) -> (u64, Box<u64>) {
        self.0 += first + *second;
        (self.0, second)
    }
}

#[tokio::test]
async fn a_call_allocates_nothing_once_its_slots_are_there() {
    let actors = Actors::on(Tokio::current().unwrap());
    let mut sum = actors.spawn(Sum::default).unwrap();
    let mut boxed = Box::new(1);
    for _ in 0..100 {
        sum.add(0, Box::default()).tell().await.unwrap();
        boxed = sum.add(1, boxed).await.unwrap().1;
    }
    let before = allocations();
    assert!(before > 0, "the allocator counts");
    for _ in 0..1_000 {
        boxed = sum.add(1, boxed).await.unwrap().1;
    }
    assert_eq!(allocations() - before, 0);
}
