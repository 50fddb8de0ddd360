//! Actors under a supervisor are restarted together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::{
    ActorEnd, ActorSupervisor, Actors, Error, HealthState, Restart, Result, Strategy, actor,
};
use mycelium_tokio::Tokio;

/// The starts and ends of the parts.
type Seen = Arc<Mutex<Vec<String>>>;

struct Part {
    name: &'static str,
    seen: Seen,
}

struct Fail;
struct Ping;

#[actor]
impl Part {
    fn started(&mut self) {
        self.add("+");
    }

    #[tell]
    fn fail(&mut self, _: Fail) -> Result<()> {
        Err(Error::msg("it broke"))
    }

    #[tell]
    fn ping(&mut self, _: Ping) {
        self.add("ping ");
    }

    fn add(&self, sign: &str) {
        self.seen.lock().unwrap().push(format!("{sign}{}", self.name));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.add("-");
    }
}

const LIMITS: Restart = Restart {
    limit: 3,
    window: Duration::from_secs(60),
    backoff: Duration::from_millis(100),
    longest: Duration::from_secs(1),
};

fn take(seen: &Seen) -> String {
    std::mem::take(&mut *seen.lock().unwrap()).join(" ")
}

fn part(name: &'static str, seen: &Seen) -> impl FnMut() -> Part + Send + 'static {
    let seen = seen.clone();
    move || Part { name, seen: seen.clone() }
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

fn actors() -> Actors {
    Actors::on(Tokio::current().unwrap())
}

/// Lets the second of three parts fail, and says what happened.
async fn after_a_failure(strategy: Strategy) -> String {
    let (actors, seen) = (actors(), Seen::default());
    let group: ActorSupervisor = actors.supervisor("parts", strategy, LIMITS);
    let _a = group.actor(part("a", &seen)).spawn().unwrap();
    let mut b = group.actor(part("b", &seen)).spawn().unwrap();
    let _c = group.actor(part("c", &seen)).spawn().unwrap();
    settle().await;
    assert_eq!(take(&seen), "+a +b +c");
    b.tell(Fail).await.unwrap();
    b.tell(Ping).await.unwrap();
    settle().await;
    let happened = take(&seen);
    actors.shutdown(Duration::from_secs(1)).await;
    happened
}

#[tokio::test(start_paused = true)]
async fn each_strategy_restarts_its_actors_and_mailboxes_survive() {
    // The one that failed keeps its state; those that were stopped are made again.
    assert_eq!(after_a_failure(Strategy::OneForOne).await, "+b ping b");
    assert_eq!(after_a_failure(Strategy::RestForOne).await, "-c +b ping b +c");
    assert_eq!(after_a_failure(Strategy::OneForAll).await, "-c -a +a +b ping b +c");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_gives_up_ends_its_actors() {
    let (actors, seen) = (actors(), Seen::default());
    let group = actors.supervisor("parts", Strategy::OneForOne, LIMITS);
    let a = group.actor(part("a", &seen)).spawn().unwrap();
    let mut b = group.actor(part("b", &seen)).spawn().unwrap();
    for _ in 0..4 {
        b.tell(Fail).await.unwrap();
        settle().await;
    }
    assert_eq!(b.ended().await, ActorEnd::Failed { error: "it broke".into() });
    assert_eq!(a.ended().await, ActorEnd::Stopped);
    assert!(group.actor(part("c", &seen)).spawn().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_stopped_or_unreferenced_is_not_restarted() {
    let (actors, seen) = (actors(), Seen::default());
    let group = actors.supervisor("parts", Strategy::OneForAll, LIMITS);
    let a = group.actor(part("a", &seen)).spawn().unwrap();
    let b = group.actor(part("b", &seen)).spawn().unwrap();
    settle().await;
    take(&seen);
    a.stop();
    assert_eq!(a.ended().await, ActorEnd::Stopped);
    let ended = b.ended();
    drop(b);
    assert_eq!(ended.await, ActorEnd::Unreferenced);
    settle().await;
    assert_eq!(take(&seen), "-a -b");
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_is_restarted_by_its_parent() {
    let (actors, seen) = (actors(), Seen::default());
    let outer = actors.supervisor("outer", Strategy::OneForAll, LIMITS);
    let _a = outer.actor(part("a", &seen)).spawn().unwrap();
    let inner = outer.supervisor("inner", Strategy::OneForOne, Restart { limit: 0, ..LIMITS });
    let mut b = inner.actor(part("b", &seen)).spawn().unwrap();
    settle().await;
    take(&seen);
    b.tell(Fail).await.unwrap();
    settle().await;
    // The one that failed keeps its state.
    assert_eq!(take(&seen), "-a +a +b");
    b.tell(Ping).await.unwrap();
    settle().await;
    assert_eq!(take(&seen), "ping b");
}

#[tokio::test(start_paused = true)]
async fn the_health_of_a_supervisor_is_that_of_its_actors() {
    let (actors, seen) = (actors(), Seen::default());
    let outer = actors.supervisor("outer", Strategy::OneForOne, LIMITS);
    let inner = outer.supervisor("inner", Strategy::OneForOne, LIMITS);
    let health = || (outer.health(), inner.health());
    assert_eq!(health(), (HealthState::Ready, HealthState::Ready), "there are no actors");
    let _a = outer.actor(part("a", &seen)).spawn().unwrap();
    let mut b = inner.actor(part("b", &seen)).spawn().unwrap();
    assert_eq!(health(), (HealthState::Starting, HealthState::Starting));
    settle().await;
    assert_eq!(health(), (HealthState::Ready, HealthState::Ready));
    b.tell(Fail).await.unwrap();
    tokio::time::sleep(LIMITS.backoff / 4).await;
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
