//! Queues of mailboxes, those that are full, and what waits in them.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium::channel::{Mpmc, Spsc, Stamped};
use mycelium::{ActorEnd, FindActorError, RequestError, TellError, WhenFull};
use mycelium_tokio::TokioMpsc;

use super::probe::{Ask, Gate, Number, Probe, Reply, Seen, Wait, actors, job, probe};

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
async fn references_to_mailboxes_with_many_senders_are_cloned() {
    let (actors, seen) = (actors(), Seen::default());
    let mut mpmc = actors.actor(probe(&seen)).queue::<Mpmc>().spawn().unwrap();
    mpmc.clone().tell(Number(1)).await.unwrap();
    mpmc.tell(Number(2)).await.unwrap();
    mpmc.drain();
    mpmc.ended().await;
    let mut tokio = actors.actor(probe(&seen)).queue::<TokioMpsc>().spawn().unwrap();
    tokio.clone().tell(Number(3)).await.unwrap();
    tokio.tell(Number(4)).await.unwrap();
    tokio.drain();
    tokio.ended().await;
    assert_eq!(seen.take(), "started 1 2 stopped started 3 4 stopped");
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

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_waits_refuses_or_drops() {
    for when_full in [WhenFull::Wait, WhenFull::Refuse, WhenFull::DropNewest] {
        let (actors, seen) = (actors(), Seen::default());
        let builder = actors.actor(probe(&seen)).capacity(2).when_full(when_full);
        let mut probe = builder.spawn().unwrap();
        let gate = Arc::new(Gate::default());
        probe.tell(Wait(gate.clone())).await.unwrap();
        probe.tell(Number(1)).await.unwrap();
        let (mut teller, mut asker) = (probe.clone(), probe.clone());
        let mut told = pin!(teller.tell(Number(2)));
        let mut asked = asker.ask(Ask { value: 3 });
        let actor = Some(probe.label());
        let refused = RequestError::Refused { request: Ask { value: 3 }, actor };
        let mut context = Context::from_waker(Waker::noop());
        let (told_now, asked_now) =
            (told.as_mut().poll(&mut context), pin!(&mut asked).poll(&mut context));
        match when_full {
            WhenFull::Wait => {
                assert!(told_now.is_pending() && asked_now.is_pending());
                assert!(matches!(probe.try_tell(Number(4)), Err(TellError::Full(Number(4)))));
                gate.open();
                told.await.unwrap();
                assert_eq!(asked.await, Ok(Reply { value: 6 }));
            }
            WhenFull::Refuse => {
                assert_eq!(told_now, Poll::Ready(Err(TellError::Full(Number(2)))));
                assert_eq!(asked_now, Poll::Ready(Err(refused)));
            }
            WhenFull::DropNewest => {
                assert_eq!(told_now, Poll::Ready(Ok(())));
                assert_eq!(asked_now, Poll::Ready(Err(refused)));
                assert_eq!(probe.try_tell(Number(4)), Ok(()));
            }
        }
        gate.open();
        probe.drain();
        probe.ended().await;
        let two = if when_full == WhenFull::Wait { " 2" } else { "" };
        assert_eq!(seen.take(), format!("started waited 1{two} stopped"), "{when_full:?}");
    }
}

/// A stop does not wait for room in the mailbox, nor for the messages in it.
#[tokio::test(start_paused = true)]
async fn a_stop_is_seen_with_a_full_mailbox_and_those_who_wait_learn_of_the_end() {
    let (actors, seen) = (actors(), Seen::default());
    let mut probe = actors.actor(probe(&seen)).capacity(2).spawn().unwrap();
    let gate = Arc::new(Gate::default());
    probe.tell(Wait(gate.clone())).await.unwrap();
    tokio::task::yield_now().await;
    probe.tell(Number(1)).await.unwrap();
    probe.tell(Number(2)).await.unwrap();
    let (mut teller, mut asker) = (probe.clone(), probe.clone());
    let told = tokio::spawn(async move { teller.tell(Number(3)).await });
    let asked = tokio::spawn(async move { asker.ask(Ask { value: 3 }).await });
    tokio::task::yield_now().await;
    probe.stop();
    gate.open();
    assert_eq!(probe.ended().await, ActorEnd::Stopped);
    assert!(matches!(told.await.unwrap(), Err(TellError::Gone(Number(3)))));
    assert_eq!(asked.await.unwrap(), Err(RequestError::Gone { actor: Some(probe.label()) }));
    assert_eq!(seen.take(), "started waited stopped");
}

/// The counters of a mailbox with one sender, which has ended before or after the actor. What a
/// timer tells is in no mailbox.
#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn what_a_timer_tells_is_not_taken_for_a_message_of_the_only_sender() {
    use super::probe::counted;

    for drops in [false, true] {
        let actors = actors();
        let mut one = actors.actor(probe(&Seen::default())).queue::<Stamped>().spawn().unwrap();
        let timer = job(|_, ctx| {
            ctx.tell_after(Duration::ZERO, Number(1));
            Ok(())
        });
        one.tell(timer).await.unwrap();
        one.tell(Number(2)).await.unwrap();
        let ended = one.ended();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let kept = if drops {
            drop(one);
            None
        } else {
            one.drain();
            Some(one)
        };
        ended.await;
        drop(kept);
        assert_eq!(counted(&actors, "unseen"), 0);
        assert_eq!(counted(&actors, "handled"), 3);
    }
}
