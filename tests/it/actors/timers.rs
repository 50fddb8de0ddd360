//! Messages that actors tell themselves, later or periodically.

use std::time::Duration;

use mycelium::actors::{ActorContext, ActorEnd};
use mycelium::channel::{Mpsc, Queue, Spsc, Stamped};

use super::probe::{Number, Probe, Seen, actors, counted, does, probe};

const PERIOD: Duration = Duration::from_millis(10);

/// A future that keeps a shared reference to the context is `Send`, as `actor(send)` needs.
fn _is_send(ctx: &ActorContext<Probe>) -> impl Send {
    async { ctx.sleep(PERIOD).await }
}

/// Returns `handled` and `unseen` of an actor that was told three messages and lived for four
/// periods.
async fn lived<Q: Queue>(drops: bool) -> (u64, u64) {
    let actors = actors();
    let mut clock = actors.actor(probe(&Seen::default())).queue::<Q>().spawn().unwrap();
    clock.tell(does(|_, ctx| ctx.tell_every(PERIOD, Number(0)).unwrap())).await.unwrap();
    for number in 0..2 {
        clock.tell(Number(number)).await.unwrap();
    }
    tokio::time::sleep(PERIOD * 4 + PERIOD / 2).await;
    let ended = clock.ended();
    // A mailbox with one sender may end before or after its actor.
    if drops {
        drop(clock);
        assert_eq!(ended.await, ActorEnd::Unreferenced);
    } else {
        clock.drain();
        assert_eq!(ended.await, ActorEnd::Stopped);
        drop(clock);
    }
    (counted(&actors, "handled"), counted(&actors, "unseen"))
}

#[tokio::test(start_paused = true)]
async fn messages_of_timers_count_as_handled_and_not_as_unseen() {
    for drops in [true, false] {
        assert_eq!(lived::<Mpsc>(drops).await, (7, 0));
        assert_eq!(lived::<Spsc>(drops).await, (7, 0));
        assert_eq!(lived::<Stamped>(drops).await, (7, 0));
    }
}
