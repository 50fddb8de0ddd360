//! Keyed actors: spawned on first use, found, limited, placed and ended.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use mycelium::actor;
use mycelium::actors::{ActorEnd, Actors, Keyed, KeyedTellError, SpawnActorError, WhenFull};
use mycelium::requests::RequestError;
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;

use super::probe::{
    Ask, Gate, Hook, Number, Probe, Reply, Seen, Wait, actors, panic_in, probe, scripted, settled,
};
use crate::running::Says;

/// Returns a factory that makes the same probe for each key.
pub(crate) fn probes(make: impl FnMut() -> Probe + Send + 'static) -> impl Fn(&u32) -> Probe {
    let make = Mutex::new(make);
    move |_| (make.lock().unwrap_or_else(std::sync::PoisonError::into_inner))()
}

#[tokio::test(start_paused = true)]
async fn the_actor_of_a_key_is_made_on_first_use_and_found_again() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&seen))).build().unwrap();
    assert_eq!((keyed.count(), keyed.find(&1).is_some(), keyed.stop(&1)), (0, false, false));
    assert_eq!(actors.count(), 0);
    keyed.tell(&1, Number(10)).await.unwrap();
    keyed.try_tell(&2, Number(20)).unwrap();
    assert_eq!(keyed.ask(&2, Ask { value: 21 }).await, Ok(Reply { value: 42 }));
    assert_eq!(keyed.ask(&3, Ask { value: 1 }).await, Ok(Reply { value: 2 }));
    let mut one = keyed.get(&1).unwrap();
    one.tell(Number(11)).await.unwrap();
    settled(&mut one).await;
    assert_eq!(keyed.find(&1).unwrap().id(), one.id());
    assert_eq!(one.label().split_once('#').unwrap().0, "Probe");
    // Without an idle time, actors are never passivated.
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    settled(&mut one).await;
    let mut keys = keyed.keys();
    keys.sort_unstable();
    assert_eq!((keys, keyed.count(), actors.count()), (vec![1, 2, 3], 3, 3));
    assert_eq!(seen.take(), "started 10 started 20 started 11");
    assert_eq!(format!("{keyed:?}"), "Keyed(3 of Probe)");
    #[cfg(feature = "metrics")]
    {
        use mycelium::counters::Kind;
        let lines = actors.counters();
        assert_eq!(lines.iter().filter(|line| line.kind == Kind::Actor).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_no_further_key_has_an_actor_until_one_ends() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&seen))).limit(2).build().unwrap();
    keyed.tell(&1, Number(1)).await.unwrap();
    keyed.tell(&2, Number(2)).await.unwrap();
    let limit = SpawnActorError::Limit { actor: "Probe", limit: 2 };
    let refused = keyed.tell(&3, Number(3)).await.unwrap_err();
    assert_eq!(refused, KeyedTellError::NotSpawned { message: Number(3), error: limit.clone() });
    refused.says(
        "the message was not told: actor `Probe` was not spawned: 2 of them live, which is the \
         limit [M0264]",
    );
    assert_eq!(refused.into_message(), Number(3));
    assert_eq!(keyed.get(&3).unwrap_err(), limit);
    let request = Ask { value: 3 };
    let refused = RequestError::Refused { request, actor: Some("Probe".into()) };
    assert_eq!(keyed.ask(&3, request).await, Err(refused));
    // Actors that live are used as before.
    keyed.tell(&2, Number(4)).await.unwrap();
    let mut one = keyed.get(&1).unwrap();
    settled(&mut one).await;
    assert!(keyed.stop(&1));
    assert_eq!(one.ended().await, ActorEnd::Stopped);
    keyed.tell(&3, Number(5)).await.unwrap();
    settled(&mut keyed.get(&3).unwrap()).await;
    assert_eq!(keyed.count(), 2);
    assert_eq!(seen.take(), "started 1 started 2 4 stopped started 5");
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_of_a_key_gives_the_message_back() {
    let (actors, seen, gate) = (actors(), Seen::default(), Arc::new(Gate::default()));
    let keyed = actors.keyed(probes(probe(&seen))).capacity(2).when_full(WhenFull::Refuse);
    let keyed = keyed.build().unwrap();
    keyed.tell(&1, Wait(gate.clone())).await.unwrap();
    keyed.tell(&1, Number(1)).await.unwrap();
    let request = Ask { value: 3 };
    let actor = Some(keyed.get(&1).unwrap().label());
    assert_eq!(keyed.ask(&1, request).await, Err(RequestError::Refused { request, actor }));
    assert_eq!(keyed.tell(&1, Number(2)).await, Err(KeyedTellError::Full(Number(2))));
    assert_eq!(keyed.try_tell(&1, Number(2)), Err(KeyedTellError::Full(Number(2))));
    gate.open();
    assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
    assert_eq!(seen.take(), "started waited 1 stopped");
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_factory_panics_has_dead_mail_and_can_be_used_again() {
    let actors = actors();
    let make =
        scripted(&Seen::default(), mycelium::actors::OnError::Restart, panic_in(Hook::Made, 9));
    let keyed = actors.keyed(probes(make)).temporary().build().unwrap();
    for key in [1, 1, 2] {
        keyed.tell(&key, Number(1)).await.unwrap();
        let ended = keyed.get(&key).unwrap().ended();
        assert!(matches!(ended.await, ActorEnd::Failed { .. }));
        assert_eq!(keyed.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_all_and_refuses_further_uses() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&seen))).idle(Duration::from_secs(1)).build().unwrap();
    for key in 1..=3 {
        keyed.tell(&key, Number(key)).await.unwrap();
    }
    let before = keyed.ask(&3, Ask { value: 4 });
    assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
    assert_eq!(before.await, Ok(Reply { value: 8 }));
    assert_eq!((keyed.count(), actors.count()), (0, 0));
    assert_eq!(seen.take(), "started 1 stopped started 2 stopped started 3 stopped");
    let error = SpawnActorError::ShuttingDown { actor: "Probe" };
    let refused = KeyedTellError::NotSpawned { message: Number(1), error: error.clone() };
    assert_eq!(keyed.tell(&1, Number(1)).await, Err(refused));
    assert_eq!(keyed.get(&9).unwrap_err(), error);
    assert_eq!(keyed.ask(&1, Ask { value: 4 }).await, Err(RequestError::ShuttingDown));
    assert_eq!(keyed.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_actors_end_with_the_last_handle_and_their_references() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&seen))).build().unwrap();
    keyed.tell(&1, Number(1)).await.unwrap();
    keyed.tell(&2, Number(2)).await.unwrap();
    let (one, mut two) = (keyed.get(&1).unwrap().ended(), keyed.get(&2).unwrap());
    let other = keyed.clone();
    drop(keyed);
    settled(&mut two).await;
    drop(other);
    assert_eq!(one.await, ActorEnd::Unreferenced);
    two.tell(Number(3)).await.unwrap();
    let ended = two.ended();
    drop(two);
    assert_eq!(ended.await, ActorEnd::Unreferenced);
    assert_eq!(seen.take(), "started 1 started 2 stopped 3 stopped");
}

