//! Requests to actors: before, during and after their end.

use std::sync::Arc;
use std::time::Duration;

use mycelium::{RequestError, Taken, WhenFull};

use super::probe::{
    Ask, FAIL, Gate, PANIC, Reply, Seen, Wait, actors, panics, probe, restarts, settled,
};

#[tokio::test(start_paused = true)]
async fn a_request_has_a_reply_or_says_why_not_and_the_actor_goes_on() {
    let (actors, seen) = (actors(), Seen::default());
    let mut probe = actors.spawn(probe(&seen)).unwrap();
    assert_eq!(probe.ask(Ask { value: 4 }).await, Ok(Reply { value: 8 }));
    let failed = Err(RequestError::HandlerFailed { actor: Some(probe.label()) });
    assert_eq!(probe.ask(Ask { value: FAIL }).await, failed);
    assert_eq!(probe.ask(Ask { value: PANIC }).await, failed);
    assert_eq!(probe.ask(Ask { value: 5 }).await, Ok(Reply { value: 10 }));
    assert_eq!(seen.take(), "started (told to fail) started started");
}

#[tokio::test(start_paused = true)]
async fn requests_before_during_and_after_the_end_have_an_outcome() {
    let actors = actors();
    let mut probe = actors.spawn(probe(&Seen::default())).unwrap();
    let gate = Arc::new(Gate::default());
    probe.tell(Wait(gate.clone())).await.unwrap();
    // In the mailbox when the actor ends.
    let before = probe.ask(Ask { value: 1 });
    probe.stop();
    let during = probe.ask(Ask { value: 2 });
    gate.open();
    probe.ended().await;
    let gone = Err(RequestError::Gone { actor: Some(probe.label()) });
    assert_eq!(before.await, gone);
    assert_eq!(during.await, gone);
    assert_eq!(probe.ask(Ask { value: 3 }).await, gone);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_the_mailbox_of_an_actor_that_panics_is_answered_by_the_next_instance() {
    let actors = actors();
    let mut probe = actors.spawn(probe(&Seen::default())).unwrap();
    probe.tell(panics()).await.unwrap();
    assert_eq!(probe.ask(Ask { value: 3 }).await, Ok(Reply { value: 6 }));

    let builder = actors.actor(super::probe::probe(&Seen::default())).restart(restarts(0));
    let mut probe = builder.spawn().unwrap();
    probe.tell(panics()).await.unwrap();
    let gone = Err(RequestError::Gone { actor: Some(probe.label()) });
    assert_eq!(probe.ask(Ask { value: 3 }).await, gone);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_request_in_the_mailbox_and_one_in_its_handler() {
    let actors = actors();
    let mut probe = actors.spawn(probe(&Seen::default())).unwrap();
    let gate = Arc::new(Gate::default());
    probe.tell(Wait(gate.clone())).await.unwrap();
    let within = Duration::from_secs(1);
    let late = probe.ask(Ask { value: 3 }).within(within).await;
    let actor = Some(probe.label());
    assert_eq!(late, Err(RequestError::Deadline { taken: Taken::No, within, actor }));
    gate.open();
    settled(&mut probe).await;
    assert_eq!(probe.ask(Ask { value: 3 }).within(within).await, Ok(Reply { value: 6 }));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_what_was_asked_before_and_refuses_what_is_asked_after() {
    let actors = actors();
    let mut probe = actors.spawn(probe(&Seen::default())).unwrap();
    let before = probe.ask(Ask { value: 3 });
    actors.shutdown(Duration::from_secs(1)).await;
    assert_eq!(before.await, Ok(Reply { value: 6 }));
    assert_eq!(probe.ask(Ask { value: 3 }).await, Err(RequestError::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_actor_that_was_asked() {
    let (actors, request) = (actors(), Ask { value: 3 });
    let mut named = actors.actor(probe(&Seen::default())).name("pool-7").spawn().unwrap();
    let failed = named.ask(Ask { value: FAIL }).await.unwrap_err().to_string();
    assert!(
        failed.starts_with("request `probe.asks` to actor `pool-7` has no reply: "),
        "{failed}"
    );
    named.stop();
    named.ended().await;
    assert_eq!(
        named.ask(request).await.unwrap_err().to_string(),
        "request `probe.asks` to actor `pool-7` has no reply: the actor has ended [M0250]"
    );
    let full = actors.actor(probe(&Seen::default())).capacity(2).when_full(WhenFull::Refuse);
    let mut full = full.spawn().unwrap();
    let _open = [full.ask(request), full.ask(request)];
    let label = full.label();
    assert_eq!(label, format!("Probe#{}", full.id()).into());
    assert_eq!(
        full.ask(request).await.unwrap_err().to_string(),
        format!(
            "request `probe.asks` to actor `{label}` has no reply: its mailbox is full [M0251]"
        )
    );
    let keyed = actors.keyed(move |_: &u32| probe(&Seen::default())());
    let keyed = keyed.capacity(2).when_full(WhenFull::Refuse).build().unwrap();
    let _open = [keyed.ask(&1, request), keyed.ask(&1, request)];
    let label = keyed.get(&1).unwrap().label();
    assert_eq!(
        keyed.ask(&1, request).await.unwrap_err().to_string(),
        format!(
            "request `probe.asks` to actor `{label}` has no reply: its mailbox is full [M0251]"
        )
    );
}
