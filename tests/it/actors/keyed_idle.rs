//! Passivation: when it happens, what is kept, and what other actors and senders see of it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use mycelium::actors::{ActorEnd, TellError};
use mycelium::requests::{RequestError, Taken};

use super::keyed::probes;
use super::probe::{Ask, Gate, Number, Reply, Seen, Wait, actors, does, probe, settled};

const SECOND: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(8);

/// Longer than an idle actor lives: its idle time, and the quarter by which the clock may be late.
const LONG: Duration = Duration::from_secs(12);

#[tokio::test(start_paused = true)]
async fn an_actor_is_passivated_after_the_time_without_a_message() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&seen))).idle(IDLE).build().unwrap();
    keyed.tell(&1, Number(1)).await.unwrap();
    for number in 2..=4 {
        tokio::time::sleep(IDLE - SECOND).await;
        keyed.tell(&1, Number(number)).await.unwrap();
    }
    tokio::time::sleep(IDLE - SECOND).await;
    assert_eq!((keyed.count(), seen.take().as_str()), (1, "started 1 2 3 4"));
    let ended = keyed.get(&1).unwrap().ended();
    // The clock passivates at most a quarter of the idle time late.
    tokio::time::sleep(SECOND + IDLE / 4 + Duration::from_millis(1)).await;
    assert_eq!((keyed.count(), seen.take().as_str()), (0, "stopped"));
    assert_eq!(ended.await, ActorEnd::Passivated);
    assert_eq!(ActorEnd::Passivated.to_string(), "it was passivated");
    keyed.tell(&1, Number(5)).await.unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!((keyed.count(), actors.count(), seen.take().as_str()), (0, 0, "started 5 stopped"));
}

#[tokio::test(start_paused = true)]
async fn requests_and_messages_by_a_reference_are_uses_too() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&seen))).idle(IDLE).build().unwrap();
    let mut one = keyed.get(&1).unwrap();
    for number in 0..4 {
        keyed.ask(&2, Ask { value: 1 }).await.unwrap();
        one.tell(Number(number)).await.unwrap();
        tokio::time::sleep(IDLE - SECOND).await;
    }
    assert_eq!(keyed.count(), 2);
    // Holding a reference does not count as a use.
    tokio::time::sleep(LONG).await;
    assert_eq!((keyed.count(), one.is_gone()), (0, true));
    assert_eq!(one.try_tell(Number(9)), Err(TellError::Gone(Number(9))));
    let gone = RequestError::Gone { actor: Some(one.label()) };
    assert_eq!(one.ask(Ask { value: 1 }).await, Err(gone));
    // An actor that was never told anything is idle from its start.
    let one = keyed.get(&1).unwrap();
    assert!(!one.is_gone());
    tokio::time::sleep(LONG).await;
    assert!(one.is_gone());
}

#[tokio::test(start_paused = true)]
async fn an_actor_with_a_timer_a_child_or_a_long_handler_is_not_idle() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&seen))).idle(IDLE).build().unwrap();
    let gate = Arc::new(Gate::default());
    keyed.tell(&1, Wait(gate.clone())).await.unwrap();
    keyed.tell(&2, does(|_, ctx| ctx.tell_after(LONG * 3, Number(2)))).await.unwrap();
    let parent = does(|parent, ctx| {
        ctx.spawn_as(probe(&parent.seen), |child| child.keep()).unwrap();
    });
    keyed.tell(&3, parent).await.unwrap();
    tokio::time::sleep(LONG * 2).await;
    assert_eq!(keyed.count(), 3);
    gate.open();
    keyed.stop(&3);
    // The clock has found the first actor idle while it was still in its handler.
    tokio::time::sleep(IDLE - SECOND).await;
    assert!(keyed.find(&1).is_some());
    // The timer of the second actor has expired, and nothing else woke it.
    tokio::time::sleep(LONG * 3).await;
    assert_eq!(keyed.count(), 0);
    let mut seen: Vec<_> = seen.take().split(' ').map(str::to_owned).collect();
    seen.sort_unstable();
    let all = ["2", "started", "started", "started", "started"];
    assert_eq!(seen, [&all[..], &["stopped"; 4], &["waited"]].concat());
}