#[test]
fn invalid_settings_are_errors() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let actors = runtime.block_on(async { actors() });
    let keyed = actors.keyed(probes(probe(&Seen::default()))).capacity(3).build();
    assert!(matches!(keyed, Err(SpawnActorError::Capacity { actor: "Probe", .. })));
    let builder = || actors.keyed(probes(probe(&Seen::default())));
    let limited = builder().limit(0).build().unwrap_err();
    limited.says("actor `Probe` is never spawned: invalid limit 0: expected at least 1 [M0276]");
    builder().placed_on([]).build().unwrap_err().says(
        "actor `Probe` is never spawned: it is placed on no executor: expected at least 1 [M0277]",
    );
    let keyed = builder().build().unwrap();
    drop(runtime);
    let ended = |error| matches!(error, SpawnActorError::Executor { .. });
    assert!(ended(builder().idle(Duration::from_secs(1)).build().unwrap_err()));
    assert!(ended(keyed.get(&1).unwrap_err()));
    match keyed.try_tell(&1, Number(1)) {
        Err(KeyedTellError::NotSpawned { message: Number(1), error }) => assert!(ended(error)),
        other => panic!("{other:?}"),
    }
    assert_eq!((keyed.count(), actors.count()), (0, 0));
}

/// Reports the thread on which it runs.
struct Where {
    key: u32,
    threads: Arc<Mutex<BTreeMap<u32, HashSet<ThreadId>>>>,
}

#[actor(send)]
impl Where {
    #[tell]
    fn note(&mut self, _: Number) {
        let mut threads = self.threads.lock().unwrap();
        threads.entry(self.key).or_default().insert(thread::current().id());
    }
}

#[tokio::test]
async fn a_key_has_its_executor_also_after_it_was_passivated() {
    let runtimes = [1; 3].map(crate::running::threads);
    let executors = runtimes.each_ref().map(|runtime| {
        let _entered = runtime.enter();
        Arc::new(Tokio::current().unwrap()) as Arc<dyn Executor>
    });
    let (actors, threads) = (actors(), Arc::<Mutex<BTreeMap<_, _>>>::default());
    let seen = threads.clone();
    let keyed: Keyed<u32, Where> = actors
        .keyed(move |key: &u32| Where { key: *key, threads: seen.clone() })
        .placed_on(executors)
        .build()
        .unwrap();
    for _ in 0..3 {
        for key in 0..60 {
            keyed.tell(&key, Number(key)).await.unwrap();
            keyed.passivate(&key);
        }
    }
    assert!(actors.shutdown(Duration::from_secs(60)).await.is_empty());
    runtimes.into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    let threads = threads.lock().unwrap();
    assert_eq!(threads.len(), 60);
    assert!(threads.values().all(|threads| threads.len() == 1), "{threads:?}");
    let all: HashSet<_> = threads.values().flatten().collect();
    assert_eq!(all.len(), 3, "{all:?}");
}

/// Not `Send`: it keeps an `Rc` while it waits.
struct Local {
    seen: Seen,
}

#[actor(local)]
impl Local {
    #[tell]
    async fn number(&mut self, Number(number): Number) {
        let shared = Rc::new(number);
        tokio::task::yield_now().await;
        self.seen.add(shared);
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_not_send_has_a_key_on_its_thread_and_an_error_elsewhere() {
    let seen = Seen::default();
    let log = seen.clone();
    let ran = mycelium_tokio::local(async |executor| {
        let actors = Actors::on(executor);
        let make = move |_: &u32| Local { seen: log.clone() };
        let keyed = actors.keyed(make).idle(Duration::from_secs(1)).build().unwrap();
        keyed.tell(&1, Number(1)).await.unwrap();
        let other = keyed.clone();
        let there = thread::spawn(move || {
            other.try_tell(&1, Number(2)).unwrap();
            (other.try_tell(&2, Number(3)).unwrap_err(), other.count())
        });
        let (error, count) = there.join().unwrap();
        error.mentions("on the executor's own thread");
        assert_eq!((error.into_message(), count), (Number(3), 1));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((keyed.count(), actors.count()), (0, 0));
        keyed.tell(&1, Number(4)).await.unwrap();
        assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
    });
    ran.await.unwrap();
    assert_eq!(seen.take(), "1 2 4");
}
