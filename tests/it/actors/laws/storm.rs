//! Many actors that end while messages are on their way: each message has exactly one outcome,
//! according to the counters and to its sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use mycelium::actors::{ActorEnd, ActorRef, Actors, TellError};
use mycelium_tokio::Tokio;

use super::super::probe::counted;
use super::{Act, Book, Clerk, Entry, clerk, entry};

/// Returns an actor with a mailbox for four messages, and its book.
fn one(actors: &Actors) -> (ActorRef<Clerk>, Arc<Book>) {
    let book = Arc::<Book>::default();
    (actors.actor(clerk(&book)).capacity(4).temporary().spawn().unwrap(), book)
}

fn harmless(book: &Arc<Book>, from: u64, number: u64) -> Entry {
    Entry { act: Act::Nothing, ..entry(book, from, number) }
}

/// Stops each actor while some of its messages are in the mailbox and others are on their way.
/// `ACTORS=1000` runs fewer actors for a sanitizer; a million of them need 2 GB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_that_are_stopped_while_messages_fly_conserve_them() {
    const SENDERS: u64 = 2;
    const EACH: u64 = 4;

    let count = std::env::var("ACTORS").map_or(20_000, |count| count.parse().expect("a number"));
    let actors = &Actors::on(Tokio::current().unwrap());
    let dead = Arc::new(AtomicU64::new(0));
    let hook = dead.clone();
    assert!(actors.on_dead_mail(move |_| _ = hook.fetch_add(1, Ordering::Relaxed)));
    let all: Vec<_> = (0..count).map(|_| one(actors)).collect();
    let senders = try_join_all((0..SENDERS).map(|from| {
        let all = all.clone();
        tokio::spawn(async move {
            let mut refused = 0;
            for (index, (mut actor, book)) in all.into_iter().enumerate() {
                for number in 0..EACH {
                    match actor.tell(harmless(&book, from, number)).await {
                        Ok(()) => {}
                        Err(TellError::Gone(_)) => refused += 1,
                        Err(error) => panic!("{error}"),
                    }
                    if number == EACH / 2 {
                        match index % 3 {
                            0 => actor.stop(),
                            1 => actor.drain(),
                            _ => {}
                        }
                    }
                }
            }
            refused
        })
    }));
    let refused: u64 = senders.await.unwrap().into_iter().sum();
    let (mut handled, mut unhandled) = (0, 0);
    for (actor, book) in all {
        let ended = actor.ended();
        drop(actor);
        assert!(matches!(ended.await, ActorEnd::Stopped | ActorEnd::Unreferenced));
        book.check();
        (handled, unhandled) = (handled + book.handled(), unhandled + book.unhandled());
    }
    assert_eq!(actors.count(), 0);
    let dead = dead.load(Ordering::Relaxed);
    assert_eq!(handled + dead + refused, count * SENDERS * EACH);
    assert_eq!(unhandled, dead + refused);
    assert_eq!(counted(actors, "handled"), handled);
    assert_eq!(counted(actors, "dead_letters"), dead);
    assert_eq!((counted(actors, "spawned"), counted(actors, "ended")), (count, count));
}

/// The runtime is dropped, and with it the tasks of actors with messages in their mailboxes and
/// handlers.
#[test]
fn the_end_of_an_executor_conserves_messages() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (actors, mut all) = runtime.block_on(async {
        let actors = Actors::on(Tokio::current().unwrap());
        let all: Vec<_> = (0..100).map(|_| one(&actors)).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        (actors, all)
    });
    for (actor, book) in &mut all {
        (0..4).for_each(|number| assert!(actor.try_tell(harmless(book, 0, number)).is_ok()));
    }
    drop(runtime);
    for (actor, book) in &mut all {
        assert!(matches!(actor.try_tell(harmless(book, 0, 4)), Err(TellError::Gone(_))));
        assert!(actor.is_gone());
        assert_eq!((book.handled(), book.unhandled()), (0, 5));
    }
    assert_eq!(counted(&actors, "dead_letters"), 400);
    assert_eq!((counted(&actors, "ended"), actors.count()), (100, 0));
}
