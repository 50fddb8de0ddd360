//! Mailboxes with one sender, and what errors of requests name.

use std::task::{Context, Waker};
use std::time::Duration;

use mycelium::actors::{ActorEnd, FindActorError, WhenFull};
use mycelium::channel::{Spsc, Stamped};

use super::probe::{Ask, FAIL, Number, Probe, Seen, actors, does, probe};
use crate::running::Says;

#[tokio::test(start_paused = true)]
async fn a_second_reference_to_a_mailbox_with_one_sender_is_refused() {
    let actors = actors();
    let one = actors.actor(probe(&Seen::default())).name("one").queue::<Spsc>().spawn().unwrap();
    let error = actors.by_name_and_queue::<Probe, Spsc>("one").unwrap_err();
    assert!(matches!(error, FindActorError::OneSender { .. }), "{error}");
    assert!(one.downgrade().upgrade().is_none());
    let error = actors.by_name::<Probe>("one").unwrap_err();
    error.says("the actor `one` is a `Probe (spsc)` and not a `Probe (mpsc)` [M0266]");
    let error = actors.by_name_and_queue::<Probe, Stamped>("one").unwrap_err();
    assert!(matches!(error, FindActorError::Type { .. }), "{error}");
    // A refused message keeps no reference: the actor ends with its only reference.
    let ended = one.ended();
    drop(one);
    assert_eq!(ended.await, ActorEnd::Unreferenced);
}

#[tokio::test(start_paused = true)]
async fn a_kept_actor_with_one_sender_lives_on_without_it() {
    let (actors, seen) = (actors(), Seen::default());
    let mut one = actors.actor(probe(&seen)).queue::<Spsc>().keep().spawn().unwrap();
    let timer = does(|_, ctx| ctx.tell_after(Duration::from_secs(1), Number(1)));
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
async fn an_error_names_the_actor_that_was_asked() {
    let (actors, request) = (actors(), Ask { value: 3 });
    let mut named = actors.actor(probe(&Seen::default())).name("pool-7").spawn().unwrap();
    let failed = named.ask(Ask { value: FAIL }).await.unwrap_err();
    failed.begins("request `probe.asks` to actor `pool-7` has no reply: ");
    named.stop();
    named.ended().await;
    let gone = named.ask(request).await.unwrap_err();
    gone.says("request `probe.asks` to actor `pool-7` has no reply: the actor has ended [M0250]");
    let full = actors.actor(probe(&Seen::default())).capacity(2).when_full(WhenFull::Refuse);
    let mut full = full.spawn().unwrap();
    let _open = [full.ask(request), full.ask(request)];
    let label = full.label();
    assert_eq!(label, format!("Probe#{}", full.id()).into());
    full.ask(request).await.unwrap_err().says(&format!(
        "request `probe.asks` to actor `{label}` has no reply: its mailbox is full [M0251]"
    ));
}
