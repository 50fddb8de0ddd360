//! Actors that ask each other in a cycle: a deadline ends the cycle, and a log line names it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::actors::{ActorContext, ActorRef, Actors};
use mycelium::{Result, actor, message};

use super::probe::{Gate, actors};
use crate::lines::Lines;

/// A request that passes along the cycle; `left` counts the actors still to be asked.
#[message(topic = "circle.asks", id = 910, reply = Passed)]
struct Pass {
    left: u64,
}

#[message(topic = "circle.replies", id = 911)]
struct Passed {
    left: u64,
}

/// Makes the actor wait until the gate is open.
struct Stall(Arc<Gate>);

/// Asks the next member of its cycle while `left` is not 0.
struct Member {
    next: Arc<Mutex<Option<ActorRef<Member>>>>,
    within: Duration,
    /// Whether the actor cancels its request before the deadline.
    gives_up: bool,
}

#[actor(send)]
impl Member {
    #[remote]
    async fn pass(&mut self, request: Pass, ctx: &mut ActorContext<Self>) -> Result<Passed> {
        if request.left == 0 {
            return Ok(Passed { left: 0 });
        }
        let mut next = self.next.lock().unwrap().clone().expect("the circle is closed");
        let asking = ctx.ask(next.ask(Pass { left: request.left - 1 }).within(self.within));
        if self.gives_up {
            drop(asking);
            return Ok(Passed { left: request.left });
        }
        Ok(asking.await.unwrap_or(Passed { left: request.left }))
    }

    #[tell]
    async fn hold(&mut self, Stall(gate): Stall) {
        gate.wait().await;
    }
}

fn circle(actors: &Actors, members: &[(&'static str, Duration, bool)]) -> Vec<ActorRef<Member>> {
    let spawned: Vec<_> = members
        .iter()
        .map(|&(name, within, gives_up)| {
            let next = Arc::new(Mutex::new(None));
            let shared = next.clone();
            let make = move || Member { next: shared.clone(), within, gives_up };
            (actors.actor(make).name(name).spawn().unwrap(), next)
        })
        .collect();
    for (index, (_, next)) in spawned.iter().enumerate() {
        *next.lock().unwrap() = Some(spawned[(index + 1) % spawned.len()].0.clone());
    }
    spawned.into_iter().map(|(member, _)| member).collect()
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_circle_of_requests_and_the_log_names_it() {
    let actors = actors();
    let lines = Lines::default();
    let capture = lines.capture();
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(3));
    let mut members =
        circle(&actors, &[("a", short, false), ("b", long, false), ("c", long, false)]);
    let asked = members[0].ask(Pass { left: 9 }).within(Duration::from_secs(9)).await;
    assert_eq!(asked.unwrap().left, 9);
    drop(capture);
    let lines = lines.take();
    let circles: Vec<_> = lines.iter().filter(|line| line.contains("circle")).collect();
    assert_eq!(circles.len(), 1, "{lines:?}");
    assert!(circles[0].contains("a -> b -> c -> a"), "{circles:?}");
}

/// `a` has cancelled its request to `b` before `b` waits for `a`, so there is no cycle.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_given_up_is_no_part_of_a_circle() {
    let actors = actors();
    let lines = Lines::default();
    let capture = lines.capture();
    let second = Duration::from_secs(1);
    let mut members = circle(&actors, &[("a", second, true), ("b", second, false)]);
    assert_eq!(members[0].ask(Pass { left: 5 }).await.unwrap().left, 5);
    let gate = Arc::new(Gate::default());
    members[0].tell(Stall(gate.clone())).await.unwrap();
    assert_eq!(members[1].ask(Pass { left: 1 }).await.unwrap().left, 1);
    gate.open();
    drop(capture);
    let lines = lines.take();
    assert!(lines.iter().all(|line| !line.contains("circle")), "{lines:?}");
}
