//! Mailboxes with one sender.

use std::task::{Context, Waker};
use std::time::Duration;

use mycelium::channel::{Spsc, Stamped};
use mycelium::{ActorEnd, FindActorError};

use super::probe::{Number, Probe, Seen, actors, job, probe};

#[tokio::test(start_paused = true)]
async fn a_second_reference_to_a_mailbox_with_one_sender_is_refused() {
    let actors = actors();
    let one = actors.actor(probe(&Seen::default())).name("one").queue::<Spsc>().spawn().unwrap();
    let error = actors.by_name_and_queue::<Probe, Spsc>("one").unwrap_err();
    assert!(matches!(error, FindActorError::OneSender { .. }), "{error}");
    assert!(one.downgrade().upgrade().is_none());
    let error = actors.by_name::<Probe>("one").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the actor `one` is a `Probe (spsc)` and not a `Probe (mpsc)` [M0266]"
    );
    let error = actors.by_name_and_queue::<Probe, Stamped>("one").unwrap_err();
    assert!(matches!(error, FindActorError::Type { .. }), "{error}");
    // A refused message leaves nothing behind: the actor ends with its only reference.
    let ended = one.ended();
    drop(one);
    assert_eq!(ended.await, ActorEnd::Unreferenced);
}

#[tokio::test(start_paused = true)]
async fn a_kept_actor_with_one_sender_lives_on_without_it() {
    let (actors, seen) = (actors(), Seen::default());
    let mut one = actors.actor(probe(&seen)).queue::<Spsc>().keep().spawn().unwrap();
    let timer = job(|_, ctx| {
        ctx.tell_after(Duration::from_secs(1), Number(1));
        Ok(())
    });
    one.tell(timer).await.unwrap();
    let (weak, mut ended) = (one.downgrade(), Box::pin(one.ended()));
    drop(one);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut context = Context::from_waker(Waker::noop());
    assert!(ended.as_mut().poll(&mut context).is_pending());
    weak.stop();
    assert_eq!(ended.await, ActorEnd::Stopped);
    assert_eq!(seen.take(), "started 1 stopped");
}
