//! Each message has one outcome, in order, for all queues, policies and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mycelium::actors::{ActorEnd, ActorRef, Actors, TellError, WhenFull};
use mycelium::channel::Queue;
use mycelium_executor::{Executor, yield_now};
use mycelium_transports::counters::Kind;
use tokio::sync::oneshot;

use super::{
    AT_ONCE, Book, Clerk, Entry, clerk, cut, entry, for_each_queue, references, task, until,
};

const POLICIES: [WhenFull; 3] = [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropNewest];

/// How the actor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stop,
    Drain,
    Unreferenced,
    Shutdown,
}

pub(super) async fn l2_messages_have_one_outcome_and_the_order_of_their_reference(
    executor: Arc<dyn Executor>,
) {
    for when_full in POLICIES {
        for end in [End::Stop, End::Drain, End::Unreferenced, End::Shutdown] {
            for_each_queue!(outcomes(&executor, when_full, end));
        }
    }
}

async fn outcomes<Q: Queue>(executor: &Arc<dyn Executor>, when_full: WhenFull, end: End) {
    const EACH: u64 = 48;

    let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
    let dead = Arc::new(AtomicU64::new(0));
    let hook = dead.clone();
    actors.on_dead_mail(move |_| _ = hook.fetch_add(1, Ordering::SeqCst));
    let actor = actors.actor(clerk(&book)).name("clerk").capacity(4).when_full(when_full);
    let actor = actor.restart(AT_ONCE).queue::<Q>().spawn().unwrap();
    let (weak, ended) = (actor.downgrade(), actor.ended());
    let senders = references(actor, &actors, 3);
    let count = senders.len() as u64;
    assert_eq!(count, if Q::SHARED { 3 } else { 1 });
    let tasks = join_all((0..).zip(senders).map(|(from, mut actor)| {
        let book = book.clone();
        task(executor, async move {
            let mut returned = 0;
            for number in 0..EACH {
                let message = entry(&book, from, number);
                let told = match number % 4 {
                    3 => actor.try_tell(message),
                    _ => actor.tell(message).await,
                };
                match told {
                    Ok(()) => {}
                    Err(TellError::Gone(back) | TellError::Full(back)) => {
                        assert!(!back.token.was_handled);
                        returned += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
                if number % 8 == from {
                    yield_now().await;
                }
                if from == 0 && number == EACH / 2 {
                    match end {
                        End::Stop => actor.stop(),
                        End::Drain => actor.drain(),
                        End::Unreferenced | End::Shutdown => {}
                    }
                }
            }
            returned
        })
    }));
    if end == End::Shutdown {
        assert_eq!(actors.shutdown(Duration::from_secs(60)).await, []);
    }
    let returned: u64 = tasks.await.into_iter().sum();
    let expected =
        if end == End::Unreferenced { ActorEnd::Unreferenced } else { ActorEnd::Stopped };
    let ended = ended.await;
    // The senders may have ended before the shutdown.
    let is_either = end == End::Shutdown && ended == ActorEnd::Unreferenced;
    assert!(ended == expected || is_either, "{}, {end:?}: {ended}", Q::NAME);
    assert!(weak.is_gone() && weak.upgrade().is_none());
    book.check();

    let counters = actors.counters();
    let line = counters.iter().find(|line| line.kind == Kind::Actor).unwrap();
    let case = format!("{}, {when_full:?}, {end:?}", Q::NAME);
    let (handled, dead) = (book.handled(), dead.load(Ordering::SeqCst));
    let dropped = if when_full == WhenFull::DropNewest { line.value("refused") } else { 0 };
    assert_eq!(line.value("handled"), handled, "{case}");
    assert_eq!(line.value("dead_letters"), dead, "{case}");
    let unseen = line.value("unseen");
    assert!(unseen == 0 || !Q::SHARED && unseen <= 4, "{case}: {unseen}");
    // All messages that were told, by their outcomes.
    assert_eq!(handled + dead + unseen + dropped + returned, count * EACH, "{case}");
    // The actor's task ends a moment later, and a mailbox with one sender is dropped with it.
    until(executor, || handled + book.unhandled() >= count * EACH).await;
    assert_eq!(handled + book.unhandled(), count * EACH, "{case}: one was dropped twice");
    if end == End::Unreferenced {
        assert_eq!((dead, unseen), (0, 0), "{case}");
    }
    if when_full == WhenFull::Wait && end == End::Unreferenced {
        // Only `try_tell` finds no room.
        assert!(returned <= count * EACH / 4, "{case}");
    }
    assert_eq!(actors.count(), 0, "{case}");
}

/// Returns an actor with a full mailbox that waits in its handler until the gate opens.
async fn full<Q: Queue>(
    executor: &Arc<dyn Executor>,
    book: &Arc<Book>,
    when_full: WhenFull,
) -> (Actors, ActorRef<Clerk, Q>, oneshot::Sender<()>) {
    let actors = Actors::on(executor.clone());
    let actor = actors.actor(clerk(book)).capacity(2).when_full(when_full).queue::<Q>();
    let mut actor = actor.spawn().unwrap();
    let (open, gate) = oneshot::channel();
    actor.tell(gate).await.unwrap();
    // The actor has taken the gate.
    until(executor, || actor.depth() == 0).await;
    for number in 0..2 {
        actor.tell(Entry { act: super::Act::Nothing, ..entry(book, 0, number) }).await.unwrap();
    }
    (actors, actor, open)
}

pub(super) async fn a_full_mailbox_waits_refuses_or_drops(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>, when_full: WhenFull) {
        let book = Arc::new(Book::default());
        let (_actors, mut actor, open) = full::<Q>(executor, &book, when_full).await;
        let tried = actor.try_tell(entry(&book, 0, 2));
        assert_eq!(tried.is_ok(), when_full == WhenFull::DropNewest);
        drop(tried);
        assert_eq!(book.unhandled(), 1);
        match (when_full, cut(3, actor.tell(entry(&book, 0, 3))).await) {
            // The sender waits for room. It was dropped, so its message was not told.
            (WhenFull::Wait, None) => {}
            (WhenFull::Refuse, Some(Err(TellError::Full(_)))) => {}
            (WhenFull::DropNewest, Some(Ok(()))) => {}
            (_, told) => panic!("{}, {when_full:?}: {}", Q::NAME, told.is_some()),
        }
        open.send(()).unwrap();
        if when_full == WhenFull::Wait {
            // Another waiting sender gets the room.
            actor.tell(entry(&book, 0, 4)).await.unwrap();
        }
        actor.drain();
        assert_eq!(actor.ended().await, ActorEnd::Stopped);
        let handled = if when_full == WhenFull::Wait { 3 } else { 2 };
        assert_eq!((book.handled(), book.unhandled()), (handled, 2), "{}", Q::NAME);
        book.check();
    }

    for when_full in POLICIES {
        for_each_queue!(law(&executor, when_full));
    }
}

pub(super) async fn control_overtakes_a_full_mailbox(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        let book = Arc::new(Book::default());
        let (_actors, actor, open) = full::<Q>(executor, &book, WhenFull::Wait).await;
        actor.stop();
        open.send(()).unwrap();
        assert_eq!(actor.ended().await, ActorEnd::Stopped);
        // The actor finishes the message in flight, and handles no other.
        assert_eq!((book.handled(), book.unhandled()), (0, 2), "{}", Q::NAME);
    }

    for_each_queue!(law(&executor));
}

pub(super) async fn a_sender_that_waits_for_room_learns_of_the_end(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        let book = Arc::new(Book::default());
        let (_actors, mut actor, open) = full::<Q>(executor, &book, WhenFull::Wait).await;
        let weak = actor.downgrade();
        let shared = book.clone();
        let waits = task(executor, async move { actor.tell(entry(&shared, 0, 9)).await });
        weak.stop();
        open.send(()).unwrap();
        // The waiting message is returned, or was told before the end and is dead mail.
        match waits.await {
            Err(TellError::Gone(back)) => assert!(!back.token.was_handled),
            Ok(()) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(weak.ended().await, ActorEnd::Stopped);
        until(executor, || book.unhandled() >= 3).await;
        assert_eq!((book.handled(), book.unhandled()), (0, 3), "{}", Q::NAME);
    }

    for_each_queue!(law(&executor));
}
