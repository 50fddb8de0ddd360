//! Futures that are dropped at their k-th poll, as `select!` drops them: nothing is lost, nothing
//! is handled twice.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use mycelium::channel::{Mpmc, Mpsc, Queue, Spsc, Stamped};
use mycelium::{ActorContext, ActorEnd, RequestError, Result, actor, message};
use mycelium_tokio::TokioMpsc;

use super::probe::{Number, Seen, actors, job, probe, settled};

const COUNT: u64 = 200;

/// The output of a future, or `None` if it is still pending at its k-th poll. At the 0th one it is
/// dropped without a poll.
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
                // The next poll comes also without an event.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

#[message(topic = "kept.asks", id = 920, reply = Kept)]
#[derive(Debug, PartialEq)]
struct Keep {
    number: u64,
}

#[message(topic = "kept.replies", id = 921)]
#[derive(Debug, PartialEq)]
struct Kept {
    number: u64,
}

/// A message.
struct Told(u64);

/// Keeps all numbers that it gets, and lets others run in between.
struct Keeper {
    told: Arc<Mutex<Vec<u64>>>,
    asked: Arc<Mutex<Vec<u64>>>,
}

#[actor(send)]
impl Keeper {
    #[tell]
    async fn told(&mut self, Told(number): Told, ctx: &mut ActorContext<Self>) -> Result<()> {
        ctx.sleep(Duration::from_millis(number % 2)).await?;
        self.told.lock().unwrap().push(number);
        Ok(())
    }

    #[ask]
    async fn keep(&mut self, asked: Keep, ctx: &mut ActorContext<Self>) -> Result<Kept> {
        self.asked.lock().unwrap().push(asked.number);
        ctx.sleep(Duration::from_millis(asked.number % 2)).await?;
        Ok(Kept { number: asked.number })
    }
}

async fn nothing_is_lost_or_handled_twice<Q: Queue>() {
    for polls in 0..4 {
        let actors = actors();
        let (told, asked) = (Arc::<Mutex<Vec<u64>>>::default(), Arc::<Mutex<Vec<u64>>>::default());
        let shared = (told.clone(), asked.clone());
        let make = move || Keeper { told: shared.0.clone(), asked: shared.1.clone() };
        let mut keeper = actors.actor(make).capacity(2).queue::<Q>().spawn().unwrap();
        let (mut expected, mut replies, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..COUNT {
            match cut(polls, keeper.tell(Told(number))).await {
                Some(told) => {
                    told.unwrap();
                    expected.push(number);
                }
                None => tokio::task::yield_now().await,
            }
            match cut(polls, keeper.ask(Keep { number })).await {
                Some(Ok(reply)) => replies.push(reply.number),
                Some(Err(error)) => {
                    let (request, actor) = (Keep { number }, Some(keeper.label()));
                    assert_eq!(error, RequestError::Refused { request, actor });
                }
                // It may have been taken.
                None => open.push(number),
            }
        }
        // A message that nobody waits for does not hold up the next one.
        keeper.tell(Told(COUNT)).await.unwrap();
        expected.push(COUNT);
        keeper.drain();
        assert_eq!(keeper.ended().await, ActorEnd::Stopped);
        assert_eq!(*told.lock().unwrap(), expected, "{}, {polls} polls", Q::NAME);
        let mut asked = asked.lock().unwrap().clone();
        assert!(asked.is_sorted() || Q::SHARED, "{asked:?}");
        asked.retain(|number| !open.contains(number));
        asked.sort_unstable();
        assert_eq!(asked, replies, "{}, {polls} polls", Q::NAME);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tell_or_ask_that_is_dropped_at_its_kth_poll_loses_and_duplicates_nothing() {
    nothing_is_lost_or_handled_twice::<Mpsc>().await;
    nothing_is_lost_or_handled_twice::<Mpmc>().await;
    nothing_is_lost_or_handled_twice::<Spsc>().await;
    nothing_is_lost_or_handled_twice::<Stamped>().await;
    nothing_is_lost_or_handled_twice::<TokioMpsc>().await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_end_that_is_dropped_at_its_kth_poll_takes_it_from_nobody() {
    for polls in 0..3 {
        let actors = actors();
        let probe = actors.spawn(probe(&Seen::default())).unwrap();
        for _ in 0..3 {
            assert_eq!(cut(polls, probe.ended()).await, None);
        }
        probe.stop();
        let dropped = cut(polls, probe.ended()).await;
        assert!(dropped.is_none_or(|end| end == ActorEnd::Stopped));
        assert_eq!(probe.ended().await, ActorEnd::Stopped);
        assert_eq!(cut(1, probe.ended()).await, Some(ActorEnd::Stopped));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_at_its_kth_poll_can_be_called_again() {
    for polls in 0..3 {
        let (actors, seen) = (actors(), Seen::default());
        let mut probe = actors.spawn(probe(&seen)).unwrap();
        probe.tell(Number(1)).await.unwrap();
        let dropped = cut(polls, actors.shutdown(Duration::from_secs(1))).await;
        assert!(dropped.is_none_or(|late| late.is_empty()));
        assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
        assert_eq!(probe.ended().await, ActorEnd::Stopped);
        assert_eq!(seen.take(), "started 1 stopped");
    }
}

/// Timers are a part of the actor's task: a message before them does not hold them up, and a
/// sleep that is dropped takes none with it.
#[tokio::test(start_paused = true)]
async fn a_sleep_that_is_dropped_at_its_kth_poll_is_no_harm_to_timers() {
    let (actors, seen) = (actors(), Seen::default());
    let mut probe = actors.spawn(probe(&seen)).unwrap();
    let second = Duration::from_secs(1);
    let timers = job(move |_, ctx| {
        for number in 1..=3 {
            ctx.tell_after(second * number, Number(number));
        }
        drop(ctx.sleep(second));
        Ok(())
    });
    probe.tell(timers).await.unwrap();
    for _ in 0..7 {
        // Each message drops the wait for the first timer.
        settled(&mut probe).await;
        tokio::time::sleep(second / 2).await;
    }
    assert_eq!(seen.take(), "started 1 2 3");
}