/// Lets all tasks run.
async fn settled_twice() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_one_saves_its_state_its_successor_takes_messages_and_waits() {
    for ends in ["opens", "shuts down", "is late"] {
        let (actors, seen, gate) = (actors(), Seen::default(), Arc::new(Gate::default()));
        // The actor waits in its hook `stopped`.
        let (mut make, shared) = (probe(&seen), gate.clone());
        let make = probes(move || {
            let mut probe = make();
            probe.last_wait = Some(shared.clone());
            probe
        });
        let keyed = actors.keyed(make).capacity(4).build().unwrap();
        keyed.tell(&1, Number(1)).await.unwrap();
        keyed.passivate(&1);
        settled_twice().await;
        assert_eq!(seen.take(), "started 1 stopped");
        keyed.tell(&1, Number(2)).await.unwrap();
        keyed.try_tell(&1, Number(3)).unwrap();
        let asked = keyed.ask(&1, Ask { value: 5 });
        // The successor, too, may be passivated before it has started.
        keyed.passivate(&1);
        keyed.try_tell(&1, Number(4)).unwrap();
        settled_twice().await;
        // Two actors live, and the successor waits for the first to end.
        assert_eq!((seen.take().as_str(), keyed.count(), actors.count()), ("", 1, 2));
        match ends {
            "opens" => {
                gate.open();
                assert_eq!(asked.await, Ok(Reply { value: 10 }));
                settled_twice().await;
            }
            "shuts down" => {
                let shutdown = actors.shutdown(SECOND);
                let opens = async {
                    tokio::time::sleep(SECOND / 2).await;
                    gate.open();
                };
                assert!(tokio::join!(shutdown, opens).0.is_empty());
                assert_eq!(asked.await, Ok(Reply { value: 10 }));
            }
            _ => {
                assert_eq!(actors.shutdown(SECOND).await.len(), 2);
                assert_eq!(asked.await, Err(RequestError::ShuttingDown));
            }
        }
        settled_twice().await;
        let all = if ends == "is late" { "" } else { "started 2 3 4 stopped" };
        assert_eq!((seen.take().as_str(), keyed.count(), actors.count()), (all, 0, 0), "{ends}");
    }
}

/// The mailbox was full, and the actor has ended before the request is polled again.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_room_goes_to_the_next_actor() {
    // With the last value, the deadline is over by then.
    for within in [None, Some(IDLE), Some(SECOND)] {
        let (actors, seen, gate) = (actors(), Seen::default(), Arc::new(Gate::default()));
        let keyed = actors.keyed(probes(probe(&seen))).capacity(2).build().unwrap();
        keyed.tell(&1, Wait(gate.clone())).await.unwrap();
        keyed.tell(&1, Number(1)).await.unwrap();
        let asked = keyed.ask(&1, Ask { value: 3 });
        let asked = match within {
            Some(within) => asked.within(within),
            None => asked,
        };
        let mut asked = pin!(asked);
        let mut context = Context::from_waker(Waker::noop());
        assert!(asked.as_mut().poll(&mut context).is_pending());
        let ended = keyed.get(&1).unwrap().ended();
        keyed.passivate(&1);
        gate.open();
        assert_eq!(ended.await, ActorEnd::Passivated);
        tokio::time::sleep(SECOND * 2).await;
        let is_late = within == Some(SECOND);
        let outcome = asked.await;
        // The error names the next actor.
        let actor = keyed.find(&1).map(|next| next.label());
        let expected = match is_late {
            true => Err(RequestError::Deadline { taken: Taken::No, within: SECOND, actor }),
            false => Ok(Reply { value: 6 }),
        };
        assert_eq!(outcome, expected);
        settled_twice().await;
        assert_eq!(seen.take(), "started waited 1 stopped started");
        #[cfg(feature = "metrics")]
        {
            let lines = actors.counters();
            let requester = lines.iter().find(|line| line.label("requester") == "to.Probe");
            let value = |name| requester.unwrap().value(name);
            let counted = ["requested", "replied", "deadline", "gone", "cancelled"].map(value);
            assert_eq!(counted, [1, u64::from(!is_late), u64::from(is_late), 0, 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_watch_learn_of_the_passivation_and_a_link_does_not_fail() {
    let (actors, seen) = (actors(), Seen::default());
    let keyed = actors.keyed(probes(probe(&Seen::default()))).idle(IDLE).build().unwrap();
    let watched = keyed.get(&1).unwrap();
    let label = watched.label();
    let mut watcher = actors.spawn(probe(&seen)).unwrap();
    let watch = does(move |_, ctx| {
        ctx.watch(&watched);
        ctx.link(&watched);
    });
    watcher.tell(watch).await.unwrap();
    tokio::time::sleep(LONG).await;
    watcher.tell(Number(1)).await.unwrap();
    settled(&mut watcher).await;
    assert_eq!(seen.take(), format!("started {label}: it was passivated 1"));
    assert_eq!(keyed.count(), 0);
}
