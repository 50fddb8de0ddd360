//! [`Health`] against the written definitions. The model looks at all events from the first one on,
//! and keeps no state.

use std::time::Duration;

use mycelium::observe::{Event, Health, HealthState, Outcome};
use proptest::prelude::*;
use proptest::sample::select;

const SERVICES: [Name; 3] = ["Feed", "Detector", "Writer"];
const TOPICS: [Name; 2] = ["swaps", "orders"];
const READERS: [Name; 2] = ["Detector", "keeper"];
const PEERS: [Name; 2] = ["keeper", "far"];
const SPAN: Duration = Duration::from_secs(1);

type Name = &'static str;

/// An event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Started(Name),
    Restarted(Name),
    BackingOff(Name),
    Stopped(Name),
    Hangs(Name),
    Ended(Name),
    Pressed(Name, Name),
    Relieved(Name, Name),
    Evicted(Name, Name, Name),
    Returned(Name, Name, Name),
    Up(Name, bool),
    Down(Name, bool, bool),
    NodeReady,
    NodeDraining,
    NodeStopped,
}

impl Op {
    fn event(self) -> Event<'static> {
        let (error, node) = ("no luck", "main");
        let (depth, capacity) = (8, 8);
        match self {
            Op::Started(service) => Event::ServiceStarted { service },
            Op::Restarted(service) => Event::ServiceRestarted { service, error },
            Op::BackingOff(service) => Event::ServiceBackingOff { service, error, pause: SPAN },
            Op::Stopped(service) => Event::ServiceStopped { service, outcome: &Outcome::Completed },
            Op::Hangs(service) => Event::PollHangs { service, limit: SPAN },
            Op::Ended(service) => Event::PollEnded { service, lasted: SPAN },
            Op::Pressed(service, topic) => {
                Event::BackpressureStarted { service, topic, depth, capacity }
            }
            Op::Relieved(service, topic) => {
                Event::BackpressureEnded { service, topic, depth: 0, capacity }
            }
            Op::Evicted(service, topic, reader) => {
                Event::ReaderEvicted { service, topic, reader, stalled: SPAN }
            }
            Op::Returned(service, topic, reader) => {
                Event::ReaderReturned { service, topic, reader }
            }
            Op::Up(peer, reads) => Event::LinkConnected { peer, reads },
            Op::Down(peer, reads, is_over) => Event::LinkDisconnected { peer, reads, is_over },
            Op::NodeReady => Event::NodeReady { node },
            Op::NodeDraining => Event::NodeDraining { node },
            Op::NodeStopped => Event::NodeStopped { node },
        }
    }
}

/// Returns whether a `begin` has no later `end`. Each end closes one begin.
fn is_open(history: &[Op], begin: Op, end: Op) -> bool {
    let open = history.iter().fold(0_u32, |open, op| match *op {
        op if op == begin => open + 1,
        op if op == end => open.saturating_sub(1),
        _ => open,
    });
    open > 0
}

fn service(history: &[Op], it: Name) -> HealthState {
    if history.contains(&Op::Stopped(it)) || history.contains(&Op::NodeStopped) {
        return HealthState::Stopped;
    }
    let of_run = |op: &&Op| [Op::Started(it), Op::Restarted(it), Op::BackingOff(it)].contains(*op);
    match history.iter().rev().find(of_run) {
        None => return HealthState::Starting,
        Some(Op::BackingOff(_)) => return HealthState::BackingOff,
        Some(_) => {}
    }
    let is_pressed =
        TOPICS.iter().any(|t| is_open(history, Op::Pressed(it, t), Op::Relieved(it, t)));
    let mut pairs = TOPICS.iter().flat_map(|t| READERS.iter().map(move |r| (t, r)));
    let has_evicted =
        pairs.any(|(t, r)| is_open(history, Op::Evicted(it, t, r), Op::Returned(it, t, r)));
    match is_open(history, Op::Hangs(it), Op::Ended(it)) || is_pressed || has_evicted {
        true => HealthState::Degraded,
        false => HealthState::Ready,
    }
}

