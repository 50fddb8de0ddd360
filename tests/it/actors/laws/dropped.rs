//! Futures that are dropped at their k-th poll, as `select!` drops them, on each executor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mycelium::actors::{ActorContext, ActorEnd, ActorRef, Actors};
use mycelium::channel::Queue;
use mycelium::requests::RequestError;
use mycelium::{Result, actor};
use mycelium_executor::{Executor, yield_now};

use super::{
    AT_ONCE, Act, Ask, Book, Clerk, Entry, Reply, clerk, cut, entry, for_each_queue, references,
    task, until,
};

pub(super) async fn a_tell_or_ask_that_is_dropped_at_its_kth_poll_loses_nothing(
    executor: Arc<dyn Executor>,
) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>, polls: usize) {
        const COUNT: u64 = 40;

        let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
        let actor = actors.actor(clerk(&book)).capacity(2).restart(AT_ONCE).queue::<Q>();
        let mut actor = actor.spawn().unwrap();
        let (ended, shared) = (actor.ended(), book.clone());
        let (told, asked) = task(executor, async move {
            let (mut told, mut asked) = (0, Vec::new());
            for number in 0..COUNT {
                let message = Entry { act: Act::Yield, ..entry(&shared, 0, number) };
                match cut(polls, actor.tell(message)).await {
                    Some(Ok(())) => told += 1,
                    Some(Err(error)) => panic!("{error}"),
                    None => yield_now().await,
                }
                // A multiple of 16 selects an action that neither fails nor sleeps.
                let number = 16 * number;
                match cut(polls, actor.ask(Ask { number })).await {
                    Some(Ok(reply)) => asked.push(reply.number),
                    Some(Err(error)) => {
                        let (request, actor) = (Ask { number }, Some(actor.label()));
                        assert_eq!(error, RequestError::Refused { request, actor });
                    }
                    None => {}
                }
            }
            // The dropped futures left nothing in the mailbox, so this finds room.
            actor.tell(entry(&shared, 0, COUNT)).await.unwrap();
            actor.drain();
            (told + 1, asked)
        })
        .await;
        assert_eq!(ended.await, ActorEnd::Stopped);
        book.check();
        let case = format!("{}, {polls} polls", Q::NAME);
        assert_eq!(book.handled(), told, "{case}");
        assert_eq!(book.handled() + book.unhandled(), COUNT + 1, "{case}");
        let all = book.asked.lock().unwrap();
        for number in &asked {
            assert_eq!(all.iter().filter(|it| *it == number).count(), 1, "{case}");
        }
        assert!(all.iter().all(|number| all.iter().filter(|it| *it == number).count() == 1));
    }

    for polls in 0..4 {
        for_each_queue!(law(&executor, polls));
    }
}

pub(super) async fn senders_that_give_up_pass_their_wake_on(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        const EACH: u64 = 60;

        let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
        let actor = actors.actor(clerk(&book)).name("clerk").capacity(2).queue::<Q>();
        let first = actor.spawn().unwrap();
        let ended = first.ended();
        let senders = references(first, &actors, 4);
        let count = senders.len() as u64;
        let tasks = join_all((0..).zip(senders).map(|(from, mut actor)| {
            let book = book.clone();
            task(executor, async move {
                let mut told = 0;
                for number in 0..EACH {
                    let act = if number % 8 == 0 { Act::Yield } else { Act::Nothing };
                    let message = Entry { act, ..entry(&book, from, number) };
                    // Every second sender waits without a limit, so a lost wake-up is a hang.
                    let outcome = match number % 2 {
                        0 => cut((number / 2) as usize % 4, actor.tell(message)).await,
                        _ => Some(actor.tell(message).await),
                    };
                    match outcome {
                        Some(Ok(())) => told += 1,
                        Some(Err(error)) => panic!("{error}"),
                        None => {}
                    }
                }
                told
            })
        }));
        let told: u64 = tasks.await.into_iter().sum();
        assert_eq!(ended.await, ActorEnd::Unreferenced);
        book.check();
        assert_eq!(book.handled(), told, "{}", Q::NAME);
        assert_eq!(book.handled() + book.unhandled(), count * EACH, "{}", Q::NAME);
    }

    for _ in 0..4 {
        for_each_queue!(law(&executor));
    }
}

/// Begins to wait, and drops the wait after some polls.
struct Hasty {
    clerk: ActorRef<Clerk>,
    ticks: Arc<AtomicU64>,
}

/// How many times each wait is polled.
struct Polls(usize);

#[derive(Clone)]
struct Tick;

#[actor(send)]
impl Hasty {
    fn started(&mut self, ctx: &mut ActorContext<Self>) -> Result<()> {
        ctx.tell_every(Duration::from_millis(1), Tick)?;
        Ok(())
    }

    #[tell]
    async fn wait(&mut self, Polls(polls): Polls, ctx: &mut ActorContext<Self>) {
        let ms = Duration::from_millis(1);
        let _ = cut(polls, ctx.sleep(ms)).await;
        let _ = cut(polls, ctx.ask(self.clerk.ask(Ask { number: 1 }))).await;
        let _ = cut(polls, ctx.ask(self.clerk.ask(Ask { number: 5 }).within(ms))).await;
    }

    #[tell]
    fn tick(&mut self, _: Tick) {
        self.ticks.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) async fn a_wait_of_a_handler_that_is_dropped_at_its_kth_poll_harms_no_timer_and_no_request(
    executor: Arc<dyn Executor>,
) {
    let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
    let mut clerk = actors.spawn(clerk(&book)).unwrap();
    let (other, ticks) = (clerk.clone(), Arc::new(AtomicU64::new(0)));
    let shared = ticks.clone();
    let make = move || Hasty { clerk: other.clone(), ticks: shared.clone() };
    let mut hasty = actors.actor(make).capacity(4).spawn().unwrap();
    for round in 0..20 {
        hasty.tell(Polls(round % 5)).await.unwrap();
    }
    // The timer continues, and requests of other senders get replies.
    let before = ticks.load(Ordering::SeqCst);
    until(&executor, || ticks.load(Ordering::SeqCst) > before + 2).await;
    assert_eq!(clerk.ask(Ask { number: 2 }).await, Ok(Reply { number: 2 }));
    hasty.drain();
    assert_eq!(hasty.ended().await, ActorEnd::Stopped);
    book.check();
    let asked = book.asked.lock().unwrap().len();
    assert!((1..=41).contains(&asked), "{asked}");
}

pub(super) async fn a_wait_for_an_end_or_a_shutdown_that_is_dropped_at_its_kth_poll_can_be_repeated(
    executor: Arc<dyn Executor>,
) {
    for polls in 0..4 {
        let (actors, book) = (Actors::on(executor.clone()), Arc::new(Book::default()));
        let mut actor = actors.spawn(clerk(&book)).unwrap();
        for number in 0..3 {
            assert_eq!(cut(polls, actor.ended()).await, None);
            actor.tell(entry(&book, 0, number)).await.unwrap();
        }
        let late = cut(polls, actors.shutdown(Duration::from_secs(60))).await;
        assert!(late.is_none_or(|late| late.is_empty()));
        assert!(actors.shutdown(Duration::from_secs(60)).await.is_empty());
        assert!(cut(polls, actor.ended()).await.is_none_or(|end| end == ActorEnd::Stopped));
        assert_eq!(actor.ended().await, ActorEnd::Stopped);
        assert_eq!((book.handled(), actors.count()), (3, 0));
    }
}
