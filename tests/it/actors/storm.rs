//! Many actors that end while messages fly: each message has exactly one outcome, by the counters
//! and by those who told it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mycelium::{ActorEnd, Actors, TellError, actor};
use mycelium_tokio::Tokio;

use super::probe::counted;

/// A message, which counts what has become of it: when it is dropped, it was handled, or not.
struct Token {
    handled: bool,
    outcomes: Arc<Outcomes>,
}

#[derive(Default)]
struct Outcomes {
    handled: AtomicU64,
    /// Also those that came back to the sender.
    unhandled: AtomicU64,
}

impl Drop for Token {
    fn drop(&mut self) {
        let Outcomes { handled, unhandled } = &*self.outcomes;
        let count = if self.handled { handled } else { unhandled };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

struct Sink;

#[actor(send)]
impl Sink {
    #[tell]
    fn token(&mut self, mut token: Token) {
        token.handled = true;
    }
}

/// Tells each actor messages, and stops it while it has some of them and others are on their way.
async fn stopped_while_messages_fly(actors: &Actors, count: u64) {
    const SENDERS: u64 = 2;
    const EACH: u64 = 4;

    let outcomes = Arc::new(Outcomes::default());
    let dead = Arc::new(AtomicU64::new(0));
    let hook = dead.clone();
    assert!(actors.on_dead_mail(move |_| _ = hook.fetch_add(1, Ordering::Relaxed)));
    let sinks: Vec<_> = (0..count)
        .map(|_| actors.actor(|| Sink).capacity(4).temporary().spawn().unwrap())
        .collect();
    let senders = (0..SENDERS).map(|_| {
        let (mut sinks, outcomes) = (sinks.clone(), outcomes.clone());
        tokio::spawn(async move {
            let mut refused = 0;
            for (index, sink) in sinks.iter_mut().enumerate() {
                for number in 0..EACH {
                    let token = Token { handled: false, outcomes: outcomes.clone() };
                    match sink.tell(token).await {
                        Ok(()) => {}
                        Err(TellError::Gone(_)) => refused += 1,
                        Err(error) => panic!("{error}"),
                    }
                    if number == EACH / 2 {
                        match index % 3 {
                            0 => sink.stop(),
                            1 => sink.drain(),
                            _ => {}
                        }
                    }
                }
            }
            refused
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut refused = 0;
    for sender in senders {
        refused += sender.await.unwrap();
    }
    for sink in sinks {
        let ended = sink.ended();
        drop(sink);
        assert!(matches!(ended.await, ActorEnd::Stopped | ActorEnd::Unreferenced));
    }
    assert_eq!(actors.count(), 0);
    let sent = count * SENDERS * EACH;
    let handled = outcomes.handled.load(Ordering::Relaxed);
    let dead = dead.load(Ordering::Relaxed);
    assert_eq!(handled + dead + refused, sent);
    assert_eq!(outcomes.unhandled.load(Ordering::Relaxed), dead + refused);
    assert_eq!(counted(actors, "handled"), handled);
    assert_eq!(counted(actors, "dead_letters"), dead);
    assert_eq!((counted(actors, "spawned"), counted(actors, "ended")), (count, count));
}

/// `ACTORS=1000` has fewer of them, for a sanitizer, and a million of them needs 2 GB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_that_are_stopped_while_messages_fly_conserve_them() {
    let count = std::env::var("ACTORS").map_or(20_000, |count| count.parse().expect("a number"));
    stopped_while_messages_fly(&Actors::on(Tokio::current().unwrap()), count).await;
}

/// The tasks of actors are dropped with their runtime, with messages in their mailboxes and in
/// their handlers.
#[test]
fn the_end_of_an_executor_conserves_messages() {
    let outcomes = Arc::new(Outcomes::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (actors, mut sinks) = runtime.block_on(async {
        let actors = Actors::on(Tokio::current().unwrap());
        let sinks: Vec<_> =
            (0..100).map(|_| actors.actor(|| Sink).capacity(4).spawn().unwrap()).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        (actors, sinks)
    });
    let token = || Token { handled: false, outcomes: outcomes.clone() };
    for sink in &mut sinks {
        for _ in 0..4 {
            sink.try_tell(token()).unwrap();
        }
    }
    drop(runtime);
    for sink in &mut sinks {
        assert!(matches!(sink.try_tell(token()), Err(TellError::Gone(_))));
        assert!(sink.is_gone());
    }
    assert_eq!(outcomes.handled.load(Ordering::Relaxed), 0);
    assert_eq!(outcomes.unhandled.load(Ordering::Relaxed), 500);
    assert_eq!(counted(&actors, "dead_letters"), 400);
    assert_eq!((counted(&actors, "ended"), actors.count()), (100, 0));
}
