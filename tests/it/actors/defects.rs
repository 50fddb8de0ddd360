//! Defects of the actors of an earlier system, by their ids. That ended actors leave no memory is
//! tested in `tests/allocations/scale/actors.rs`.

use std::sync::Arc;
use std::time::Duration;

use mycelium::actors::{ActorEnd, FindActorError, SpawnActorError};
use mycelium::{Context, Node, Result, service};

use super::probe::{Gate, Number, Probe, Seen, Wait, actors, does, probe, settled};
use crate::running::{Says, start};
use crate::support::idle_services;

idle_services! {
    // A node without services ends at once.
    Idle();
}

/// In the earlier system, a shutdown dropped the tasks: `stopped` did not run, and messages in
/// mailboxes were lost.
#[tokio::test(start_paused = true)]
async fn l16_a_shutdown_of_a_node_handles_what_mailboxes_have_and_calls_stopped() {
    let seen = Seen::default();
    let running = start(Node::builder("main").service(|| Idle));
    let mut all: Vec<_> = (0..3)
        .map(|_| running.actors().actor(probe(&seen)).temporary().keep().spawn().unwrap())
        .collect();
    for actor in &mut all {
        settled(actor).await;
    }
    seen.take();
    let gate = Arc::new(Gate::default());
    for (number, actor) in (0..).zip(&mut all) {
        actor.tell(Wait(gate.clone())).await.unwrap();
        actor.tell(Number(number)).await.unwrap();
        actor.tell(Number(number + 10)).await.unwrap();
    }
    running.shutdown();
    let joined = tokio::spawn(running.join());
    // The actors wait at the gate, and the shutdown waits for them.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!all[0].is_gone());
    gate.open();
    joined.await.unwrap().unwrap();
    for actor in &all {
        assert_eq!(actor.ended().await, ActorEnd::Stopped);
    }
    let mut noted: Vec<_> = seen.take().split(' ').map(str::to_owned).collect();
    noted.sort();
    assert_eq!(noted.join(" "), "0 1 10 11 12 2 stopped stopped stopped waited waited waited");
}

/// In the earlier system, an actor without references never ended, a lookup by name found ended
/// actors, and a second actor of a type replaced the first.
#[tokio::test(start_paused = true)]
async fn h9_an_actor_without_references_ends_and_its_registries_forget_it() {
    let (actors, seen) = (actors(), Seen::default());
    let one = actors.actor(probe(&seen)).name("one").spawn().unwrap();
    let mut other = actors.actor(probe(&seen)).name("other").spawn().unwrap();
    // Two actors of one type exist side by side.
    assert_ne!(one.id(), other.id());
    assert_eq!(actors.all::<Probe>().len(), 2);
    // A handler that uses its context does not keep the actor alive.
    let (weak, ended) = (one.downgrade(), one.ended());
    let mut found = actors.by_name::<Probe>("one").unwrap();
    found.tell(does(|_, ctx| (ctx.actors(), ctx.myself()))).await.unwrap();
    drop((one, found));
    assert_eq!(ended.await, ActorEnd::Unreferenced);
    assert!(weak.upgrade().is_none());
    assert!(matches!(actors.by_name::<Probe>("one"), Err(FindActorError::Unknown { .. })));
    actors.by_name::<Probe>("othr").unwrap_err().says(
        "no actor has the name `othr`: did you mean `other`? (expected one of: other) [M0265]",
    );
    assert_eq!((actors.count(), actors.all::<Probe>().len()), (1, 1));
    // The second actor lives on.
    settled(&mut other).await;
    assert!(!other.is_gone());
    let ids: Vec<_> = actors.all::<Probe>().iter().map(|it| it.id()).collect();
    assert_eq!(ids, [other.id()]);
}

#[tokio::test]
async fn names_are_checked_when_an_actor_is_spawned() {
    let actors = actors();
    let long = "x".repeat(63);
    for name in ["", "two words", "a=b", "line\n", "bell\u{7}", &long] {
        let spawned = actors.actor(probe(&Seen::default())).name(name).spawn();
        let error = spawned.map(drop).unwrap_err();
        assert_eq!(error, SpawnActorError::Name { actor: "Probe", name: name.to_owned() });
    }
    let spawned = actors.actor(probe(&Seen::default())).name("line\n").spawn();
    spawned.map(drop).unwrap_err().says(
        "actor `Probe` was not spawned: invalid name `line\\n`: expected 1 to 62 bytes without \
         spaces, `=` and control characters [M0275]",
    );
    let long = "x".repeat(62);
    for name in ["a/b", "\u{e4}", &long] {
        actors.actor(probe(&Seen::default())).name(name).spawn().unwrap();
    }
}
