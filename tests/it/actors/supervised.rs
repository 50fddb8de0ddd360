//! Actors under a supervisor: which ends are final, and the supervisor's health.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::pending;
use mycelium::actors::ActorEnd;
use mycelium::observe::HealthState;
use mycelium::requests::Taken;
use mycelium::supervision::Strategy;
use mycelium::{Result, actor};
use tokio::sync::Notify;

use super::probe::{Ask, Reply, Seen, actors, fail, probe, restarts};

async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_stopped_or_unreferenced_is_not_restarted() {
    let (actors, seen) = (actors(), Seen::default());
    let group = actors.supervisor("parts", Strategy::OneForAll, restarts(3));
    let [a, b] = [(), ()].map(|()| group.actor(probe(&seen)).spawn().unwrap());
    settle().await;
    a.stop();
    assert_eq!(a.ended().await, ActorEnd::Stopped);
    let ended = b.ended();
    drop(b);
    assert_eq!(ended.await, ActorEnd::Unreferenced);
    settle().await;
    assert_eq!(seen.take(), "started started stopped stopped");
}

#[tokio::test(start_paused = true)]
async fn the_health_of_a_supervisor_is_that_of_its_actors() {
    let (actors, seen) = (actors(), Seen::default());
    let outer = actors.supervisor("outer", Strategy::OneForOne, restarts(3));
    let inner = outer.supervisor("inner", Strategy::OneForOne, restarts(3));
    let health = || (outer.health(), inner.health());
    assert_eq!(health(), (HealthState::Ready, HealthState::Ready), "there are no actors");
    let _a = outer.actor(probe(&seen)).spawn().unwrap();
    let mut b = inner.actor(probe(&seen)).spawn().unwrap();
    assert_eq!(health(), (HealthState::Starting, HealthState::Starting));
    settle().await;
    assert_eq!(health(), (HealthState::Ready, HealthState::Ready));
    b.tell(fail()).await.unwrap();
    tokio::time::sleep(restarts(3).backoff / 4).await;
    assert_eq!(health(), (HealthState::Degraded, HealthState::BackingOff));
    settle().await;
    assert_eq!(health(), (HealthState::Ready, HealthState::Ready));
    inner.stop();
    settle().await;
    assert_eq!(health(), (HealthState::Ready, HealthState::Stopped));
    outer.stop();
    settle().await;
    assert_eq!(health(), (HealthState::Stopped, HealthState::Stopped));
}

/// Begins to answer, and never replies.
struct Holds(Arc<Notify>);

#[actor]
impl Holds {
    #[remote]
    async fn answer(&mut self, _: Ask) -> Result<Reply> {
        self.0.notify_one();
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_handler_a_supervisor_ends_was_taken() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        for limit in [0, 3] {
            let (actors, begun) = (actors(), Arc::new(Notify::new()));
            let group = actors.supervisor("parts", strategy, restarts(limit));
            let mut fails = group.actor(probe(&Seen::default())).spawn().unwrap();
            let notify = begun.clone();
            let mut holds = group.actor(move || Holds(notify.clone())).spawn().unwrap();
            let asked = holds.ask(Ask { value: 1 });
            let waiting = tokio::spawn(asked);
            begun.notified().await;
            fails.tell(fail()).await.unwrap();
            let error = waiting.await.unwrap().unwrap_err();
            assert_eq!(error.taken(), Taken::Yes, "{strategy:?}, {limit}: {error}");
        }
    }
}
