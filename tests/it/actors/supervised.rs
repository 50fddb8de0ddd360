//! Actors under a supervisor are restarted together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::{ActorEnd, Actors, Error, HealthState, Restart, Result, Strategy, actor};
use mycelium_tokio::Tokio;

/// The starts and ends of the parts.
type Seen = Arc<Mutex<Vec<String>>>;

struct Part {
    name: &'static str,
    seen: Seen,
}

struct Fail;
#[actor]
impl Part {
    fn started(&mut self) {
        self.add("+");
    }

    #[tell]
    fn fail(&mut self, _: Fail) -> Result<()> {
        Err(Error::msg("it broke"))
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
