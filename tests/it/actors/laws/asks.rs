//! A request has one outcome, and it says whether the actor may have acted on it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mycelium::actors::{ActorEnd, Actors};
use mycelium::channel::Queue;
use mycelium::requests::{RequestError, Taken};
use mycelium_executor::{Executor, yield_now};
use tokio::sync::oneshot;

use super::{AT_ONCE, Ask, Book, Reply, clerk, for_each_queue, references, task, until};

pub(super) async fn a_request_has_one_outcome_while_its_actor_dies(executor: Arc<dyn Executor>) {
    for ends_at in [0, 5, 30] {
        for drains in [false, true] {
            for_each_queue!(dies(&executor, ends_at, drains));
        }
    }
}

/// Asks by several references, two requests at a time each, before, during and after the end.
async fn dies<Q: Queue>(executor: &Arc<dyn Executor>, ends_at: u64, drains: bool) {
    const EACH: u64 = 40;

    let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
    let actor = actors.actor(clerk(&book)).name("clerk").capacity(2).restart(AT_ONCE).queue::<Q>();
    let first = actor.spawn().unwrap();
    let weak = first.downgrade();
    let references = references(first, &actors, 2);
    let tasks = join_all((0_u64..).zip(references).map(|(from, mut actor)| {
        task(executor, async move {
            let mut outcomes = Vec::new();
            for number in (from * EACH..).take(EACH as usize).step_by(2) {
                if from == 0 && number >= ends_at {
                    if drains { actor.drain() } else { actor.stop() }
                }
                // Two requests are open at a time.
                let one = actor.ask(Ask { number });
                let other = actor.ask(Ask { number: number + 1 });
                yield_now().await;
                outcomes.push((number, one.await));
                outcomes.push((number + 1, other.await));
            }
            outcomes
        })
    }));
    let outcomes = tasks.await;
    assert_eq!(weak.ended().await, ActorEnd::Stopped);
    book.check();
    let case = format!("{}, the end at {ends_at}", Q::NAME);
    let asked = book.asked.lock().unwrap();
    for (number, outcome) in outcomes.into_iter().flatten() {
        let times = asked.iter().filter(|other| **other == number).count();
        match outcome {
            Ok(reply) => assert_eq!((reply.number, times), (number, 1), "{case}"),
            Err(error) => match error.taken() {
                Taken::Yes => assert_eq!(times, 1, "{case}: {number}: {error}"),
                Taken::No => assert_eq!(times, 0, "{case}: {number}: {error}"),
                Taken::Unknown => panic!("{case}: {number}: {error}"),
            },
        }
    }
    // At least 3 requests were made before the end, and a draining actor has handled them.
    if ends_at > 5 && drains {
        assert!(asked.len() >= 3, "{case}: {asked:?}");
    }
}

pub(super) async fn requests_before_during_and_after_the_end(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
        let mut actor = actors.actor(clerk(&book)).queue::<Q>().spawn().unwrap();
        let (open, gate) = oneshot::channel();
        assert_eq!(actor.ask(Ask { number: 2 }).await, Ok(Reply { number: 2 }));
        actor.tell(gate).await.unwrap();
        // The request is polled again only when it is woken.
        let (mut asked, is_parked) = (actor.ask(Ask { number: 4 }), Arc::<AtomicBool>::default());
        let parked = is_parked.clone();
        let waits = task(
            executor,
            poll_fn(move |context| {
                let poll = Pin::new(&mut asked).poll(context);
                parked.store(true, Ordering::SeqCst);
                poll
            }),
        );
        until(executor, || is_parked.load(Ordering::SeqCst)).await;
        actor.stop();
        let during = actor.ask(Ask { number: 6 });
        drop(open);
        assert_eq!(actor.ended().await, ActorEnd::Stopped);
        let gone = Err(RequestError::Gone { actor: Some(actor.label()) });
        assert_eq!(waits.await, gone, "{}", Q::NAME);
        assert_eq!(during.await, gone, "{}", Q::NAME);
        assert_eq!(actor.ask(Ask { number: 8 }).await, gone);
        assert_eq!(*book.asked.lock().unwrap(), [2]);
    }

    for_each_queue!(law(&executor));
}

pub(super) async fn a_deadline_ends_a_request_that_waits_anywhere(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
        let mut actor = actors.actor(clerk(&book)).queue::<Q>().spawn().unwrap();
        let (open, gate) = oneshot::channel();
        actor.tell(gate).await.unwrap();
        until(executor, || actor.depth() == 0).await;
        let within = Duration::from_millis(5);
        let waits = actor.ask(Ask { number: 2 }).within(within).await;
        let asked = Some(actor.label());
        let expected = RequestError::Deadline { taken: Taken::No, within, actor: asked };
        assert_eq!(waits, Err(expected), "{}", Q::NAME);
        drop(open);
        // The request is not handled after its deadline.
        assert_eq!(actor.ask(Ask { number: 4 }).await, Ok(Reply { number: 4 }));
        assert_eq!(*book.asked.lock().unwrap(), [4], "{}", Q::NAME);
    }

    for_each_queue!(law(&executor));
}
