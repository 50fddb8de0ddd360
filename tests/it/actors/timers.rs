//! Messages that actors tell themselves, later or periodically.

use std::time::Duration;

use mycelium::channel::{Mpsc, Queue, Spsc, Stamped};
use mycelium::{ActorContext, ActorEnd, Actors, Result, actor};
use mycelium_tokio::Tokio;

const PERIOD: Duration = Duration::from_millis(10);

struct Clock;

#[derive(Clone)]
struct Tick;

#[actor(send)]
impl Clock {
    async fn started(&mut self, ctx: &mut ActorContext<Self>) -> Result<()> {
        ctx.tell_every(PERIOD, Tick)?;
        Ok(())
    }

    #[tell]
    async fn tick(&mut self, _: Tick, ctx: &mut ActorContext<Self>) {
        pause(ctx).await;
    }
}

/// A future that keeps a shared reference to the context is `Send`, as `actor(send)` needs.
async fn pause(ctx: &ActorContext<Clock>) {
    let _ = ctx.sleep(PERIOD / 10).await;
    assert!(!ctx.is_stopping());
}

/// `handled` and `unseen` of an actor that was told three messages, and lived for four periods.
async fn counted<Q: Queue>(drops: bool) -> (u64, u64) {
    let actors = Actors::on(Tokio::current().unwrap());
    let mut clock = actors.actor(|| Clock).queue::<Q>().spawn().unwrap();
    for _ in 0..3 {
        clock.tell(Tick).await.unwrap();
    }
    tokio::time::sleep(PERIOD * 4 + PERIOD / 2).await;
    let ended = clock.ended();
    // A mailbox with one sender ends before or after its actor.
    let kept = (!drops).then(|| {
        clock.drain();
        clock
    });
    let expected = if drops { ActorEnd::Unreferenced } else { ActorEnd::Stopped };
    assert_eq!(ended.await, expected);
    drop(kept);
    let counters = actors.counters();
    let line = counters.iter().find(|reading| reading.label("actor") == "Clock").unwrap();
    (line.value("handled"), line.value("unseen"))
}

#[tokio::test(start_paused = true)]
async fn messages_of_timers_count_as_handled_and_not_as_unseen() {
    for drops in [true, false] {
        assert_eq!(counted::<Mpsc>(drops).await, (7, 0));
        assert_eq!(counted::<Spsc>(drops).await, (7, 0));
        assert_eq!(counted::<Stamped>(drops).await, (7, 0));
    }
}