/// Returns whether the link has been connected since it was last over, and has no connection now.
fn is_lost(history: &[Op], peer: Name, reads: bool) -> bool {
    let over = history.iter().rposition(|op| *op == Op::Down(peer, reads, true));
    let since = &history[over.map_or(0, |over| over + 1)..];
    let (up, down) = (Op::Up(peer, reads), Op::Down(peer, reads, false));
    since.contains(&up) && !is_open(since, up, down)
}

fn node(history: &[Op]) -> HealthState {
    if history.contains(&Op::NodeDraining) || history.contains(&Op::NodeStopped) {
        return HealthState::Stopped;
    }
    if !history.contains(&Op::NodeReady) {
        return HealthState::Starting;
    }
    let states = SERVICES.iter().map(|it| service(history, it));
    let running: Vec<_> = states.filter(|state| *state != HealthState::Stopped).collect();
    let backs_off = |state: &HealthState| *state == HealthState::BackingOff;
    if !running.is_empty() && running.iter().all(backs_off) {
        return HealthState::BackingOff;
    }
    let is_bad = |state: &HealthState| backs_off(state) || *state == HealthState::Degraded;
    let has_lost = PEERS.iter().any(|p| [true, false].iter().any(|r| is_lost(history, p, *r)));
    match running.iter().any(is_bad) || has_lost {
        true => HealthState::Degraded,
        false => HealthState::Ready,
    }
}

fn is_live(history: &[Op]) -> bool {
    let hangs = |it: &Name| is_open(history, Op::Hangs(it), Op::Ended(it));
    !history.contains(&Op::NodeStopped) && !SERVICES.iter().any(hangs)
}

fn ops() -> impl Strategy<Value = Op> {
    let (service, topic) = (select(&SERVICES[..]), select(&TOPICS[..]));
    let (reader, peer) = (select(&READERS[..]), select(&PEERS[..]));
    prop_oneof![
        4 => service.clone().prop_map(Op::Started),
        4 => service.clone().prop_map(Op::Restarted),
        4 => service.clone().prop_map(Op::BackingOff),
        1 => service.clone().prop_map(Op::Stopped),
        2 => service.clone().prop_map(Op::Hangs),
        4 => service.clone().prop_map(Op::Ended),
        2 => (service.clone(), topic.clone()).prop_map(|(s, t)| Op::Pressed(s, t)),
        4 => (service.clone(), topic.clone()).prop_map(|(s, t)| Op::Relieved(s, t)),
        2 => (service.clone(), topic.clone(), reader.clone())
            .prop_map(|(s, t, r)| Op::Evicted(s, t, r)),
        4 => (service, topic, reader).prop_map(|(s, t, r)| Op::Returned(s, t, r)),
        4 => (peer.clone(), any::<bool>()).prop_map(|(p, r)| Op::Up(p, r)),
        4 => (peer, any::<bool>(), any::<bool>()).prop_map(|(p, r, o)| Op::Down(p, r, o)),
        6 => Just(Op::NodeReady),
        1 => prop_oneof![8 => Just(Op::NodeReady), 1 => Just(Op::NodeDraining), 1 => Just(Op::NodeStopped)],
    ]
}

proptest! {
    #[test]
    fn health_is_what_its_definitions_say(history in prop::collection::vec(ops(), 0..60)) {
        let mut health = Health::new(SERVICES);
        for (index, op) in history.iter().enumerate() {
            health.apply(&op.event());
            let seen = &history[..=index];
            for it in SERVICES {
                prop_assert_eq!(health.service(it), Some(service(seen, it)), "{} at {:?}", it, seen);
            }
            prop_assert_eq!(health.node(), node(seen), "at {:?}", seen);
            prop_assert_eq!(health.is_live(), is_live(seen), "at {:?}", seen);
            let works = matches!(health.node(), HealthState::Ready | HealthState::Degraded);
            prop_assert_eq!(health.is_ready(), works);
            if matches!(health.node(), HealthState::Degraded | HealthState::BackingOff) {
                prop_assert!(!health.causes().is_empty(), "at {:?}", seen);
            }
            if health.node() == HealthState::Ready {
                prop_assert_eq!(health.causes(), []);
            }
        }
    }
}
